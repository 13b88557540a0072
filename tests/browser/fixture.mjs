// The page before a server that plays the host: each panel with usual, empty, huge and hostile data, and what
// an operator does.
import assert from "node:assert/strict";
import { PHONE, accessible, complaints, done, eventually, fits, leave, live, open, refused, refusedAtLeastOnce, root, soon } from "./browser.mjs";
import { Mock, breaker, device, status } from "./mock.mjs";

const PANELS = ["Charts", "Breakers", "Health checks", "Operations", "Errors", "System", "Memory", "Cache", "Programs at work", "Pool", "Batches", "Jobs", "Analytics", "Models", "Security", "Devices", "Notifications", "Log", "Command", "Audit", "Reports"];
const CHARTS = ["cpu", "memory", "requests", "latency", "hits", "network"];
const lines = (mock, n, from = 0) => { for (let i = from; i < from + n; i += 1) mock.log(["info", "warn", "error", "debug"][i % 4], "daur_host::server", `line ${i} is told`, { fields: { port: 8080 } }); };
const words = (page, selector) => page.locator(selector).textContent();

async function panels(mock) {
  const page = await open(mock.origin);
  await live(page);
  for (const name of PANELS) await page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
  for (const id of CHARTS) {
    await soon(async () => assert.match(await words(page, `#tile-${id} .value`), /\d/, id));
    await page.locator(`#tile-${id} .chart path.line`).first().waitFor({ state: "attached" });
  }
  const says = (selector, pattern) => soon(async () => assert.match((await words(page, selector)).replaceAll("\u2013", "-"), pattern, selector));
  await says("#verdict-title", /^Two things need a look$/);
  await says("#reasons li:first-child", /^Does not work: Breaker of sleep is open$/);
  await says("#operations tbody tr:first-child", /^POST \/api\/command1,60026(18\.7 ms)(715 ms){3}$/);
  await says("#errors-top tbody", /timeout50circuit_open10/);
  await says("#errors-recent", /`sleep` failed too often.*: out of time.*ended \(3 times\)/);
  await says("#breakers", /sleepopen.*tries again in 17 s, 2 refused/);
  await says("#jobs tbody", /sample.*running.*1\.0 s9,0000.*310 µsin 0\.\d s.*tidythe database is locked.*scheduled60 s1502/);
  await says("#devices-table tbody", /boiler-7 at tcp:10\.0\.0\.7:\d+connected0\.1 s ago802310\.1\.00b011e07watchdog86 s/);
  await says("#devices-table tbody", /tcp:127\.0\.0\.1:9not connectednever/);
  await says(".device .lines", /^before the reseterrorthe watchdog was not fed/);
  await soon(async () => assert.deepEqual(await page.locator(".device .lines li").evaluateAll((all) => all.map((li) => !li.querySelector(".mark-reset").hidden)), [true, false, false]));
  await page.locator("#notifications tbody tr").nth(1).waitFor();
  await says("#notifications tbody", /openedBreaker of sleep is openbreaker\.sleep\.opened.*starteddaur-host has startedserver\.started/);
  mock.notify({ number: 2, at_ms: Date.now(), topic: "device.boiler-7.silent", level: "amber", text: "Device boiler-7 is silent" });
  await page.locator("#notifications tbody tr:first-child").getByText("Device boiler-7 is silent").waitFor();
  await says("#notifications-sub", /^3 since the server's start$/);
  await says("#audit tbody", /2.*command.*ada.*rm -rf \/.*denied.*1.*login/);
  await says("#audit-verdict", /chain intact up to no 24/);
  await says("#models tbody", /^answersup05\.52 ms2202,468$/);
  await says("#events", /command echo, success120/);
  await says("#usage", /Event60 s60 min24\.0 hevercommand3508001,000login110100140/);
  await says("#funnels", /^login, then command within 60 min120 of 140$/);
  assert.deepEqual(await page.locator(".reports a").evaluateAll((all) => all.map((a) => a.getAttribute("href"))), ["html", "json", "csv", "prom"].map((f) => `/api/reports/${f}`));
  const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map((el) => el.id));
  assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), [], "no id stands twice");
  done("every panel is there, and says what the status says");

  const before = await page.evaluate(() => Object.fromEntries(["tile-requests", "operations", "errors-sub", "breakers", "jobs", "devices-table", "cache", "pool", "memory", "models", "events", "work", "system", "security"].map((id) => [id, document.getElementById(id).textContent])));
  const more = status;
  mock.make = (now) => {
    const st = more(now);
    st.requests.total += 1; st.operations[0].count += 1; st.errors.total += 1; st.breakers[5].refused += 1; st.jobs[0].runs += 1; st.devices[0].frames += 1;
    st.cache.misses += 1; st.pool.done += 1; st.memory.changes += 1; st.models.upstreams[0].asked += 1; st.events.totals[0].count += 1; st.bulkhead.running += 1; st.security.refused_logins += 1; st.system.process_memory += 1e6;
    return st;
  };
  for (const [id, old] of Object.entries(before)) await page.waitForFunction(([one, was]) => document.getElementById(one).textContent !== was, [id, old]);
  mock.make = status;
  done("every panel is live");
  return page;
}

async function charts(mock, page) {
  const requests = () => mock.calls.filter((call) => call.startsWith("GET /api/history")).length;
  for (const [name, ms] of [["the last hour", 3_600e3], ["the last 24 hours", 86_400e3], ["the last 14 days", 1_209_600e3]]) {
    const before = requests();
    const asked = page.waitForRequest((request) => request.url().includes("/api/history?series=cpu"));
    await page.getByRole("radio", { name }).check();
    const query = new URL((await asked).url()).searchParams;
    assert.equal(Number(query.get("to")) - Number(query.get("from")), ms);
    await page.waitForFunction(() => !document.querySelector("#charts-sub").textContent.includes("loading"));
    await eventually("the server is asked", () => requests() > before);
    // A tenth of it, early on, is not known: a hole rather than a line at zero.
    await soon(async () => {
      const moves = (await page.locator("#cpu-chart path.line").getAttribute("d")).match(/M[\d.]+/g).map((at) => Number(at.slice(1)));
      assert.ok(moves.length === 2 && moves[0] < 10 && moves[1] > 180 && moves[1] < 220, moves);
    });
  }
  // The table says what the line shows, to the point.
  await page.locator("#tile-latency summary").click();
  const table = page.locator("#tile-latency tbody tr");
  await soon(async () => {
    const points = await page.evaluate(async () => (await import("/assets/charts.js")).history.points().filter((p) => p.p95 !== undefined).length);
    assert.ok(points > 250);
    assert.ok((await table.count()) >= points);
    assert.match(await table.first().textContent(), /^\w{3},? \d+ \w{3} \d\d:\d\d:\d\d|\d\d:\d\d:\d\d/);
  });
  await page.locator("#latency-chart").focus();
  const says = () => page.locator("#latency-chart").getAttribute("aria-valuetext");
  const said = await soon(async () => {
    await page.keyboard.press("End");
    const said = await says();
    const row = await table.first().locator("td").allTextContents();
    assert.ok(row.length > 1);
    for (const value of row) assert.ok(said.includes(value), `${said} says ${value}`);
    return said;
  });
  await page.keyboard.press("ArrowLeft");
  await soon(async () => assert.notEqual(await says(), said));
  await page.locator("#latency-chart .tip").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#latency-chart .tip").waitFor({ state: "hidden" });
  await page.locator("#tile-latency summary").click();
  await table.first().waitFor({ state: "detached" });
  await page.locator("#changes summary").click();
  await soon(async () => {
    const states = await page.locator("#changes tbody tr").allTextContents();
    assert.ok(states.some((text) => /^sleepopen/.test(text)) && states.some((text) => /^echoclosed/.test(text)), states);
    const open = await page.locator("#breakers li", { hasText: "sleep" }).locator("rect.open").first().getAttribute("width");
    assert.ok(Number(open) > 150 && Number(open) < 350, open);
  });
  await page.locator("#changes summary").click();
  await page.getByRole("radio", { name: "the last 5 minutes" }).check();
  await page.waitForFunction(() => document.querySelector("#charts-sub").textContent.startsWith("the last 5 minutes"));
  done("charts over four ranges, with a cursor for keys, and tables that say the same");

  mock.historyFault = "The history is not to be had now.";
  await page.getByRole("radio", { name: "the last 24 hours" }).check();
  await page.getByText("History is not to be had: The history is not to be had now.").waitFor();
  mock.historyFault = null;
  await page.getByRole("radio", { name: "the last 5 minutes" }).check();
  await page.waitForFunction(() => document.querySelector("#charts-sub").textContent.startsWith("the last 5 minutes"));
  await refusedAtLeastOnce(503);
  done("a history that fails is told, and the live charts go on");
}

async function log(mock, page) {
  lines(mock, 40);
  const rows = page.locator("#logs tbody tr");
  await page.locator("#logs").getByText("line 38 is told").waitFor();
  await eventually("all but the least", async () => (await rows.count()) === 30);
  const box = page.locator("#logs-scroll");
  await eventually("the tail is followed", () => box.evaluate((el) => el.scrollHeight - el.scrollTop - el.clientHeight < 24));
  await page.getByLabel("Show from").selectOption("error");
  await eventually("errors only", async () => (await rows.count()) === 10);
  await page.getByLabel("Show from").selectOption("debug");
  await eventually("all", async () => (await rows.count()) === 40);
  await page.getByLabel("Search").fill("LINE 17");
  await eventually("what is searched for", async () => (await rows.count()) === 1);
  await page.getByLabel("Search").fill("no such thing");
  await page.getByText("No line has this text.").waitFor();
  await page.getByLabel("Search").fill("");
  await eventually("all again", async () => (await rows.count()) === 40);
  await box.evaluate((el) => { el.scrollTop = 0; });
  // The status that asks knows of one line, and the answer tells four.
  mock.beforeLogs = () => lines(mock, 3, 41);
  lines(mock, 1, 40);
  await page.locator("#logs").getByText("line 43 is told").waitFor();
  assert.equal(await box.evaluate((el) => el.scrollTop), 0, "who has scrolled up stays where he reads");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  lines(mock, 7, 44);
  await page.getByText("paused, 7 newer").waitFor();
  assert.equal(await page.locator("#logs").getByText("line 50 is told").count(), 0);
  await page.getByRole("button", { name: "Go on", exact: true }).click();
  await page.locator("#logs").getByText("line 50 is told").waitFor();
  await page.getByLabel("The server writes").selectOption("debug");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.locator("#notice").getByText("The server writes from debug on.").waitFor();
  await eventually("the server is told", () => mock.calls.includes('PUT /api/log-level {"level":"debug"}'));
  await page.waitForFunction(() => document.querySelector("#logs-sub").textContent.includes("level debug"));
  lines(mock, 3_000, 51);
  await page.locator("#logs").getByText("line 3050 is told").waitFor();
  assert.ok((await rows.count()) <= 400);
  await page.getByLabel("Show from").selectOption("info");
  done("the log's tail: level, search, pause, a level that is set, and never more than it may hold");
}

async function actions(mock, page) {
  const button = (name, of) => page.getByRole("button", { name: `${name}: breaker of ${of}` });
  const dialog = page.locator("#confirm");
  await button("Force open", "echo").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Force the breaker of echo open?" }).waitFor();
  await eventually("the careful answer is under the finger", () => page.evaluate(() => document.activeElement.id === "confirm-no"));
  await accessible(page, "the question");
  const called = mock.calls.length;
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  const focused = (label) => soon(async () => assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), label));
  await focused("Force open: breaker of echo");
  await page.keyboard.press("Enter");
  await eventually("it asks again", () => page.evaluate(() => document.activeElement.id === "confirm-no"));
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("#notice").getByText("The breaker of echo is forced open.").waitFor();
  await focused("Force open: breaker of echo");
  assert.deepEqual(mock.calls.slice(called).filter((call) => call.startsWith("POST")), ["POST /api/breakers/echo/force-open"]);
  for (const [name, path] of [["Reset", "reset"], ["Force close", "force-close"]]) {
    await button(name, "model:answers").click();
    await dialog.locator("#confirm-yes").click();
    await dialog.waitFor({ state: "hidden" });
    await eventually(path, () => mock.calls.includes(`POST /api/breakers/model:answers/${path}`));
  }
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await dialog.locator("#confirm-yes").click();
  await page.locator("#notice").getByText("The cache is cleared: 105 results.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Run sample now" }).count(), 0);
  await page.getByRole("button", { name: "Run tidy now" }).click();
  await dialog.locator("#confirm-yes").click();
  await page.locator("#notice").getByText("tidy was started.").waitFor();
  assert.ok(mock.calls.includes("POST /api/jobs/tidy/run"));
  done("an operator's actions ask first, by keyboard too, and the focus comes back");

  mock.refuse = "This needs the permission `admin`.";
  await button("Reset", "sleep").click();
  await dialog.locator("#confirm-yes").click();
  await dialog.getByRole("alert").getByText("This needs the permission `admin`. (forbidden)").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.locator("#notice").getByText("This needs the permission `admin`. (forbidden)").waitFor();
  await page.locator("#notice").getByRole("button", { name: "Close" }).click();
  mock.refuse = null;
  await refused(403, 403);
  done("a refusal of the server is shown where it was asked for");

  // Other breakers come and go, and change places: the focus stays, or goes to the heading above.
  const names = ["alpha", "beta", "gamma", "delta"];
  let order = names;
  mock.make = (now) => ({ ...status(now), breakers: order.map((name) => breaker(name)) });
  await button("Reset", "gamma").focus();
  for (order of [["beta", "gamma", "delta"], ["delta", "new", "gamma", "beta"], ["gamma"], ["x", "gamma", "y"]]) {
    await button("Reset", order[0]).waitFor();
    await eventually(`all of ${order}`, async () => (await page.locator("#breakers > li").count()) === order.length + 1);
    await focused("Reset: breaker of gamma");
  }
  order = ["x"];
  await page.waitForFunction(() => document.activeElement.id === "h-breakers");
  mock.make = status;
  done("an update takes no focus away");

  mock.intact = false;
  await page.getByRole("button", { name: "Check the chain" }).click();
  await page.locator("#audit-verdict[data-level=red]").getByText("chain broken: record 7 was changed").waitFor();
  mock.intact = true;
  done("a broken chain is told");
}

async function staleness(mock, page) {
  mock.run(false);
  await page.getByText(/Stale: last update \d+ s ago/).waitFor();
  await eventually("the title says it", async () => (await page.title()).startsWith("Stale"));
  await eventually("it is said once", async () => (await words(page, "#announce")) === "The numbers are stale: no update comes in.");
  mock.run(true);
  await live(page);
  // A stream that says the same moment again and again is as old as that moment.
  const frozen = status(Date.now());
  mock.make = () => frozen;
  await page.getByText(/Stale: last update \d+ s ago/).waitFor();
  mock.make = status;
  await live(page);
  done("a stream that stops is marked as stale, and so are numbers that are old");
}

async function permissions(mock) {
  for (const [granted, seen] of [[["read"], []], [["read", "write"], ["Run"]]]) {
    mock.permissions = granted;
    const page = await open(mock.origin);
    await live(page);
    await page.locator("#breakers li").first().waitFor();
    const all = ["Run", "Clear", "Set", "Send", "Reset: breaker of sleep", "Force open: breaker of sleep", "Run tidy now", "Check the chain"];
    await soon(async () => {
      const shown = [];
      for (const name of all) if (await page.getByRole("button", { name, exact: true }).count()) shown.push(name);
      assert.deepEqual(shown, granted.includes("write") ? ["Run", "Send"] : seen);
    });
    assert.equal(await page.getByRole("heading", { name: "Audit", exact: true }).count(), 0);
    await leave(page);
  }
  mock.permissions = ["read", "write", "admin"];
  mock.make = (now) => ({ ...status(now), read_only: true });
  const page = await open(mock.origin);
  await page.getByText("This server shows everything and changes nothing").waitFor();
  for (const name of ["Run", "Clear", "Set", "Send", "Reset: breaker of sleep", "Run tidy now"]) await eventually(name, async () => (await page.getByRole("button", { name, exact: true }).count()) === 0);
  await page.getByRole("heading", { name: "Audit", exact: true }).waitFor();
  await leave(page);
  mock.make = status;
  done("who may not is shown no button; a read-only server says so");
}

async function extremes(mock) {
  const page = await open(mock.origin);
  await live(page);
  mock.make = (now) => {
    const st = status(now);
    return { ...st, attention: [], system: null, operations: [], breakers: [], devices: [], jobs: [], errors: { total: 0, last_minute: 0, top: [], recent: [] }, events: { ...st.events, rows: 0, totals: [] }, budget: null, models: { ...st.models, configured: false, upstreams: [] }, cache: { ...st.cache, hit_permille: null }, latency: { window_s: 0, count: 0, p50_us: null, p95_us: null, p99_us: null, max_us: null }, health: { ...st.health, checks: [] }, point: { t: now ?? Date.now(), cpu: null, memory: null, rps: 0, p50: null, p95: null, p99: null, hit: null } };
  };
  await page.getByText("Everything is well").waitFor();
  for (const text of ["A breaker appears with the first command of its program.", "No device is attached.", "No request so far.", "No job so far.", "No model is set up"]) await page.getByText(text).first().waitFor();
  assert.equal(await words(page, "#broken"), "");
  await accessible(page, "nothing to show");
  done("nothing to show is said in words");

  mock.make = (now) => {
    const st = status(now);
    return { ...st, attention: Array.from({ length: 900 }, (_, i) => ({ level: i % 2 ? "amber" : "red", text: `Thing ${i} is not as it should be` })), devices: Array.from({ length: 1_000 }, (_, i) => device(`device-${i}`, { endpoint: `tcp:10.1.${i >> 8}.${i & 255}:9000`, series: Object.fromEntries(Array.from({ length: 80 }, (_, j) => [`series_${j}_ms`, { kind: "gauge", value: j }])) })), breakers: Array.from({ length: 500 }, (_, i) => breaker(`program-${i}`)), operations: Array.from({ length: 500 }, (_, i) => ({ ...st.operations[0], name: `GET /route/${i}` })), jobs: Array.from({ length: 500 }, (_, i) => ({ ...st.jobs[1], id: `job-${i}`, name: `job-${i}` })), events: { ...st.events, totals: Array.from({ length: 500 }, (_, i) => ({ kind: "command", name: `c${i}`, outcome: "success", count: i })) } };
  };
  mock.run(false); mock.tick();
  await page.getByText("and 900 more").waitFor();
  const elements = () => page.evaluate(() => document.getElementsByTagName("*").length);
  const many = await elements();
  assert.ok(many < 25_000, `${many} elements`);
  mock.make = status; mock.tick(); mock.run(true);
  await page.getByText("Two things need a look").waitFor();
  const usual = await elements();
  // Hours of it: names that come and go leave nothing behind.
  mock.run(false);
  const from = Date.now();
  for (let i = 1; i <= 400; i += 1) {
    mock.make = (now = from + i * 1_000) => { const st = status(now); st.devices[0].boot_id = `boot-${i}`; st.devices[0].series = { [`s_${i}`]: { kind: "gauge", value: i } }; st.breakers.push(breaker(`p-${i}`)); st.errors.top.push({ kind: `kind-${i}`, count: 1, bound: 0 }); st.jobs.push({ ...st.jobs[1], id: `j-${i}`, name: `j-${i}` }); return st; };
    mock.tick();
    if (i % 40 === 0) await page.waitForFunction((name) => document.querySelector("#breakers").textContent.includes(name), `p-${i}`);
  }
  await soon(async () => assert.ok((await elements()) < usual + 400, `${usual} elements became ${await elements()}`));
  assert.ok(await page.evaluate(async () => (await import("/assets/charts.js")).history.live.length) <= 320);
  await leave(page);
  mock.make = status; mock.run(true);
  done("a thousand devices are shown in part and told in whole; an hour of changes leaves nothing behind");
}

async function hostile(mock) {
  const evil = ["<img src=x onerror=\"globalThis.owned=1\">", "__proto__", "constructor", "toString", "\u202Egnitset\u202E", "a\u0000b", "x".repeat(300), "0\u0000echo", "  ", "%2e%2e/..", "e\u0301\u0301\u0301", "'; DROP TABLE x;--", "{{7*7}}", "javascript:alert(1)"];
  mock.make = (now) => {
    const st = status(now);
    st.host = evil[0]; st.version = evil[0];
    st.attention = evil.map((text) => ({ level: "constructor", text }));
    st.breakers = [...evil, ...evil].map((name) => breaker(name, { state: name, mode: name }));
    st.operations = evil.map((name) => ({ ...st.operations[0], name }));
    st.errors.top = evil.map((kind) => ({ kind, count: 1e15, bound: 5 })); st.errors.recent = evil.map((message) => ({ kind: message, message, at_ms: 1e300 }));
    st.devices = evil.map((id, i) => device(id, { endpoint: `tcp:${id}:${i}`, id, boot_id: id, firmware: id, reset_cause: id, link_error: id, series: JSON.parse(`{${evil.map((name, j) => `${JSON.stringify(name)}:{"kind":${JSON.stringify(j % 2 ? "gauge" : name)},"value":${j}e300,"unit":${JSON.stringify(name)}}`).join(",")}}`), breakers: JSON.parse(`{${evil.map((name) => `${JSON.stringify(name)}:{"state":${JSON.stringify(name)},"refused":1}`).join(",")}}`), errors: {}, log: evil.map((message) => ({ device_at_ms: -1, level: message, target: message, message, before_reset: true, repeated: 1 })) }));
    st.jobs = evil.map((id) => ({ ...st.jobs[1], id, name: id, state: id, last_error: id }));
    st.events.totals = evil.map((name) => ({ kind: name, name, outcome: name, count: 1 }));
    st.health.checks = evil.map((name) => ({ ...st.health.checks[0], name, status: name, reason: name }));
    st.memory.level = evil[1]; st.memory.shrinkers = evil.map((name) => ({ name, keep_permille: 1, freed: 1 }));
    st.models.upstreams = evil.map((name) => ({ ...st.models.upstreams[0], name, state: name, share: name }));
    st.analytics.events = evil.map((name) => ({ name, total: 1, in_windows: [] })); st.analytics.funnels = evil.map((name) => ({ first: name, second: name })); st.analytics.windows_ms = [1e300, -1, null];
    st.system.disks = evil.map((name) => ({ name, used: 1, total: 0 }));
    return st;
  };
  for (const text of evil) mock.log("info", text, text, { fields: { [text]: text } });
  // The one status that a stream begins with is enough.
  mock.run(false);
  const page = await open(mock.origin);
  await page.locator("#logs tbody").getByText("DROP TABLE").first().waitFor();
  await page.locator("article.device").nth(evil.length - 1).waitFor();
  assert.equal(await words(page, "#broken"), "");
  assert.equal(await page.evaluate(() => globalThis.owned), undefined);
  assert.equal(await page.locator("img").count(), 0);
  await eventually("all devices", async () => (await page.locator("article.device").count()) === evil.length);
  await fits(page, "hostile");
  const called = mock.calls.length, name = "%2e%2e/..";
  await page.locator(`button[aria-label="Reset: breaker of ${name}"]`).first().click();
  await page.locator("#confirm-yes").click();
  await page.locator("#confirm").waitFor({ state: "hidden" });
  await eventually("the breaker of that name", () => mock.calls.slice(called).includes(`POST /api/breakers/${name}/reset`));
  await page.setViewportSize(PHONE);
  await fits(page, "hostile on a phone");
  await leave(page);
  mock.run(true);
  mock.make = (now) => ({ ...status(now), operations: null, devices: "none", jobs: 7, errors: {} });
  const torn = await open(mock.origin);
  await torn.getByText("not shown, since it was not understood: ").waitFor();
  await soon(async () => assert.match(await words(torn, "#tile-cpu .value"), /\d/));
  const of = () => complaints.filter((text) => /^(verdict|operations|errors|devices|jobs): /.test(text));
  await eventually("the console has them", () => of().length > 0);
  await leave(torn);
  const torn_apart = of();
  for (const text of torn_apart) complaints.splice(complaints.indexOf(text), 1);
  mock.make = status; mock.lines = [];
  done("names that are markup, keys of objects, or endless stay text; a panel that cannot be read costs no other");
}

async function accessibility(mock) {
  lines(mock, 12);
  const minor = new Set();
  for (const [viewport, name] of [[undefined, "wide"], [PHONE, "phone"]]) {
    const page = await open(mock.origin, { ...(viewport ? { viewport, isMobile: false } : {}), reducedMotion: "reduce" });
    await live(page);
    await page.locator("#logs tbody tr").first().waitFor();
    await page.locator("#tile-cpu summary").click(); await page.locator("#changes summary").click();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const text of await accessible(page, `${name}, ${colorScheme}`)) minor.add(text);
    }
    await eventually("nothing moves", () => page.locator("#live i").evaluate((el) => getComputedStyle(el).animationName === "none"));
    await fits(page, name);
    if (viewport) await soon(async () => {
      const widths = await page.evaluate(() => [...document.querySelectorAll(".columns > *, .tiles > *")].map((el) => Math.round(el.getBoundingClientRect().width)));
      assert.equal(new Set(widths).size, 1, `all cards of a phone are as wide as it: ${widths}`);
    });
    await leave(page);
  }
  assert.deepEqual([...minor], []);
  // The choice of a theme outweighs the system's, and is kept.
  const page = await open(mock.origin, { colorScheme: "light" });
  await live(page);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.getByRole("button", { name: "Theme: system" }).click(); await page.getByRole("button", { name: "Theme: light" }).click();
  const dark = await soon(async () => { const dark = await paper(); assert.notEqual(dark, light); return dark; });
  await page.reload(); await live(page);
  await soon(async () => assert.equal(await paper(), dark));
  await leave(page);
  done("axe finds nothing, in both themes, wide and on a phone; a theme may be chosen");

  mock.permissions = null;
  const login = await open(mock.origin);
  await login.getByLabel("Name").fill("ada"); await login.getByLabel("Password").fill("wrong");
  await login.keyboard.press("Enter");
  await login.getByText("The name or the password is wrong.").waitFor();
  for (const colorScheme of ["light", "dark"]) { await login.emulateMedia({ colorScheme }); assert.deepEqual(await accessible(login, `login, ${colorScheme}`), []); }
  await login.setViewportSize(PHONE); await fits(login, "login");
  await leave(login);
  await refused(401);
  mock.permissions = ["read", "write", "admin"];
  done("so it does on the login");
}

// All steps, or those of the names given.
export async function fixture(only = []) {
  const mock = await new Mock(root).start();
  const wanted = (...steps) => steps.filter((step) => only.length === 0 || only.includes(step.name));
  try {
    const page = await panels(mock);
    for (const step of wanted(charts, log, actions, staleness)) await step(mock, page);
    await leave(page);
    for (const step of wanted(permissions, extremes, hostile, accessibility)) await step(mock);
  } finally {
    mock.stop();
  }
}

// The page before the host itself, with a device and two models: what is done there is done indeed, refused
// indeed, and outlives a restart.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { PHONE, accessible, done, eventually, fits, leave, live, open, refused, shots, soon, target, unanswered } from "./browser.mjs";

const PASSWORD = "correct horse battery";
const children = [];
const program = (name, ...args) => {
  const child = spawn(join(target, "debug", name), args, { stdio: ["pipe", "pipe", "ignore"] });
  children.push(child);
  return child;
};
const firstLine = (child) => new Promise((resolve, reject) => {
  createInterface({ input: child.stdout }).once("line", resolve);
  child.once("exit", (code) => reject(new Error(`ended with ${code} before its first line`)));
});
const exit = (child) => new Promise((resolve) => (child.exitCode !== null ? resolve(child.exitCode) : child.once("exit", resolve)));
const post = (origin, path, body, token, method = "POST") => fetch(`${origin}${path}`, { method, headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(token ? { Authorization: `Bearer ${token}` } : {}) }, body: body === undefined ? undefined : JSON.stringify(body) });

async function login(page, user) {
  await page.getByLabel("Name").fill(user);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await live(page);
}

// A user of that name, the host, what is beside it.
async function start(dir) {
  for (const [user, permissions] of [["ada", "read,write,admin"], ["rita", "read"]]) {
    const adding = program("daur-host-under-test", "user", "add", user, "--permissions", permissions, "--password-stdin", "--data-dir", dir);
    adding.stdin.end(`${PASSWORD}\n`);
    assert.equal(await exit(adding), 0);
  }
  const device = await firstLine(program("daur-test-device", "0", join(dir, "fleet.key")));
  // A model that answers, and one that is not there.
  const model = createServer((request, response) => {
    request.resume().once("end", () => {
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ choices: [{ message: { role: "assistant", content: "hello" } }], usage: { total_tokens: 1234 } }));
    });
  });
  await new Promise((resolve) => model.listen(0, "127.0.0.1", resolve));
  model.unref();
  const config = join(dir, "daur.toml");
  const upstreams = [["answers", model.address().port], ["absent", 9]].map(([name, port]) => `[[model.upstreams]]\nname = "${name}"\nurl = "http://127.0.0.1:${port}/v1/chat/completions"\n`);
  // What must not happen by itself has an hour: a busy machine takes its time.
  const patient = '[breaker]\nfailures = 1\nrecovery_timeout = "1h"\n[health]\ntimeout = "1h"\n';
  writeFileSync(config, patient + upstreams.join(""));
  const serve = async (listen, ...more) => {
    const server = program("daur-host-under-test", "--listen", listen, "--config", config, "--data-dir", dir, "--device", `tcp:${device}`, "--device", "tcp:127.0.0.1:9", "--command-timeout", "12s", "--cache-ttl", "1h", ...more);
    return { server, origin: (await firstLine(server)).match(/http:\/\/[\d.:]+/)[0] };
  };
  return { device, serve };
}

async function usual(page, origin, device) {
  const total = () => page.locator("#tile-requests .note").textContent();
  const before = await total();
  for (let i = 0; i < 3; i += 1) await page.evaluate(() => fetch("/api/session"));
  await page.waitForFunction((old) => document.querySelector("#tile-requests .note").textContent !== old, before);
  await soon(async () => assert.match(await page.locator("#tile-cpu .value").textContent(), /\d/));
  await soon(async () => assert.match(await page.locator("#tile-memory .value").textContent(), /GiB|MiB/));
  done("its numbers live");

  const command = page.getByRole("textbox", { name: "Command", exact: true });
  for (const line of ["uname -a", "uname -a", "date", "uptime", "echo hello", "df -h"]) {
    await command.fill(line);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.locator("#command-result .badge").waitFor();
    await page.waitForFunction(() => !document.querySelector("#command-form button").disabled);
  }
  await soon(async () => assert.match(await page.locator("#command-result pre").first().textContent(), /Filesystem/));
  done("a command runs and shows its output");

  const card = page.getByRole("article", { name: `Device at tcp:${device}` });
  for (const text of ["boiler-7", "temperature_mc"]) await card.getByText(text).first().waitFor();
  const row = page.locator("#devices-table tr", { hasText: "boiler-7" });
  await soon(async () => assert.match(await row.textContent(), /connected.*0\.1\.00b011e07watchdog/));
  const log = card.locator(".lines li");
  await log.getByText("the watchdog was not fed").waitFor();
  await soon(async () => assert.deepEqual(await log.evaluateAll((all) => all.map((li) => [li.querySelector(".message").textContent, !li.querySelector(".mark-reset").hidden])), [["the loop is late", true], ["the watchdog was not fed", true], ["started", false]]));
  await page.getByText("is not connected").first().waitFor();
  await card.getByLabel("Signed command to this device").fill("set-interval 200");
  await card.getByRole("button", { name: "Send" }).click();
  await card.getByText("accepted: the interval is set").waitFor();
  // The host has told it the time, which may differ on a busy machine.
  await card.getByText(/^(as the server’s|.* (ahead|behind))$/).waitFor();
  await card.getByLabel("Signed command to this device").fill("self-destruct");
  await card.getByRole("button", { name: "Send" }).click();
  await card.getByText("unknown command: set-interval MILLISECONDS").waitFor();
  done("a device shows its boot id, its series and what it said before its reset, takes a signed command, refuses one, and knows the time; one that is not there is told");
}

async function faults(page, origin, token) {
  // A command that runs out of time opens a breaker: sent here, since refusals show in the console.
  const send = (command) => post(origin, "/api/command", { command }, token);
  assert.equal((await send("sleep 0.1")).status, 200);
  assert.equal((await send("sleep 90")).status, 504);
  assert.equal((await send("sleep 1")).status, 503);
  assert.equal((await send("rm -rf /")).status, 403);
  await page.getByRole("list", { name: "What needs a look, the worst" }).getByText("Breaker of sleep is open").waitFor();
  await page.locator("#breakers li", { hasText: "sleep" }).locator("rect.open").first().waitFor({ state: "attached" });
  await page.locator("#audit").getByText("rm -rf /").waitFor();
  await page.locator("#errors-top").getByText("timeout").waitFor();
  done("an open breaker, its errors and a refused command are told");

  const ask = (content) => post(origin, "/api/model", { messages: [{ role: "user", content }] }, token);
  for (const content of ["one", "two", "two"]) assert.equal((await ask(content)).status, 200);
  const row = (name) => page.locator("#models tbody tr", { hasText: name });
  await page.waitForFunction(() => document.querySelector("#models-sub").textContent.includes("1 from the cache"));
  await soon(async () => assert.match(await row("answers").textContent(), /^answersup0.*(ms|s|µs)22.*2,468$/));
  await soon(async () => assert.match(await row("absent").textContent(), /^absent/));
  const fact = (card, name) => page.locator(`#${card} div`, { has: page.getByText(name, { exact: true }) }).locator("dd");
  await soon(async () => assert.match(await fact("cache", "Memory hits").textContent(), /^[1-9]\d*, \d/));
  await soon(async () => assert.match(await fact("cache", "In memory").textContent(), /^\d+ of 1,024$/));
  await soon(async () => assert.match(await fact("pool", "Running").textContent(), /^\d of 4$/));
  await soon(async () => assert.ok(Number((await fact("pool", "Done").textContent()).replaceAll(",", "")) > 0));
  await soon(async () => assert.match(await fact("pool", "Wait p99").textContent(), /s$/));
  for (const name of ["audit", "events"]) await soon(async () => assert.match(await page.locator("#batches tbody tr", { hasText: name }).textContent(), /[1-9]/));
  await soon(async () => assert.equal(await page.locator("#memory-level").textContent(), "normal"));
  await page.waitForFunction(() => / of .*iB/.test(document.querySelector("#memory-sub").textContent));
  await soon(async () => assert.match(await page.locator("#memory-by").textContent(), /results.*keeps 100 %.*last good.*keeps 100 %/));
  await page.locator("#events li", { hasText: "command uname, cached" }).getByText("1", { exact: true }).waitFor();
  const counted = await page.locator("#events").textContent();
  await send("echo one more");
  await page.waitForFunction((old) => document.querySelector("#events").textContent !== old, counted);
  done("cache, pool, batches, models, memory and analytics are told, and live");

  const check = (name) => page.locator("#health li", { hasText: name });
  await check("programs (readiness)").getByText("open breakers: sleep").waitFor();
  for (const name of ["database", "data dir", "disk", "heartbeat"]) await soon(async () => assert.match(await check(name).textContent(), /(healthy|degraded).* at \d\d:\d\d:\d\d/));
  // The cache forgets it, the fallback does not.
  assert.equal((await post(origin, "/api/cache/clear", undefined, token)).status, 200);
  await page.getByRole("textbox", { name: "Command", exact: true }).fill("sleep 0.1");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator("#command-result").getByText(/an earlier output, .* old, since now the program is refused by its breaker/).waitFor();
  await page.locator("#work div", { hasText: "Fallbacks" }).getByText("1", { exact: true }).waitFor();
  await soon(async () => assert.match(await page.locator("#work").textContent(), /Running0 of 8.*Retries left100/));
  done("health checks, places, the retry budget and a fallback are told");
}

async function operator(page, origin, token) {
  const yes = page.locator("#confirm-yes"), state = (name) => page.locator("#breakers li", { hasText: name }).locator(".badge");
  const press = async (name) => { await page.getByRole("button", { name, exact: true }).click(); await yes.click(); await page.locator("#confirm").waitFor({ state: "hidden" }); };
  const command = (line) => post(origin, "/api/command", { command: line }, token);
  await page.locator("#breakers-all").click();
  await press("Force open: breaker of hostname");
  await state("hostname").getByText("forced open").waitFor();
  assert.equal((await command("hostname")).status, 503);
  await press("Force close: breaker of sleep");
  await state("sleep").getByText("forced closed").waitFor();
  await press("Reset: breaker of hostname");
  await state("hostname").getByText("closed", { exact: true }).waitFor();
  assert.equal((await command("hostname")).status, 200);
  await press("Force open: breaker of model:absent");
  await state("model:absent").getByText("forced open").waitFor();
  await press("Reset: breaker of model:absent"); await press("Reset: breaker of sleep");
  await press("Clear");
  await page.locator("#notice").getByText(/The cache is cleared: [\d,]+ results/).waitFor();
  await page.getByLabel("The server writes").selectOption("debug");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.locator("#logs-sub").getByText("level debug").waitFor();
  await page.locator("#logs tbody tr").first().waitFor();
  const jobs = page.locator("#jobs tbody tr");
  await soon(async () => assert.ok((await jobs.count()) >= 3));
  await jobs.last().getByRole("button", { name: /^Run / }).click(); await yes.click();
  await page.locator("#notice").getByText("was started").waitFor();
  for (const said of ["hostname, force-open", "model:absent, reset", "cache cleared"]) await page.locator("#audit").getByText(said).first().waitFor();
  done("an operator's actions are done, and audited");
}

async function reports(page) {
  for (const [format, begins] of [["json", /^\{/], ["csv", /^[\w,]+,value\r\n/], ["html", /^<!doctype html>/i]]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(`.reports a[href$=${format}]`).click()]);
    assert.equal(download.suggestedFilename(), `daur-report.${format}`);
    const path = join(shots, download.suggestedFilename());
    await download.saveAs(path);
    assert.match(readFileSync(path, "utf8"), begins, format);
  }
  // It needs no server: from the disk it asks nobody for anything, and is as usable as the page itself.
  const report = await open(pathToFileURL(join(shots, "daur-report.html")).href);
  await report.getByText("sleep").first().waitFor();
  assert.ok((await report.locator("svg").count()) > 0, "it has charts");
  assert.equal(await report.locator("script").count(), 0);
  await accessible(report, "the report");
  await report.screenshot({ path: join(shots, "report.png"), fullPage: true });
  await leave(report);
  done("reports come as files; the page among them needs nothing else");
}

async function reader(origin) {
  const page = await open(origin);
  await login(page, "rita");
  await page.locator("#breakers li").first().waitFor();
  for (const name of ["Run", "Clear", "Set", "Send", "Check the chain"]) await eventually(name, async () => (await page.getByRole("button", { name, exact: true }).count()) === 0);
  const asked = [["POST", "/api/breakers/sleep/reset"], ["POST", "/api/breakers/sleep/force-open"], ["POST", "/api/breakers/sleep/force-close"], ["POST", "/api/cache/clear"], ["PUT", "/api/log-level", { level: "trace" }], ["POST", "/api/jobs/tidy/run"], ["POST", "/api/command", { command: "date" }], ["GET", "/api/audit"], ["GET", "/api/audit/verify"]];
  for (const [method, path, body] of asked) {
    // From the page itself, with its cookie and its origin: there is nothing but the permission that is missing.
    const answer = await page.evaluate(async ([method, path, body]) => {
      const r = await fetch(path, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body ? JSON.stringify(body) : undefined });
      return { status: r.status, ...(await r.json()) };
    }, [method, path, body ?? null]);
    assert.deepEqual([answer.status, answer.code], [403, "forbidden"], `${method} ${path}`);
  }
  await refused(...asked.map(() => 403));
  await leave(page);
  done("who may only read sees no button, and is refused by the server");
}

async function drawings(page, origin) {
  await page.waitForTimeout(Number(process.env.SETTLE_MS || 1500));
  await page.locator("#notice-close").click({ timeout: 500 }).catch(() => {});
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(shots, "light.png"), fullPage: true });
  const storageState = await page.context().storageState();
  for (const [name, options] of [["dark", { colorScheme: "dark" }], ["phone", { viewport: PHONE }], ["phone-dark", { viewport: PHONE, colorScheme: "dark" }]]) {
    const other = await open(origin, { storageState, ...options });
    await live(other);
    await other.locator(".device").getByText("temperature_mc").waitFor();
    await other.locator("#logs tbody tr").first().waitFor();
    await fits(other, name);
    if (name === "dark") await accessible(other, name);
    await other.waitForTimeout(1200);
    await other.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
    if (name === "dark") { await other.getByRole("radio", { name: "the last 24 hours" }).check(); await other.waitForTimeout(800); await other.screenshot({ path: join(shots, "day.png") }); }
    await leave(other);
  }
  done("a reload needs no second login; dark, light and small are drawn, and fit");
}

async function keyboard(page) {
  await page.getByRole("link", { name: "Skip to the content" }).focus();
  const reached = [];
  for (let i = 0; i < 140; i += 1) {
    await page.keyboard.press("Tab");
    const [id, seen] = await page.evaluate(() => {
      const el = document.activeElement, box = el.getBoundingClientRect(), of = getComputedStyle(el);
      const shown = of.outlineStyle !== "none" || (el.matches("input[type=radio]") && getComputedStyle(el.nextElementSibling).outlineStyle !== "none");
      return [el.id || el.getAttribute("aria-label") || el.textContent.trim().slice(0, 30), shown && box.height > 0];
    });
    assert.ok(seen || id === "", `the focus is seen on ${id}`);
    reached.push(id);
    if (id === "command") break;
  }
  for (const id of ["logout", "theme", "range-5m", "latency-chart", "Reset: breaker of sleep", "cache-clear", "logs-level", "logs-search", "logs-pause", "level", "command"]) assert.ok(reached.includes(id), `${id} is reached by Tab: ${reached}`);
  await page.locator("#latency-chart").focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator("#latency-chart .tip").waitFor({ state: "visible" });
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select, [role=img], [role=group], table, section, dialog")].filter((el) => el.checkVisibility()
    && !(el.getAttribute("aria-label") || el.getAttribute("aria-labelledby") || el.textContent.trim() || el.labels?.length)).map((el) => el.outerHTML.slice(0, 80)));
  assert.deepEqual(unnamed, []);
  done("everything is reached by keyboard, is seen to be, and has a name");
}

export async function host() {
  mkdirSync(shots, { recursive: true });
  const dir = mkdtempSync(join(shots, "data-"));
  try {
    const { device, serve } = await start(dir);
    const { server, origin } = await serve("127.0.0.1:0");
    const page = await open(origin);
    await page.getByRole("button", { name: "Log in" }).waitFor();
    assert.equal(await page.locator("#app").isVisible(), false);
    await page.screenshot({ path: join(shots, "login.png") });
    await login(page, "ada");
    const cookie = (await page.context().cookies()).find((c) => c.name === "daur_session");
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
    done("it asks for a login, which opens it with a cookie that scripts cannot read");
    const { token } = await (await post(origin, "/api/login", { user: "ada", password: PASSWORD })).json();

    await usual(page, origin, device);
    await faults(page, origin, token);
    await operator(page, origin, token);
    await reports(page);
    await reader(origin);
    await drawings(page, origin);
    await keyboard(page);

    const end = async (server) => {
      server.kill("SIGTERM");
      assert.equal(await exit(server), 0);
    };
    const until = Date.now();
    await end(server);
    await page.getByText(/Stale: last update/).waitFor();
    await page.screenshot({ path: join(shots, "stale.png") });
    done("a server that ends is marked as stale");

    // The same address again, now for looking only: the page comes back by itself, with the charts of before.
    const second = await serve(origin.slice("http://".length), "--read-only");
    await live(page);
    await page.getByText("This server shows everything and changes nothing").waitFor();
    for (const name of ["Run", "Clear", "Set", "Send", "Reset: breaker of uname"]) await eventually(name, async () => (await page.getByRole("button", { name, exact: true }).count()) === 0);
    const answer = await (await post(origin, "/api/cache/clear", undefined, token)).json();
    assert.deepEqual([answer.code, /read-only/.test(answer.detail)], ["forbidden", true]);
    await page.reload();
    await live(page);
    const older = () => page.evaluate(async (until) => (await import("/assets/charts.js")).history.points().filter((p) => p.t < until && p.cpu !== undefined && p.b.sleep !== undefined).length, until);
    await eventually("points from before the restart", async () => (await older()) > 5);
    await page.locator("#breakers li", { hasText: "sleep" }).locator("rect.open").first().waitFor({ state: "attached" });
    await leave(page);
    unanswered();
    await end(second.server);
    done("a restart keeps the charts; a server for looking only says so, and refuses");
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

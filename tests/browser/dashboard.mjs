// Drives the dashboard in a headless Chromium: it loads, asks for a login, shows live numbers, shows a
// device, sends it a signed command, marks itself stale when the server is gone; and makes no outside
// request and no console error on the way. Screenshots go to target/browser.
//
//   node dashboard.mjs          needs the built programs in target/debug and a Chromium (CHROMIUM=PATH)
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const target = process.env.CARGO_TARGET_DIR || join(root, "target");
const shots = join(target, "browser");
mkdirSync(shots, { recursive: true });
const dir = mkdtempSync(join(shots, "data-"));
const PASSWORD = "correct horse battery";
const children = [];

const program = (name, ...args) => {
  const child = spawn(join(target, "debug", name), args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  return child;
};
const firstLine = (child) => new Promise((resolve, reject) => {
  createInterface({ input: child.stdout }).once("line", resolve);
  child.once("exit", (code) => reject(new Error(`ended with ${code} before its first line`)));
});
const exit = (child) => new Promise((resolve) => (child.exitCode !== null ? resolve(child.exitCode) : child.once("exit", resolve)));
let step = 0;
const done = (what) => console.log(`ok ${(step += 1)} - ${what}`);

let browser;
try {
  const adding = program("daur-host-under-test", "user", "add", "ada", "--permissions", "read,write,admin", "--password-stdin", "--data-dir", dir);
  adding.stdin.end(`${PASSWORD}\n`);
  assert.equal(await exit(adding), 0);
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
  writeFileSync(config, upstreams.join(""));
  const server = program("daur-host-under-test", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", dir, "--device", `tcp:${device}`, "--device", "tcp:127.0.0.1:9", "--command-timeout", "700ms", "--cache-ttl", "1s");
  const origin = (await firstLine(server)).match(/http:\/\/[\d.:]+/)[0];

  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags });
  const outside = [], complaints = [];
  const open = async (options) => {
    const page = await (await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options })).newPage();
    page.on("request", (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith("data:")) outside.push(request.url()); });
    page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(message.text()); });
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(origin);
    return page;
  };
  const login = async (page) => {
    await page.getByLabel("Name").fill("ada");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByText("Live", { exact: true }).waitFor();
  };

  const page = await open({ colorScheme: "light" });
  await page.getByRole("button", { name: "Log in" }).waitFor();
  assert.equal(await page.locator("#app").isVisible(), false);
  await page.screenshot({ path: join(shots, "login.png") });
  done("it asks for a login");

  await login(page);
  const cookie = (await page.context().cookies()).find((c) => c.name === "daur_session");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
  done("a login opens it, with a cookie that scripts cannot read");

  const total = () => page.locator("#tile-requests .note").textContent();
  const before = await total();
  await page.waitForFunction((old) => document.querySelector("#tile-requests .note").textContent !== old, await total()).catch(() => {});
  for (let i = 0; i < 3; i += 1) await page.evaluate(() => fetch("/api/session"));
  await page.waitForFunction((old) => document.querySelector("#tile-requests .note").textContent !== old, before);
  assert.match(await page.locator("#tile-cpu .value").textContent(), /\d/);
  assert.match(await page.locator("#tile-memory .value").textContent(), /GiB|MiB/);
  done("its numbers live");

  for (const command of ["uname -a", "uname -a", "date", "uptime", "echo hello", "df -h"]) {
    await page.getByRole("textbox", { name: "Command", exact: true }).fill(command);
    await page.getByRole("button", { name: "Run" }).click();
    await page.locator("#command-result .badge").waitFor();
    await page.waitForFunction(() => !document.querySelector("#command-form button").disabled);
  }
  assert.match(await page.locator("#command-result pre").first().textContent(), /Filesystem/);
  done("a command runs and shows its output");

  const card = page.getByRole("article", { name: `Device at tcp:${device}` });
  await card.getByText("boiler-7").waitFor();
  await card.getByText("temperature_mc").waitFor();
  assert.match(await card.getByText("0b011e07").textContent(), /0b011e07/);
  await page.waitForFunction(() => Number(document.querySelector(".device dd:not(:empty)")?.textContent.length) > 0);
  await page.getByText("is not connected").first().waitFor();
  done("a device shows its boot id and its series, and one that is not there is told first");

  await card.getByLabel("Signed command to this device").fill("set-interval 200");
  await card.getByRole("button", { name: "Send" }).click();
  await card.getByText("accepted: the interval is set").waitFor();
  done("a signed command reaches the device and comes back accepted");

  // Five commands that run out of time open a breaker: sent here, since refusals show in the console.
  const { token } = await (await fetch(`${origin}/api/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "ada", password: PASSWORD }) })).json();
  const send = (command) => fetch(`${origin}/api/command`, { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify({ command }) });
  assert.equal((await send("sleep 0.1")).status, 200);
  for (let i = 0; i < 5; i += 1) assert.equal((await send(`sleep ${90 + i}`)).status, 504);
  assert.equal((await send("sleep 1")).status, 503);
  assert.equal((await send("rm -rf /")).status, 403);
  await page.getByText("Breaker of sleep is open").waitFor();
  await page.locator("#audit").getByText("rm -rf /").waitFor({ timeout: 10_000 });
  done("an open breaker and a refused command are told");

  const ask = (content) => fetch(`${origin}/api/model`, { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify({ messages: [{ role: "user", content }] }) });
  for (const content of ["one", "two", "two"]) assert.equal((await ask(content)).status, 200);
  const row = (name) => page.locator("#models tbody tr", { hasText: name });
  await page.waitForFunction(() => document.querySelector("#models-sub").textContent.includes("1 from the cache"));
  assert.match(await row("answers").textContent(), /^answersup0.*(ms|s|µs)22.*2,468$/);
  assert.match(await row("absent").textContent(), /^absent/);
  const fact = (card, name) => page.locator(`#${card} div`, { has: page.getByText(name, { exact: true }) }).locator("dd");
  assert.match(await fact("cache", "Memory hits").textContent(), /^[1-9]\d*, \d/);
  assert.match(await fact("cache", "In memory").textContent(), /^\d+ of 1,024$/);
  assert.match(await fact("pool", "Running").textContent(), /^\d of 4$/);
  assert.ok(Number((await fact("pool", "Done").textContent()).replaceAll(",", "")) > 0);
  assert.match(await fact("pool", "Wait p99").textContent(), /s$/);
  for (const name of ["audit", "events"]) assert.match(await page.locator("#batches tbody tr", { hasText: name }).textContent(), /[1-9]/);
  assert.equal(await page.locator("#memory-level").textContent(), "normal");
  await page.waitForFunction(() => / of .*iB/.test(document.querySelector("#memory-sub").textContent), undefined, { timeout: 10_000 });
  assert.match(await page.locator("#memory-by").textContent(), /results.*keeps 100 %.*last good.*keeps 100 %/);
  await page.locator("#events li", { hasText: "command uname, cached" }).getByText("1", { exact: true }).waitFor();
  const counted = await page.locator("#events").textContent();
  await send("echo one more");
  await page.waitForFunction((old) => document.querySelector("#events").textContent !== old, counted);
  done("cache, pool, batches, models, memory and counts are told, and live");

  const check = (name) => page.locator("#health li", { hasText: name });
  await check("programs (readiness)").getByText("open breakers: sleep").waitFor({ timeout: 15_000 });
  for (const name of ["database", "data dir", "disk", "heartbeat"]) assert.match(await check(name).textContent(), /(healthy|degraded).* at \d\d:\d\d:\d\d/);
  // The cache forgets it within a second, the fallback does not.
  await page.waitForTimeout(1100);
  await page.getByRole("textbox", { name: "Command", exact: true }).fill("sleep 0.1");
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator("#command-result").getByText(/an earlier output, .* old, since now the program is refused by its breaker/).waitFor();
  await page.locator("#work div", { hasText: "Fallbacks" }).getByText("1", { exact: true }).waitFor();
  assert.match(await page.locator("#work").textContent(), /Running0 of 8.*Retries left100/);
  done("health checks, places, the retry budget and a fallback are told");

  await page.waitForTimeout(Number(process.env.SETTLE_MS || 4000));
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(shots, "light.png"), fullPage: true });
  const state = await page.context().storageState();
  const dark = await open({ colorScheme: "dark", storageState: state });
  await dark.getByText("Live", { exact: true }).waitFor();
  await dark.locator(".device").getByText("temperature_mc").waitFor();
  await dark.waitForTimeout(3000);
  await dark.screenshot({ path: join(shots, "dark.png"), fullPage: true });
  const phone = await open({ colorScheme: "light", storageState: state, viewport: { width: 390, height: 844 } });
  await phone.getByText("Live", { exact: true }).waitFor();
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `the page is ${wide} px wider than a phone`);
  await phone.waitForTimeout(1500);
  await phone.screenshot({ path: join(shots, "phone.png"), fullPage: true });
  done("a reload needs no second login; dark, light and small are drawn");

  await dark.close(); await phone.close();
  await page.keyboard.press("Home");
  await page.evaluate(() => document.body.focus());
  const reached = [];
  for (let i = 0; i < 14; i += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30)));
  }
  for (const id of ["logout", "latency-chart", "command"]) assert.ok(reached.includes(id), `${id} is reached by Tab: ${reached}`);
  await page.locator("#latency-chart").focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator("#latency-chart .tip").waitFor({ state: "visible" });
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, [role=img], table, section")].filter((el) => el.checkVisibility()
    && !(el.getAttribute("aria-label") || el.getAttribute("aria-labelledby") || el.textContent.trim() || el.labels?.length)).map((el) => el.outerHTML.slice(0, 80)));
  assert.deepEqual(unnamed, []);
  done("everything is reached by keyboard and has a name");

  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
  done("no request went outside, nothing complained");

  server.kill("SIGTERM");
  const began = Date.now();
  assert.equal(await exit(server), 0);
  assert.ok(Date.now() - began < 5000);
  await page.getByText(/Stale: last update/).waitFor();
  await page.screenshot({ path: join(shots, "stale.png") });
  done("a server that ends is marked as stale");
  console.log(`screenshots: ${shots}/{login,light,dark,phone,stale}.png`);
} finally {
  await browser?.close();
  for (const child of children) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
}
process.exit(0);

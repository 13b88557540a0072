// What all steps share: a headless Chromium, pages whose requests and complaints are watched, and axe-core.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const target = process.env.CARGO_TARGET_DIR || join(root, "target");
export const shots = join(target, "browser");

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags });
export const close = () => browser.close();

let step = 0;
const began = Date.now();
export const done = (what) => console.log(`ok ${(step += 1)} - ${what} (${((Date.now() - began) / 1000).toFixed(0)} s)`);

// Requests that left the server, and what the browser complained of, on all pages.
export const outside = [], complaints = [];
export const WIDE = { width: 1360, height: 900 }, PHONE = { width: 390, height: 844 };

export async function open(origin, options = {}) {
  const page = await (await browser.newContext({ viewport: WIDE, colorScheme: "light", ...options })).newPage();
  page.setDefaultTimeout(120_000);
  page.on("request", (request) => { if (request.url() !== origin && !request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) outside.push(request.url()); });
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`); });
  page.on("pageerror", (error) => complaints.push(String(error.stack || error)));
  // PAGE=disk shows the page as it stands in the sources, without a build of the host.
  if (process.env.PAGE === "disk") await page.route((url) => url.pathname === "/" || url.pathname.startsWith("/assets/"), async (route) => {
    const name = new URL(route.request().url()).pathname.replace(/^\/(assets\/)?/, "") || "index.html";
    await route.fulfill({ response: await route.fetch(), body: readFileSync(join(root, "host-example/page", name), "utf8") });
  });
  await page.goto(origin);
  return page;
}
export const live = (page) => page.getByText("Live", { exact: true }).waitFor();
export const leave = (page) => page.context().close();

// What the page shows soon after what was done, on a busy machine too: the test is asked until it holds.
export const soon = async (test, timeout = 120_000) => {
  const until = Date.now() + timeout;
  for (;;) {
    try { return await test(); } catch (e) {
      // A TypeError: what is looked into is not there yet.
      if (!(e instanceof assert.AssertionError || e instanceof TypeError) || Date.now() > until) throw e;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

// A refusal shows in the browser's console by itself: those that a step has caused are taken out, and counted.
export async function refused(...statuses) {
  for (const status of statuses) {
    const at = await soon(() => {
      const at = complaints.findIndex((text) => text.includes(`status of ${status}`));
      assert.ok(at >= 0, `a refusal with ${status} among ${complaints}`);
      return at;
    });
    complaints.splice(at, 1);
  }
}

// As many as there were, but one at least: a page asks again after a while.
export async function refusedAtLeastOnce(status) {
  await refused(status);
  for (let i = complaints.length - 1; i >= 0; i -= 1) if (complaints[i].includes(`status of ${status}`)) complaints.splice(i, 1);
}

// While nobody answers, the browser says so itself.
export function unanswered() {
  for (let i = complaints.length - 1; i >= 0; i -= 1) if (/net::ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET|NETWORK)/.test(complaints[i])) complaints.splice(i, 1);
}

// No rule of WCAG A and AA, and none of the best practices that matter much, is broken.
export async function accessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const shown = violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map((node) => `${node.target} (${node.failureSummary.split("\n").slice(1).join(" ").trim()})`).join("; ")}`);
  const grave = shown.filter((text) => /^(serious|critical)/.test(text));
  assert.deepEqual(grave, [], what);
  return shown;
}
export const fits = (page, what) => soon(async () => {
  const over = await page.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= edge) return [];
    const wide = [...document.querySelectorAll("body *")].filter((el) => el.getBoundingClientRect().right > edge + 1);
    return [document.documentElement.scrollWidth, ...[...wide.filter((el) => !el.closest(".scroll, nav")), ...wide].slice(0, 8).map((el) => el.outerHTML.slice(0, 90))];
  });
  assert.deepEqual(over, [], `${what}: what makes the page wider than its window`);
});
export const eventually = (what, test) => soon(async () => assert.ok(await test(), what));

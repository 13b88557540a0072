// Drives the dashboard in a headless Chromium: first before a server that plays the host, then before the host itself.
// There is no outside request and no complaint of the browser on the way. Screenshots go to target/browser.
//
//   node dashboard.mjs          needs the built programs in target/debug and a Chromium (CHROMIUM=PATH)
//   node dashboard.mjs log      only the first part's steps of these names, which need no program
import assert from "node:assert/strict";
import { close, complaints, done, outside, shots } from "./browser.mjs";
import { fixture } from "./fixture.mjs";
import { host } from "./host.mjs";

const only = process.argv.slice(2);
try {
  await fixture(only);
  if (only.length === 0) await host();
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
  done("no request went outside, nothing complained");
  if (only.length === 0) console.log(`screenshots: ${shots}/{login,light,dark,phone,phone-dark,day,report,stale}.png`);
} finally {
  await close();
}
process.exit(0);

// The audit: its latest events, and what a check of its whole chain says.
import { $, api, badge, count, empty, moment, rows, may, refusal, text, words } from "./dom.js";

let timers = [], newest = null, checked = null;

export function auditing() {
  stopAuditing();
  if (!may("admin")) return;
  look(); verify();
  // The whole chain is checked from its first key: now and then, not with every look.
  timers = [setInterval(look, 5000), setInterval(() => { if (!document.hidden) verify(); }, 60000)];
}
export function stopAuditing() {
  for (const timer of timers) clearInterval(timer);
  timers = []; newest = null; checked = null;
}

async function look() {
  if (document.hidden || !may("admin")) return;
  const r = await api("GET", "/api/audit?limit=50").catch(() => null);
  if (!may("admin")) return;
  if (!r?.ok) { text($("audit-sub"), r ? refusal(r) : "the server does not answer"); return; }
  const events = r.data.events.slice(0, 50);
  text($("audit-sub"), `${count(r.data.total)} records${checked ? `, checked at ${moment(checked)}` : ""}`);
  if (events[0]?.seq === newest && newest !== null) return;
  newest = events[0]?.seq ?? null;
  const body = $("audit").tBodies[0];
  if (!events.length) { empty(body, "Nothing was recorded so far."); return; }
  rows(body, events, (e) => e.seq, (e) => [String(e.seq), moment(e.at_ms), words(e.kind), e.actor || e.source || "–", e.detail || "", [e.outcome, e.outcome === "success" ? "good" : "warn"]]);
}

async function verify() {
  const r = await api("GET", "/api/audit/verify").catch(() => null);
  if (!may("admin")) return;
  checked = Date.now();
  const shown = $("audit-verdict");
  if (!r?.ok) badge(shown, "amber", r ? `not checked: ${r.data?.detail || r.status}` : "not checked: the server does not answer");
  else if (r.data.intact) badge(shown, "green", `chain intact up to no ${count(r.data.records)}`);
  else badge(shown, "red", `chain broken: ${r.data.error}`);
  look();
}
$("audit-verify").addEventListener("click", async (e) => { e.target.disabled = true; await verify(); e.target.disabled = false; e.target.focus(); });

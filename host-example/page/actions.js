// What an operator does: each asks first, says how it went, and shows the server's refusal where it was asked.
import { $, api, badge, count, empty, h, keyed, micros, moment, notice, pick, refusal, span, text, words } from "./dom.js";

// ---- the question before an action

let asked = null;
// Asks whether to do it; on yes, does it, and keeps asking if the server refuses.
export function act(what) {
  asked = what;
  text($("confirm-title"), what.title); text($("confirm-text"), what.text); text($("confirm-yes"), what.yes);
  $("confirm-yes").className = what.danger ? "danger" : "primary";
  $("confirm-error").hidden = true; $("confirm-yes").disabled = false;
  // The browser gives the focus back to where it was, when the question is over.
  $("confirm").showModal();
  $("confirm-no").focus();
}
$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm").addEventListener("close", () => { asked = null; });
$("confirm-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const what = asked, yes = $("confirm-yes"), error = $("confirm-error");
  if (!what) return;
  yes.disabled = true; error.hidden = true;
  const r = await api(what.method, what.path, what.body).catch(() => null);
  if (asked !== what) return;
  yes.disabled = false;
  if (r?.ok) { $("confirm").close(); notice(`${typeof what.done === "function" ? what.done(r.data) : what.done}.`); return; }
  text(error, r ? refusal(r) : "The server does not answer.");
  error.hidden = false;
  yes.focus();
});
$("notice-close").addEventListener("click", () => { $("notice").hidden = true; $("main").focus({ preventScroll: true }); });

$("cache-clear").addEventListener("click", () => act({
  title: "Clear the cache?", text: "Every result is forgotten, in memory and in the file. Programs and models are asked again.", yes: "Clear", danger: true,
  method: "POST", path: "/api/cache/clear", done: (d) => `The cache is cleared: ${count(d?.cleared)} results`,
}));

// ---- jobs

const JOBS = { scheduled: "green", running: "accent", completed: "green", paused: "amber", cancelling: "amber", cancelled: "amber", failed: "red" };
const JOB_ACTS = {
  run: ["Run", "It runs once, at once; its next time stays as it is.", "was started"],
  pause: ["Pause", "No run of it begins until it is resumed, but those that are asked for.", "is paused"],
  resume: ["Resume", "It goes on with its next time.", "goes on"],
  cancel: ["Cancel", "It ends, and a run under way is given up. The next start of the server has it again.", "is cancelled"],
};
const jobButton = (j, how) => {
  const [label, what, done] = JOB_ACTS[how];
  return h("button", { type: "button", class: "small", "data-needs": "admin", "data-act": how, "aria-label": `${label} ${j.name}${how === "run" ? " now" : ""}`, onclick: () => act({ title: `${label} ${j.name}${how === "run" ? " now" : ""}?`, text: what, yes: label, method: "POST", path: `/api/jobs/${encodeURIComponent(j.id)}/${how}`, done: `${j.name} ${done}` }) }, label);
};
export function jobs(st) {
  const all = st.jobs, body = $("jobs").tBodies[0];
  $("jobs-card").hidden = !Array.isArray(all);
  if (!Array.isArray(all)) return;
  const failed = all.filter((j) => j.failed).length;
  text($("jobs-sub"), failed ? `${count(failed)} had failures` : all.length ? "none has failed" : "");
  if (!all.length) { empty(body, "No job so far."); return; }
  keyed(body, all.slice(0, 100), (j) => j.id,
    (j) => h("tr", {}, h("th", { scope: "row" }, h("span"), h("span", { class: "sub bad" })), h("td", {}, h("span", { class: "badge" })), ...Array.from({ length: 6 }, () => h("td")),
      h("td", { class: "acts" }, ...(j.runnable !== false ? Object.keys(JOB_ACTS).map((how) => jobButton(j, how)) : []))),
    (tr, j) => {
      text(tr.children[0].firstChild, words(j.name)); text(tr.children[0].lastChild, j.last_error ? j.last_error : "");
      if (j.failing) badge(tr.children[1].firstChild, "red", "failing"); else badge(tr.children[1].firstChild, pick(JOBS, j.state, "amber"), words(j.state));
      const next = j.next_ms == null ? "–" : j.next_ms <= st.now_ms ? "due" : `in ${span(j.next_ms - st.now_ms)}`;
      [span(j.period_ms), count(j.runs), count(j.failed), moment(j.last_ms), micros(j.last_took_us), next].forEach((v, i) => text(tr.children[i + 2], v));
      tr.children[4].className = j.failed ? "bad" : "";
      const over = ["cancelling", "cancelled", "completed", "failed", "stopped"].includes(j.state);
      for (const button of tr.lastChild.children) button.hidden = over || (button.dataset.act === "pause" && j.state === "paused") || (button.dataset.act === "resume" && j.state !== "paused");
    });
}

// ---- commands

const WHY = { timeout: "ran out of time", circuit_open: "is refused by its breaker", not_started: "could not be started" };
$("command-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const button = e.target.querySelector("button"), out = $("command-result");
  button.disabled = true; out.replaceChildren(h("p", { class: "meta" }, "Running…"));
  const wrong = (message) => out.replaceChildren(h("p", { class: "alert" }, message));
  try {
    const r = await api("POST", "/api/command", { command: $("command").value });
    const d = r.data;
    if (r.ok) {
      const parts = [h("span", { class: "badge", "data-level": d.success ? "green" : "amber" }, d.success ? "succeeded" : `exit code ${d.exit_code}`), ...(d.fallback_used ? [h("span", { class: "badge", "data-level": "amber" }, "fallback")] : []), micros(d.elapsed_ms * 1000), ...(d.cached ? ["from the cache"] : [`${d.attempts} attempt${d.attempts === 1 ? "" : "s"}`])];
      if (d.fallback_used) parts.push(`an earlier output, ${span(d.fallback.age_ms)} old, since now the program ${pick(WHY, d.fallback.cause, "gave none")}`);
      if (d.truncated) parts.push("output cut");
      const shown = (output, cls, name) => (output ? [h("pre", { class: cls, tabindex: "0", role: "region", "aria-label": name }, output)] : []);
      out.replaceChildren(h("p", { class: "meta" }, ...parts.map((p) => (typeof p === "string" ? h("span", {}, p) : p))), ...shown(d.stdout, null, "Output"), ...shown(d.stderr, "err", "Error output"));
    } else wrong(refusal(r));
  } catch { wrong("The server does not answer."); }
  button.disabled = false;
});

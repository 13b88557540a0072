// The log's tail: the latest lines, a level from which they are shown, a search, a pause.
import { $, api, attr, clock, count, empty, h, keyed, may, moment, notice, refusal, state, text, words } from "./dom.js";

const KEEP = 400; // lines that the page holds
const ORDER = ["trace", "debug", "info", "warn", "error"];
let lines = [], asking = false, paused = false, turn = 0, next = 0, fault = "";
// Up to which number lines were asked for, and whether that was all: a line is to be had a moment after it was counted.
let asked = null, late = false;

export function forgetLogs() { lines = []; asked = null; late = false; turn += 1; asking = false; next = 0; fault = ""; }

const level = (name) => String(name ?? "").toLowerCase();
export function fields(value) {
  if (value == null || value === "") return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((one) => (Array.isArray(one) ? `${one[0]}=${plain(one[1])}` : plain(one))).join(" ");
  return typeof value === "object" ? Object.entries(value).map(([key, one]) => `${key}=${plain(one)}`).join(" ") : String(value);
}
const plain = (v) => (v !== null && typeof v === "object" ? JSON.stringify(v) : String(v));

export function logs(st) {
  const told = st.logs;
  $("logs-card").hidden = !told;
  if (!told) return;
  if (!levelTouched) { const now = level(told.level); if (ORDER.includes(now) && $("level").value !== now) $("level").value = now; }
  // A server that began anew counts anew.
  if (asked !== null && told.last_seq < asked) { forgetLogs(); draw(); }
  // The answer to what was asked may have told of lines that the status did not know yet.
  const newer = Math.max(0, (told.last_seq ?? 0) - Math.max(asked ?? 0, lines.at(-1)?.seq ?? 0));
  const parts = [`${count(told.written)} written`, ...(told.dropped ? [`${count(told.dropped)} dropped`] : []), `level ${level(told.level)}`, ...(paused ? [`paused, ${count(newer)} newer`] : []), ...(fault ? [fault] : [])];
  text($("logs-sub"), parts.join(", "));
  attr($("logs-sub"), "title", told.last_error ?? null);
  $("logs-sub").classList.toggle("bad", Boolean(fault || told.dropped));
  if (!paused && (asked === null || newer > 0 || late)) load(told.last_seq ?? 0);
}

// Asks for what is new; a fault is asked about again after a while.
async function load(upto) {
  if (asking || performance.now() < next) return;
  asking = true;
  const mine = turn, from = lines.length ? lines[lines.length - 1].seq : 0;
  const r = await api("GET", `/api/logs?limit=${KEEP}&level=${$("logs-level").value}&after=${from}`).catch(() => null);
  if (mine !== turn) return;
  asking = false;
  if (!r?.ok) { fault = r ? refusal(r) : "the server does not answer"; next = performance.now() + 5000; return; }
  fault = "";
  if (paused) return;
  late = upto > (asked ?? -1);
  asked = Math.max(upto, asked ?? 0);
  for (const line of Array.isArray(r.data.lines) ? r.data.lines : []) {
    // What was said once more is told again, with its new number, and takes the place of what was told before.
    while (lines.length && lines[lines.length - 1].seq >= line.seq - (line.repeated || 0)) lines.pop();
    lines.push(line);
  }
  lines = lines.slice(-KEEP);
  draw();
}

function draw() {
  const box = $("logs-scroll"), body = $("logs").tBodies[0], wanted = $("logs-search").value.trim().toLowerCase();
  // Who has scrolled up reads; who is at the end follows.
  const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  const least = ORDER.indexOf($("logs-level").value);
  const shown = lines.filter((line) => ORDER.indexOf(level(line.level)) >= least && (!wanted || `${line.target} ${line.message} ${fields(line.fields)}`.toLowerCase().includes(wanted)));
  if (!shown.length) empty(body, wanted ? "No line has this text." : "No line so far.");
  else keyed(body, shown, (line) => line.seq,
    (line) => h("tr", { "data-level": level(line.level) }, h("td", { class: "at", title: moment(line.at_ms) }, clock(line.at_ms)), h("td", { class: "level" }, level(line.level)), h("td", { class: "target" }, line.target), h("td", { class: "message" }, h("span"), h("span", { class: "fields" }), h("span", { class: "times" }))),
    (tr, line) => {
      const [message, more, times] = tr.lastChild.children;
      text(message, line.message); text(more, fields(line.fields)); text(times, line.repeated > 0 ? `and ${count(line.repeated)} more of it` : "");
    });
  if (follows) box.scrollTop = box.scrollHeight;
}

$("logs-level").addEventListener("change", () => { forgetLogs(); draw(); if (paused) pause(false); else if (state.status) logs(state.status); });
$("logs-search").addEventListener("input", draw);
function pause(on) {
  paused = on;
  attr($("logs-pause"), "aria-pressed", on); text($("logs-pause"), on ? "Go on" : "Pause");
  if (state.status) logs(state.status);
}
$("logs-pause").addEventListener("click", () => pause(!paused));

// ---- the level that the server writes

let levelTouched = false;
$("level").addEventListener("change", () => { levelTouched = true; });
$("level-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (!may("admin")) return;
  const button = e.target.querySelector("button");
  button.disabled = true;
  const r = await api("PUT", "/api/log-level", { level: $("level").value }).catch(() => null);
  button.disabled = false; levelTouched = false;
  button.focus();
  if (r?.ok) notice(`The server writes from ${words(r.data?.level)} on.`);
  else notice(r ? refusal(r) : "The server does not answer.", "red");
});

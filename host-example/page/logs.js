// The log's tail: the latest lines, a level from which they are shown, a search, a pause.
import { $, api, attr, clock, count, empty, h, keyed, may, moment, notice, refusal, state, text, words } from "./dom.js";

const KEEP = 400; // lines that the page holds
const ORDER = ["trace", "debug", "info", "warn", "error"];
let lines = [], after = null, asking = false, paused = false, turn = 0, lost = 0, next = 0, fault = "";

export function forgetLogs() { lines = []; after = null; turn += 1; asking = false; lost = 0; next = 0; fault = ""; }

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
  if (after !== null && told.last_seq < after) forgetLogs();
  const waiting = Math.max(0, (told.last_seq ?? 0) - (after ?? 0));
  const parts = [`${count(told.written)} written`, ...(told.dropped ? [`${count(told.dropped)} dropped`] : []), `level ${level(told.level)}`, ...(paused ? [`paused, ${count(waiting)} newer`] : []), ...(lost ? [`${count(lost)} not shown, they came too fast`] : []), ...(fault ? [fault] : [])];
  text($("logs-sub"), parts.join(", "));
  $("logs-sub").classList.toggle("bad", Boolean(fault || told.dropped));
  if (!paused && (after === null || waiting > 0)) load();
}

// Asks for what is new; a fault is asked about again after a while.
async function load() {
  if (asking || performance.now() < next) return;
  asking = true;
  const mine = turn, from = after;
  const r = await api("GET", `/api/logs?limit=200&level=${$("logs-level").value}${from === null ? "" : `&after=${from}`}`).catch(() => null);
  if (mine !== turn) return;
  asking = false;
  if (!r?.ok) { fault = r ? refusal(r) : "the server does not answer"; next = performance.now() + 5000; return; }
  fault = "";
  if (paused) return;
  const got = (Array.isArray(r.data.lines) ? r.data.lines : []).filter((line) => !(line.seq <= from));
  lost += from === null ? 0 : Number(r.data.missed) || 0;
  const last = got.length ? got[got.length - 1].seq : null;
  // A full page may not be all: what follows is asked for with the next status.
  after = got.length >= 200 && from !== null ? last : Math.max(from ?? 0, last ?? 0, Number(r.data.last_seq) || 0);
  lines = [...lines, ...got].slice(-KEEP);
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

$("logs-level").addEventListener("change", () => { const was = after; forgetLogs(); if (was !== null && paused) pause(false); draw(); load(); });
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

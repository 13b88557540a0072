// The charts of the page and the breakers, which are drawn from the same points.
import { $, attr, badge, bytes, count, empty, h, keyed, micros, moment, perSecond, percent, pick, rate, rows, s, span, state, text, words } from "./dom.js";
import { Chart, RANGES, code, history, stretches, strip, told } from "./charts.js";
import { act } from "./actions.js";

const tiles = new Map();
const one = (key, name) => ({ key, name });
const CHARTS = [
  { id: "cpu", name: "CPU", series: [one("cpu", "CPU")], format: percent, top: () => 1000, value: (st) => percent(st.system?.cpu_permille), note: (st) => `load ${st.system?.load1 ?? "–"} on ${st.system?.cpus ?? "–"} cores` },
  { id: "memory", name: "Memory", series: [one("memory", "Memory")], format: bytes, base: 1024, top: () => state.status?.system?.memory_total, value: (st) => bytes(st.system?.memory_used), note: (st) => `of ${bytes(st.system?.memory_total)}` },
  { id: "requests", name: "Requests", series: [one("rps", "Requests")], format: rate, value: (st) => rate(st.requests.per_second), note: (st) => `${count(st.requests.total)} in all, ${count(st.requests.refused)} refused, ${count(st.requests.failed)} failed` },
  { id: "latency", name: "Latency", series: [one("p50", "p50"), one("p95", "p95"), one("p99", "p99")], format: micros, log: true, value: (st) => micros(st.latency.p95_us), note: (st) => `p95 of the last minute, ${count(st.latency.count)} requests` },
  { id: "hits", name: "Cache hits", series: [one("hit", "Hits")], format: percent, top: () => 1000, value: (st) => percent(st.cache.hit_permille), note: (st) => `${count(st.cache.hits)} hits, ${count(st.cache.misses)} misses` },
  { id: "network", name: "Network", series: [one("net_rx", "received"), one("net_tx", "sent")], format: perSecond, base: 1024, value: (st) => perSecond(st.system?.received_per_second), note: () => "received; without the machine’s talk with itself" },
];

// What of a status is a point of the charts.
export function point(st) {
  const b = {};
  for (const one of all(st)) b[one.name] = code(one.state);
  return { net_rx: st.system?.received_per_second, net_tx: st.system?.sent_per_second, ...st.point, t: st.point?.t || st.now_ms, b };
}

export function charts(st) {
  const end = history.now, step = history.step(), points = history.points();
  // The window grows with what there is, so that a young server's line is not a dot at the edge.
  const whole = end - history.ms, first = points[0]?.t ?? whole, start = Math.max(whole, Math.min(first - step, end - history.ms / 8));
  const kept = st.history, note = history.note || (kept?.lost ? `${count(kept.lost)} values of the history are lost` : "");
  text($("charts-sub"), note || (history.range !== "5m" && !history.kept ? "loading…" : `the last ${RANGES[history.range].words}${first - 4 * step > whole ? `, known since ${moment(first)}` : ""}`));
  attr($("charts-sub"), "title", kept ? `${count(kept.series)} series, ${count(kept.rows)} values, ${bytes(kept.bytes)} of ${bytes(kept.max_bytes)}` : null);
  $("charts-sub").classList.toggle("bad", Boolean(note));
  for (const spec of CHARTS) {
    let chart = tiles.get(spec.id);
    if (!chart) { chart = new Chart(spec); tiles.set(spec.id, chart); $("tiles").append(chart.card); }
    const [, value, unit] = String(spec.value(st)).match(/^([^ /]*) ?(.*)$/), shown = `${value} ${unit}`;
    if (chart.value.dataset.text !== shown) { chart.value.dataset.text = shown; chart.value.replaceChildren(value, ...(unit ? [h("small", {}, ` ${unit}`)] : [])); }
    text(chart.note, spec.note(st)); attr(chart.note, "title", spec.note(st));
    chart.draw({ points, start, end, step, range: history.range });
  }
  timelines(points, start, end, step);
}

// ---- breakers

const STATES = { closed: "green", half_open: "amber", open: "red", forced_open: "red", disabled: "amber", forced_closed: "amber" };
const NAMES = { disabled: "forced closed", forced_open: "forced open", half_open: "half-open" };
export const level = (name) => pick(STATES, name, "amber");
export const stateName = (name) => pick(NAMES, name, words(name));
const MODES = { consecutive: "opens on failures in a row", count_window: "opens on a rate of the latest calls", count_window_slow: "opens on a rate of the latest calls, failed or slow", time_window: "opens on a rate of the latest time", time_window_slow: "opens on a rate of the latest time, failed or slow" };
const SHOWN = 64;
let everything = false;

// The programs' breakers, and those of the models.
function all(st) {
  const models = (st.models?.upstreams ?? []).map((u) => ({ name: `model:${u.name}`, state: u.state, retry_in_ms: u.state === "open" ? u.retry_in_ms : null, refused: u.rejected, runs: u.asked, model: true, note: `${count(u.answered)} of ${count(u.asked)} answered` }));
  return [...(st.breakers ?? []), ...models];
}
export const tracked = (st) => all(st).map((b) => b.name);

// Those that ran, those that are not closed, and those that were not at some time in the range: a restart forgets no trouble.
function interesting(known) {
  const points = history.points();
  return known.filter((b) => b.runs || b.state !== "closed" || points.some((p) => p.b[b.name] > 0));
}

function said(b) {
  const seen = b.window?.calls ? `${count(b.window.failed)} of ${count(b.window.calls)} failed${b.mode?.endsWith("slow") ? `, ${count(b.window.slow)} slow` : ""}` : "";
  if (b.state === "forced_open") return `refuses every call until it is reset, ${count(b.refused)} refused`;
  if (NAMES[b.state] === "forced closed") return "lets every call through until it is reset";
  if (b.retry_in_ms != null) return `tries again in ${span(b.retry_in_ms)}, ${count(b.refused)} refused`;
  if (b.state === "half_open") return "waits for what its probes say";
  return b.consecutive_failures ? `${count(b.consecutive_failures)} failed in a row` : b.note || seen || (b.runs ? `${count(b.runs)} run${b.runs === 1 ? "" : "s"}` : "has not run yet");
}

const ACTIONS = {
  reset: { label: "Reset", title: (n) => `Reset the breaker of ${n}?`, text: "It closes, and forgets its failures. What is still broken opens it again.", done: (n) => `The breaker of ${n} is reset` },
  "force-open": { label: "Force open", title: (n) => `Force the breaker of ${n} open?`, text: "Every call is refused at once, until somebody resets it.", done: (n) => `The breaker of ${n} is forced open`, danger: true },
  "force-close": { label: "Force close", title: (n) => `Force the breaker of ${n} closed?`, text: "Every call goes through, however many fail, until somebody resets it.", done: (n) => `The breaker of ${n} is forced closed`, danger: true },
};
function button(name, action) {
  const a = ACTIONS[action];
  return h("button", { type: "button", class: "small", "aria-label": `${a.label}: breaker of ${name}`, onclick: () => act({
    title: a.title(name), text: a.text, yes: a.label, danger: a.danger, method: "POST", path: `/api/breakers/${encodeURIComponent(name)}/${action}`, done: a.done(name),
  }) }, a.label);
}

export function breakers(st) {
  const known = all(st), ran = interesting(known), shown = everything ? known : ran, open = known.filter((b) => b.state !== "closed").length;
  text($("breakers-sub"), known.length ? (open ? `${count(open)} not closed` : "all closed") : "");
  const more = $("breakers-all");
  more.hidden = ran.length === known.length && !everything;
  text(more, everything ? "Show those that ran" : `Show all ${count(known.length)}`);
  if (!shown.length) empty($("breakers"), "A breaker appears with the first command of its program.");
  else keyed($("breakers"), shown.slice(0, SHOWN), (b) => b.name,
    (b) => h("li", {}, h("span", { class: "name mono" }), h("span", { class: "badge" }), s("svg", { class: "strip", viewBox: "0 0 1000 16", preserveAspectRatio: "none", "aria-hidden": "true" }), h("span", { class: "sub" }), h("span", { class: "acts", "data-needs": "admin" }, ...Object.keys(ACTIONS).map((action) => button(b.name, action)))),
    (li, b) => {
      text(li.children[0], b.name); badge(li.children[1], level(b.state), stateName(b.state)); text(li.children[3], said(b));
      attr(li, "title", b.mode ? `${pick(MODES, b.mode, b.mode)}; ${count(b.runs)} runs, ${count(b.retries)} tried again, opened ${count(b.opened)} times, ${count(b.refused)} refused` : null);
      li.dataset.name = b.name;
    });
  if (shown.length > SHOWN) text($("breakers-sub"), `${$("breakers-sub").textContent}, ${count(shown.length - SHOWN)} more not shown`);
}
$("breakers-all").addEventListener("click", () => { everything = !everything; attr($("breakers-all"), "aria-pressed", everything); if (state.status) { breakers(state.status); charts(state.status); } });

function timelines(points, start, end, step) {
  const parts = [], body = $("changes").querySelector("tbody");
  for (const li of $("breakers").children) {
    const name = li.dataset.name;
    if (name === undefined) continue;
    const mine = stretches(points, name, step, end);
    strip(li.querySelector(".strip"), mine, start, end);
    if ($("changes").open) for (const part of mine) parts.push({ name, ...part });
  }
  $("breakers-scale").hidden = !points.length;
  text($("breakers-scale").firstElementChild, moment(start));
  if (!$("changes").open) { body.replaceChildren(); return; }
  parts.sort((a, b) => b.to - a.to || b.from - a.from);
  rows(body, parts.slice(0, 300), (p) => `${p.from}/${p.name}`, (p) => [[p.name, "mono"], [told(p.v), p.v > 0 ? "bad" : "good"], moment(p.from), p.to >= end - step ? "now" : moment(p.to)]);
}
$("changes").addEventListener("toggle", () => { if (state.status) charts(state.status); });

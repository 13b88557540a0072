// The devices: a table of all, and a card of each that has said something.
import { $, api, badge, bytes, count, empty, facts, h, keyed, may, micros, percent, refusal, rows, s, some, span, state, text, words } from "./dom.js";
import { sparkline } from "./charts.js";
import { level as breakerLevel, stateName } from "./live.js";

const SHOWN = 100, CARDS = 24, SERIES = 64, POINTS = 60;
const seen = new Map(); // a device's series -> its latest values
export const forget = () => { seen.clear(); $("devices").replaceChildren(); };

const seriesKey = (d, name) => JSON.stringify([d.endpoint, d.boot_id, name]);
const own = (table) => Object.entries(table ?? {}).slice(0, SERIES);
const silent = (d) => d.connected && d.last_seen_ms > 10000;

export function devices(st) {
  const body = $("devices-table").tBodies[0];
  text($("devices-sub"), st.devices.length ? `${st.devices.filter((d) => d.connected).length} of ${st.devices.length} connected` : "");
  const shown = some(st.devices, SHOWN, $("devices-more"));
  if (!shown.length) empty(body, "No device is attached. Start with --device tcp:HOST:PORT or a serial port’s path.");
  else rows(body, shown, (d) => d.endpoint,
    (d) => [d.id ? `${d.id} at ${d.endpoint}` : d.endpoint, "", d.last_seen_ms == null ? "never" : `${span(d.last_seen_ms)} ago`, count(d.frames), [count(d.lost), d.lost ? "warn" : ""], [count(d.crc_errors), d.crc_errors ? "warn" : ""], d.firmware ?? "–", [d.boot_id ?? "–", "mono"], d.reset_cause ? words(d.reset_cause) : "–", d.boot_id ? span(d.device_uptime_ms) : "–"].map((cell, i) => (i === 1 ? stateCell(d) : cell)),
    (tr, d) => { tr.dataset.level = level(d); tr.title = d.link_error || `${count(d.connections)} connections, ${count(d.boots)} boots, ${count(d.duplicates)} frames twice`; });
  const cards = shown.filter((d) => d.boot_id != null || d.id != null || Object.keys(d.series ?? {}).length).slice(0, CARDS);
  keyed($("devices"), cards, (d) => d.endpoint, card, device);
  // A device that comes back under other names must not fill the page's memory.
  const told = new Set(cards.flatMap((d) => own(d.series).map(([name]) => seriesKey(d, name))));
  for (const key of seen.keys()) if (!told.has(key)) seen.delete(key);
}
const level = (d) => (!d.connected ? "red" : silent(d) || d.ready === false ? "amber" : "green");
const stateWords = (d) => (!d.connected ? "not connected" : silent(d) ? "silent" : d.ready === false ? "not ready" : "connected");
const stateCell = (d) => [stateWords(d), `state ${{ green: "good", amber: "warn", red: "bad" }[level(d)]}`];

const schema = (d) => (d.schema == null ? "–" : `${d.schema}${d.schema_ahead > 0 ? `, newer than the server’s ${d.schema - d.schema_ahead}: ${count(d.unknown)} skipped` : d.schema_ahead < 0 ? `, older than the server’s ${d.schema - d.schema_ahead}` : ""}`);
// A quarter of a second is what a line and a frame take.
const clock = (d) => (d.wall_ahead_ms == null ? "not set" : Math.abs(d.wall_ahead_ms) < 250 ? "as the server’s" : `${span(Math.abs(d.wall_ahead_ms))} ${d.wall_ahead_ms > 0 ? "ahead" : "behind"}`);

function device(el, d) {
  const part = (name) => el.querySelector(`[data-part=${name}]`);
  text(part("name"), d.id || d.endpoint);
  badge(part("state"), level(d), stateWords(d));
  text(part("seen"), d.last_seen_ms == null ? d.link_error || "never seen" : `seen ${span(d.last_seen_ms)} ago`);
  const memory = d.system ? [["Stack used", d.system.stack_size ? percent((d.system.stack_high_water * 1000) / d.system.stack_size) : "–"], ["Idle", percent(d.system.idle_permille)]] : [];
  facts(part("facts"), [["Firmware", d.firmware ?? "–"], ["Schema", schema(d), d.schema_ahead > 0 ? "warn" : ""], ["Clock", clock(d)], ["Reset by", d.reset_cause ? words(d.reset_cause) : "–"], ["Boot id", d.boot_id ?? "–"], ["Lost", count(d.lost), d.lost ? "warn" : ""], ["Commands", `${count(d.commands_accepted)} taken`], ...memory,
    ...own(d.caches).map(([name, c]) => [`Cache ${name}`, `${percent(c.hits + c.misses ? (c.hits * 1000) / (c.hits + c.misses) : null)} hits`])]);
  keyed(part("breakers"), own(d.breakers), ([name]) => name, () => h("li", {}, h("span", { class: "name mono" }), h("span", { class: "badge" })),
    (li, [name, b]) => { text(li.children[0], name); badge(li.children[1], breakerLevel(b.state), `breaker ${stateName(b.state)}${b.refused ? `, ${count(b.refused)} refused` : ""}`); });
  keyed(part("series"), own(d.series), ([name]) => name,
    () => h("li", {}, h("span", { class: "name mono" }), s("svg", { "aria-hidden": "true" }), h("span", { class: "v" })),
    (li, [name, x]) => {
      const key = seriesKey(d, name), before = seen.get(key) || [];
      const { plot, shown, more, cls } = reading(name, x, before), values = [...before, { raw: x.total, plot }].slice(-POINTS);
      seen.set(key, values);
      text(li.children[0], name); text(li.children[2], shown); li.title = more;
      const known = values.map((p) => p.plot).filter((v) => typeof v === "number"), low = Math.min(...known), high = Math.max(...known);
      // A gauge is drawn between its own bounds: what matters is how it moves. One that rests lies in the middle, zero at the bottom.
      const from = x.kind === "gauge" && high > low ? low - (high - low) * 0.15 : Math.min(0, low);
      sparkline(li.children[1], values.map((p) => (p.plot == null ? null : p.plot - from)), 12, POINTS, high > low ? undefined : Math.max(1e-9, (high - from) * 2), cls);
    });
  keyed(part("errors"), own(d.errors), ([kind]) => kind, () => h("li", {}, h("span", { class: "name" }), h("span"), h("span", { class: "sub" })),
    (li, [kind, e]) => { text(li.children[0], e.message || kind); text(li.children[1], count(e.total)); text(li.children[2], `${kind}, the latest at ${span(e.device_at_ms)}`); });
  const log = Array.isArray(d.log) ? d.log.slice(-32) : [];
  part("log-box").hidden = !log.length;
  text(part("log-title"), `Log${log.some((line) => line.before_reset) ? ", with lines from before the reset" : ""}`);
  keyed(part("log"), log.map((line, i) => ({ ...line, i })), (line) => line.i,
    () => h("li", {}, h("span", { class: "mark-reset" }), h("span", { class: "level" }), h("span", { class: "message" }), h("span", { class: "sub" })),
    (li, line) => {
      const [mark, level, message, sub] = li.children, how = String(line.level ?? "").toLowerCase();
      mark.hidden = !line.before_reset; text(mark, "before the reset");
      li.dataset.level = how; text(level, how);
      text(message, `${line.message}${line.repeated > 0 ? ` (and ${count(line.repeated)} more of it)` : ""}`); text(sub, `${line.target} at ${span(line.device_at_ms)}`);
    });
  el.querySelector("form").hidden = !(may("write") && d.id);
}

// The unit of a gauge is the last part of its name.
const UNITS = { mc: [1000, "°C", 2], mpct: [1000, "%", 1], permille: [10, "%", 1], mv: [1000, "V", 2], ma: [1, "mA", 0], ms: [1, "ms", 0], us: [1, "µs", 0], hz: [1, "Hz", 0], percent: [1, "%", 0], pa: [1, "Pa", 0] };
function reading(name, x, before) {
  if (x.kind === "counter") {
    const last = before.length ? before[before.length - 1].raw : null;
    return { plot: last == null || x.total < last ? 0 : x.total - last, shown: count(x.total), more: "counter, drawn as what it grows by", cls: "s1" };
  }
  if (x.kind === "gauge") {
    const tail = name.split("_").pop(), unit = Object.hasOwn(UNITS, tail) ? UNITS[tail] : null;
    if (tail === "bytes") return { plot: x.value, shown: bytes(x.value), more: "gauge", cls: "s4" };
    return { plot: x.value, shown: unit ? `${(x.value / unit[0]).toFixed(unit[2])} ${unit[1]}` : count(x.value), more: "gauge", cls: "s4" };
  }
  const as = { nanos: (v) => micros(v / 1000), bytes, cycles: (v) => `${count(v)} cycles` }[x.unit] || count;
  return { plot: x.p95, shown: `p95 ${as(x.p95)}`, more: `${count(x.count)} values, p50 ${as(x.p50)}, p95 ${as(x.p95)}, p99 ${as(x.p99)}, max ${as(x.max)}`, cls: "s2" };
}

let cards = 0;
function card(d) {
  const id = `device-${(cards += 1)}`;
  const input = h("input", { class: "mono", id, placeholder: "set-interval 500", autocomplete: "off", spellcheck: "false", required: "", maxlength: "64" });
  const answer = h("div", { class: "answer", role: "status" });
  const button = h("button", { type: "submit" }, "Send");
  const form = h("form", { class: "row", hidden: "", "data-needs": "write" }, h("label", { class: "sr", for: id }, "Signed command to this device"), input, button);
  const say = (cls, words) => { answer.className = `answer ${cls}`; text(answer, words); };
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const name = state.status?.devices.find((x) => x.endpoint === d.endpoint)?.id;
    if (!name) { say("bad", "The device has no name any more."); return; }
    button.disabled = true; say("quiet", "Signed and sent, waiting for the answer…");
    try {
      const r = await api("POST", `/api/devices/${encodeURIComponent(name)}/commands`, { command: input.value });
      say(r.ok && r.data.verdict === "accepted" ? "good" : "bad", r.ok ? `${words(r.data.verdict)}${r.data.message ? `: ${r.data.message}` : ""}` : refusal(r));
    } catch { say("bad", "The server does not answer."); }
    button.disabled = false;
  });
  const log = h("details", { class: "data", "data-part": "log-box", open: "" }, h("summary", { "data-part": "log-title" }, "Log"), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Log of the device at ${d.endpoint}` }, h("ul", { class: "lines", "data-part": "log" })));
  return h("article", { class: "card device", "aria-label": `Device at ${d.endpoint}` },
    h("header", {}, h("h3", { "data-part": "name" }), h("span", { class: "badge", "data-part": "state" }), h("span", { class: "grow" }), h("span", { class: "quiet", "data-part": "seen" })),
    h("p", { class: "quiet link" }, d.endpoint),
    h("dl", { class: "facts", "data-part": "facts" }), h("ul", { class: "list", "data-part": "breakers" }), h("ul", { class: "list series", "data-part": "series" }), h("ul", { class: "list log", "data-part": "errors" }), log, form, answer);
}

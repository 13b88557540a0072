// Charts: lines over time with a cursor, a table that says the same, and the breakers' states as a timeline.
import { $, api, attr, clock, day, h, moment, rows, s, text } from "./dom.js";

const WIDTH = 1000; // of the drawing, which is stretched to its box
export const RANGES = {
  "5m": { name: "5 min", words: "5 minutes", ms: 300e3, points: 300, every: 0 },
  "1h": { name: "1 h", words: "hour", ms: 3600e3, points: 240, every: 15e3 },
  "24h": { name: "24 h", words: "24 hours", ms: 86400e3, points: 288, every: 60e3 },
  "14d": { name: "14 d", words: "14 days", ms: 1209600e3, points: 336, every: 300e3 },
};

// ---- what is drawn

const RETRY = 10e3; // after a fault of the history
const LIVE = 320; // points kept of what comes by itself: five minutes, and a little
const COLUMNS = ["cpu", "memory", "rps", "p50", "p95", "p99", "hit", "net_rx", "net_tx"];
const CODES = { closed: 0, metrics_only: 0, disabled: 0, forced_closed: 0, half_open: 1, open: 2, forced_open: 2 };
export const code = (name) => (Object.hasOwn(CODES, name) ? CODES[name] : 1);
const isKnown = (v) => typeof v === "number" && Number.isFinite(v);

// The points of the chosen range: those of the last minutes come with every status, older ones from the
// server's history, which outlives a restart.
class History {
  constructor() { this.range = "5m"; this.live = []; this.kept = null; this.note = ""; this.turn = 0; this.now = 0; this.asked = 0; this.failed = 0; }
  get ms() { return RANGES[this.range].ms; }
  clear() { this.live = []; this.kept = null; this.note = ""; this.now = 0; this.asked = 0; this.turn += 1; }
  // What the stream brings at its beginning.
  seed(points) { this.merge((Array.isArray(points) ? points : []).filter((p) => isKnown(p?.t)).map((p) => ({ ...p, b: {} }))); }
  // Where the stream and the history tell of the same second, the stream is believed.
  merge(points) {
    const mine = this.live.filter((p) => p.own), all = [...mine, ...points].sort((a, b) => a.t - b.t);
    const near = (p, q) => q?.own && Math.abs(p.t - q.t) < 600;
    this.live = all.filter((p, i) => p.own || !(near(p, all[i - 1]) || near(p, all[i + 1]))).slice(-LIVE);
  }
  push(point) {
    if (!isKnown(point.t)) return;
    // A clock that was set back begins anew, rather than drawing over what was.
    if (point.t < this.now) { this.live = this.live.filter((p) => p.t < point.t); this.kept = null; this.asked = 0; }
    this.now = point.t;
    if (this.live[this.live.length - 1]?.t === point.t) this.live.pop();
    this.live.push({ ...point, own: true });
    if (this.live.length > LIVE) this.live.shift();
  }
  points() {
    const from = this.now - this.ms;
    return (this.range === "5m" ? this.live : this.kept?.points ?? []).filter((p) => p.t >= from);
  }
  // How far apart the points should be: a longer silence is a hole.
  step() {
    if (this.range !== "5m") return this.kept?.step ?? this.ms / RANGES[this.range].points;
    const latest = this.live.slice(-12), apart = latest.slice(1).map((p, i) => p.t - latest[i].t).sort((a, b) => a - b);
    return Math.max(1200, apart[apart.length >> 1] ?? 0);
  }
  due() { const { every } = RANGES[this.range]; return this.now > 0 && (this.asked === 0 || (this.failed > 0 && performance.now() - this.failed > RETRY) || (every > 0 && performance.now() - this.asked > every)); }
  async load(breakers) {
    // One point more than steps, since both ends are asked for.
    const turn = (this.turn += 1), range = this.range, { ms, points } = RANGES[range], to = this.now;
    this.asked = performance.now(); this.failed = 0;
    const ask = async (series) => {
      const all = [];
      // Addresses have a length that servers take: many breakers are asked for in turns.
      for (let i = 0; i < series.length; i += 24) {
        const r = await api("GET", `/api/history?series=${encodeURIComponent(series.slice(i, i + 24).join(","))}&from=${to - ms}&to=${to}&points=${points + 1}`).catch(() => null);
        if (!r?.ok) return { all, fault: r ? r.data?.detail || `status ${r.status}` : "the server does not answer" };
        all.push(r.data);
      }
      return { all, fault: "" };
    };
    const plain = await ask(COLUMNS);
    const states = plain.fault ? { all: [], fault: "" } : await ask(breakers.filter((name) => !name.includes(",")).slice(0, 96).map((name) => `breaker:${name}`));
    if (turn !== this.turn) return;
    this.note = plain.fault ? `History is not to be had: ${plain.fault}` : plain.all.some((part) => part.complete === false) ? "History is not to be had now: its file could not be read" : "";
    this.failed = this.note ? performance.now() : 0;
    if (plain.fault) { if (range !== "5m") this.kept = { points: [], step: ms / points }; return; }
    const found = new Map();
    for (const part of [...plain.all, ...states.all]) {
      (Array.isArray(part.t) ? part.t : []).forEach((t, i) => {
        if (!isKnown(t)) return;
        const p = found.get(t) || { t, b: {} };
        found.set(t, p);
        for (const [name, values] of Object.entries(part.series || {})) {
          const value = values?.[i];
          if (!isKnown(value)) continue;
          if (name.startsWith("breaker:")) p.b[name.slice(8)] = value; else p[name] = value;
        }
      });
    }
    const list = [...found.values()].sort((a, b) => a.t - b.t);
    // Steps from before anything was known are not of the chart.
    while (list.length && Object.keys(list[0]).length === 2 && !Object.keys(list[0].b).length) list.shift();
    if (range === "5m") this.merge(list); else this.kept = { points: list, step: plain.all[0]?.step_ms || ms / points };
  }
}
export const history = new History();

// ---- lines

// The path of a series; a hole in the data is a hole in the line.
function paths(points, value, x, y, gap) {
  let line = "", area = "", last = null;
  const close = () => { if (last) area += `L${last.x} 100L${last.from} 100Z`; last = null; };
  for (const p of points) {
    const v = value(p);
    if (!isKnown(v)) { close(); continue; }
    if (last && p.t - last.t > gap) close();
    const px = x(p.t).toFixed(1), at = `${px} ${y(v).toFixed(2)}`;
    line += `${last ? "L" : "M"}${at}`; area += `${last ? "L" : "M"}${at}`;
    // A value alone between two holes is a dot.
    if (!last) line += `h.01`;
    last = { x: px, from: last ? last.from : px, t: p.t };
  }
  close();
  return { line, area };
}

const STEPS = [1, 2, 5, 10];
function nice(max, base) {
  if (!(max > 0)) return 1;
  const power = base ** Math.floor(Math.log(max) / Math.log(base));
  const steps = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : STEPS;
  return power * (steps.find((step) => step * power >= max * 0.999) ?? base);
}

// A chart of the card `spec` names: its series as lines, its value in large, its cursor, its table.
export class Chart {
  constructor(spec) {
    this.spec = spec; this.at = null; this.points = [];
    const { id, name, series } = spec;
    this.value = h("p", { class: "value" });
    this.note = h("p", { class: "note" });
    this.svg = s("svg", { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.grid = s("g", {});
    this.lines = series.map((_, i) => ({ area: i === 0 ? s("path", { class: `area s${i + 1}` }) : null, line: s("path", { class: `line s${i + 1}` }) }));
    this.svg.append(this.grid, ...this.lines.flatMap(({ area, line }) => (area ? [area, line] : [line])));
    this.axes = h("div", { "aria-hidden": "true" });
    this.from = h("span", { class: "span from" }); this.middle = h("span", { class: "span middle" }); this.to = h("span", { class: "span to" }, "now");
    this.cursor = h("div", { class: "cursor", hidden: "" });
    this.tip = h("div", { class: "tip", hidden: "" });
    this.hollow = h("p", { class: "hollow-chart", hidden: "" }, "no values in this range");
    // A slider over time: what it stands on is said with each step.
    this.el = h("div", { class: "chart", id: `${id}-chart`, tabindex: "0", role: "slider", "aria-label": `${name} over time`, "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0", "aria-valuetext": "no values" },
      this.svg, this.axes, h("div", { class: "spans", "aria-hidden": "true" }, this.from, this.middle, this.to), this.cursor, this.tip, this.hollow);
    this.legend = series.length > 1 ? h("p", { class: "legend" }, ...series.map((one, i) => h("span", {}, s("svg", { class: "key", viewBox: "0 0 18 4", "aria-hidden": "true" }, s("path", { class: `line s${i + 1}`, d: "M0 2H18" })), `${one.name} `, h("b")))) : null;
    this.body = h("tbody");
    this.table = h("table", {}, h("caption", { class: "sr" }, `${name} over time, the newest first`), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), ...series.map((one) => h("th", { scope: "col" }, one.name)))), this.body);
    this.details = h("details", { class: "data" }, h("summary", {}, "Table", h("span", { class: "sr" }, ` of ${name}`)), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Table of ${name}` }, this.table));
    this.details.addEventListener("toggle", () => this.fill());
    this.card = h("div", { class: "card tile", role: "group", id: `tile-${id}`, "aria-labelledby": `title-${id}` }, h("header", {}, h("h3", { id: `title-${id}` }, name), this.value), this.note, this.legend, this.el, this.details);
    const place = (e) => { const b = this.el.getBoundingClientRect(); return this.start + ((e.clientX - b.left) / b.width) * (this.end - this.start); };
    this.el.addEventListener("pointermove", (e) => this.stand(place(e)));
    this.el.addEventListener("pointerleave", () => { if (document.activeElement !== this.el) this.stand(null); });
    this.el.addEventListener("blur", () => this.stand(null));
    this.el.addEventListener("keydown", (e) => {
      const last = this.points.length - 1, here = this.at === null ? last : this.nearest(this.at);
      const to = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, PageUp: here - 10, PageDown: here + 10, Home: 0, End: last }[e.key];
      if (e.key === "Escape") this.stand(null);
      if (to === undefined || last < 0) return;
      e.preventDefault();
      this.stand(this.points[Math.min(last, Math.max(0, to))].t);
    });
  }
  draw({ points, start, end, step, range }) {
    const { series, format, log, base = 10 } = this.spec;
    Object.assign(this, { points, start, end, range });
    const values = [];
    for (const p of points) for (const one of series) { const v = p[one.key]; if (isKnown(v)) values.push(v); }
    this.hollow.hidden = values.length > 0;
    let most = 0, least = Infinity;
    for (const v of values) { if (v > most) most = v; if (v < least) least = v; }
    let low = 0, high, ticks, scale = (v) => v;
    if (log) {
      scale = (v) => Math.log10(Math.max(1, v));
      low = values.length ? Math.floor(scale(least)) : 0; high = values.length ? Math.max(low + 1, Math.ceil(scale(most))) : 3;
      const each = high - low > 4 ? 2 : 1;
      ticks = Array.from({ length: Math.floor((high - low) / each) }, (_, i) => 10 ** (low + (i + 1) * each));
    } else {
      high = this.spec.top?.() || nice(most, base);
      ticks = [high / 2, high];
    }
    const x = (t) => ((t - start) / Math.max(1, end - start)) * WIDTH;
    const y = (v) => 98 - (Math.min(1, Math.max(0, (scale(v) - low) / (high - low)))) * 94;
    this.y = y;
    this.lines.forEach(({ area, line }, i) => {
      const d = paths(points, (p) => p[series[i].key], x, y, step * 2.5);
      if (area) attr(area, "d", d.area);
      attr(line, "d", d.line);
    });
    const shape = ticks.join("/");
    if (shape !== this.shape) {
      this.shape = shape;
      this.grid.replaceChildren(s("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: 98, y2: 98 }), ...ticks.map((v) => s("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: y(v), y2: y(v) })));
      this.axes.replaceChildren(...ticks.map((v) => { const label = h("span", { class: "axis" }, format(v)); label.style.top = `${y(v)}%`; return label; }));
    }
    const when = range === "14d" ? day : clock;
    text(this.from, when(start)); text(this.middle, when((start + end) / 2));
    if (this.legend) series.forEach((one, i) => { let v = null; for (let j = points.length - 1; j >= 0 && v === null; j -= 1) v = points[j][one.key] ?? null; text(this.legend.children[i].lastChild, format(v)); });
    attr(this.el, "aria-valuemax", Math.max(0, points.length - 1));
    if (this.at !== null) this.stand(this.at);
    else if (document.activeElement !== this.el) {
      const now = points[points.length - 1], said = values.length ? `Over the last ${RANGES[range].words}: ${series.map((one) => `${one.name} ${format(now?.[one.key])}`).join(", ")} now, between ${format(least)} and ${format(most)}` : "no values";
      attr(this.el, "aria-valuenow", Math.max(0, points.length - 1)); attr(this.el, "aria-valuetext", said);
    }
    this.fill();
  }
  nearest(t) {
    let low = 0, high = this.points.length - 1;
    while (low < high) { const mid = (low + high) >> 1; if (this.points[mid].t < t) low = mid + 1; else high = mid; }
    return low > 0 && t - this.points[low - 1].t < this.points[low].t - t ? low - 1 : low;
  }
  // Stands on a moment: it moves with the moment as time goes on, and lets go of it at the edge.
  stand(t) {
    const i = t === null || !this.points?.length ? -1 : this.nearest(t), p = this.points?.[i];
    this.at = p && t >= this.start ? p.t : null;
    this.cursor.hidden = this.tip.hidden = this.at === null;
    if (this.at === null) return;
    const part = Math.min(1, Math.max(0, (p.t - this.start) / Math.max(1, this.end - this.start))) * 100;
    this.cursor.style.left = `${part}%`;
    this.tip.style.left = part < 50 ? `calc(${part}% + 10px)` : "auto";
    this.tip.style.right = part < 50 ? "auto" : `calc(${100 - part}% + 10px)`;
    const { series, format } = this.spec;
    text(this.tip, `${moment(p.t)} · ${series.map((one) => `${series.length > 1 ? `${one.name} ` : ""}${format(p[one.key])}`).join(" · ")}`);
    attr(this.el, "aria-valuenow", i); attr(this.el, "aria-valuetext", this.tip.textContent);
  }
  fill() {
    if (!this.details.open) { if (this.body.firstChild) this.body.replaceChildren(); return; }
    const { series, format } = this.spec;
    rows(this.body, [...this.points].reverse(), (p) => p.t, (p) => [moment(p.t), ...series.map((one) => format(p[one.key]))]);
  }
}

// ---- small ones, beside a name

export function sparkline(svg, values, least, most, max, cls) {
  const n = Math.min(most, Math.max(least, values.length)), shown = values.slice(-n).map((v, i, all) => ({ t: n - all.length + i, v }));
  let top = max || 1e-9;
  if (!max) for (const { v } of shown) if (isKnown(v) && v * 1.1 > top) top = v * 1.1;
  attr(svg, "viewBox", `0 0 ${Math.max(1, n - 1)} 100`); attr(svg, "preserveAspectRatio", "none");
  if (!svg.firstChild) svg.append(s("path", { class: `area ${cls}` }), s("path", { class: `line ${cls}` }));
  const { line, area } = paths(shown, (p) => p.v, (t) => t, (v) => 98 - Math.min(1, Math.max(0, v / top)) * 94, 1.5);
  attr(svg.children[0], "d", area); attr(svg.children[1], "d", line);
}

// ---- states over time

// What a number of the history means; a mean of a longer step lies between.
export const told = (v) => (v <= 0 ? "closed" : v >= 2 ? "open" : v === 1 ? "half-open" : "open for a part");
const drawn = (v) => (v <= 0 ? "closed" : v >= 2 ? "open" : "half");

// The stretches of one state in the points of `name`.
export function stretches(points, name, step, end) {
  const all = [];
  let last = null;
  points.forEach((p, i) => {
    const v = Object.hasOwn(p.b, name) ? p.b[name] : null;
    const until = Math.min(points[i + 1]?.t ?? end, p.t + step * 2.5);
    if (!isKnown(v)) { last = null; return; }
    if (last && last.v === v && p.t <= last.to) last.to = until;
    else { last = { v, from: p.t, to: until }; all.push(last); }
  });
  return all;
}
// Closed is a thin line, probing a thicker one, open a block: told apart without colours.
export function strip(svg, parts, start, end) {
  const x = (t) => ((t - start) / Math.max(1, end - start)) * WIDTH;
  const wanted = parts.map(({ v, from, to }) => { const cls = drawn(v), height = { closed: 4, half: 10, open: 16 }[cls]; return `${cls} ${x(from).toFixed(1)} ${Math.max(2, x(to) - x(from)).toFixed(1)} ${height}`; });
  while (svg.children.length > wanted.length) svg.lastChild.remove();
  while (svg.children.length < wanted.length) svg.append(s("rect"));
  wanted.forEach((one, i) => {
    const rect = svg.children[i], [cls, at, width, height] = one.split(" ");
    attr(rect, "class", cls); attr(rect, "x", at); attr(rect, "width", width); attr(rect, "height", height); attr(rect, "y", (16 - height) / 2);
  });
}

// ---- the choice of the range

export function ranges(changed) {
  let kept = null;
  try { kept = localStorage.getItem("daur.range"); } catch { /* a browser that keeps nothing */ }
  if (Object.hasOwn(RANGES, kept ?? "")) history.range = kept;
  $("range").append(...Object.entries(RANGES).map(([key, { name, words }]) => {
    const input = h("input", { type: "radio", name: "range", value: key, id: `range-${key}`, "aria-label": `the last ${words}` });
    input.checked = key === history.range;
    input.addEventListener("change", () => {
      history.range = key; history.kept = null; history.asked = 0; history.note = ""; history.turn += 1;
      try { localStorage.setItem("daur.range", key); } catch { /* as above */ }
      changed();
    });
    return h("label", {}, input, h("span", { "aria-hidden": "true" }, name));
  }));
}

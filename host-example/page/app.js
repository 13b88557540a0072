// The dashboard. No library, no outside request, no markup made from data: every text goes through
// textContent, so that a device's message is never more than a message.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const KEEP = 300; // points of history, one a second
const STALE_MS = 3500; // three missed updates and a little

function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null) continue;
    if (key === "class") el.className = value;
    else if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else el.setAttribute(key, value);
  }
  el.append(...children.filter((c) => c !== undefined && c !== null));
  return el;
}
function s(tag, props, ...children) {
  const el = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props || {})) el.setAttribute(key, value);
  el.append(...children);
  return el;
}
const text = (el, value) => { if (el.textContent !== value) el.textContent = value; };

// Reuses the elements of what stays, so that focus, scrolling and selections survive an update.
function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((el) => [el.dataset.key, el]));
  let at = parent.firstElementChild;
  const times = new Map();
  for (const item of items) {
    // Two devices may say the same name: the second has a key of its own, or its element would never go.
    const own = String(key(item)), before = times.get(own) || 0, k = before ? `${own}\u0000${before}` : own;
    times.set(own, before + 1);
    let el = old.get(k);
    if (el) old.delete(k);
    else { el = make(item); el.dataset.key = k; }
    update(el, item);
    if (el === at) at = at.nextElementSibling;
    else parent.insertBefore(el, at);
  }
  for (const el of old.values()) el.remove();
}

// ---- numbers as people read them

const group = new Intl.NumberFormat("en");
const count = (n) => (n == null ? "–" : group.format(n));
function micros(us) {
  if (us == null) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${trim(us / 1e3)} ms`;
  return `${trim(us / 1e6)} s`;
}
const trim = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u += 1; }
  return `${u === 0 ? n : trim(n)} ${units[u]}`;
}
function span(ms) {
  if (ms == null) return "–";
  const sec = Math.max(0, ms / 1000);
  if (sec < 10) return `${sec.toFixed(1)} s`;
  if (sec < 90) return `${Math.round(sec)} s`;
  if (sec < 5400) return `${Math.round(sec / 60)} min`;
  if (sec < 129600) return `${(sec / 3600).toFixed(1)} h`;
  return `${(sec / 86400).toFixed(1)} d`;
}
const percent = (permille) => (permille == null ? "–" : `${(permille / 10).toFixed(permille >= 995 || permille === 0 ? 0 : 1)} %`);
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

// ---- charts

// The path of a series in a box of `points` by 100; a hole in the data is a hole in the line.
function paths(values, max) {
  let line = "", area = "", start = null, last = 0;
  values.forEach((v, x) => {
    if (v == null) { if (start !== null) { area += `L${last} 100L${start} 100Z`; start = null; } return; }
    const y = (100 - Math.min(1, v / max) * 94 - 2).toFixed(2);
    if (start === null) { start = x; line += `M${x} ${y}`; area += `M${x} ${y}`; } else { line += `L${x} ${y}`; area += `L${x} ${y}`; }
    last = x;
  });
  if (start !== null) area += `L${last} 100L${start} 100Z`;
  return { line, area };
}
const recent = (values, n) => { const cut = values.slice(-n); while (cut.length < n) cut.unshift(null); return cut; };

// The window grows with what there is, so that a young server's line is not a dot at the edge.
const span_of = (points, least, most) => Math.min(most, Math.max(least, points));
function sparkline(svg, values, least, most, max, cls) {
  const n = span_of(values.length, least, most), shown = recent(values, n);
  const top = max || Math.max(1e-9, ...shown.filter((v) => v != null)) * 1.1;
  svg.setAttribute("viewBox", `0 0 ${n - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  if (!svg.firstChild) svg.append(s("path", { class: `area ${cls}` }), s("path", { class: `line ${cls}` }));
  const { line, area } = paths(shown, top);
  svg.children[0].setAttribute("d", area);
  svg.children[1].setAttribute("d", line);
}

// Latencies on a logarithmic scale: a median of 50 µs and a tail of a second are both to be seen.
class Chart {
  constructor(el, series, format) {
    this.el = el; this.series = series; this.format = format; this.at = null;
    this.svg = s("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
    this.rules = s("g", {});
    this.lines = series.map(({ cls }, i) => [i === 0 ? s("path", { class: `area ${cls}` }) : null, s("path", { class: `line ${cls}` })]);
    this.svg.append(this.rules, ...this.lines.flat().filter(Boolean));
    this.axes = h("div", { "aria-hidden": "true" });
    this.from = h("span", { class: "span from" }); this.to = h("span", { class: "span to" }, "now");
    this.cursor = h("div", { class: "cursor", hidden: "" });
    this.tip = h("div", { class: "tip", hidden: "" });
    el.setAttribute("role", "img");
    el.append(this.svg, this.axes, this.from, this.to, this.cursor, this.tip);
    el.addEventListener("pointermove", (e) => { const b = el.getBoundingClientRect(); this.point((e.clientX - b.left) / b.width); });
    el.addEventListener("pointerleave", () => this.point(null));
    el.addEventListener("blur", () => this.point(null));
    el.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (!step) { if (e.key === "Escape") this.point(null); return; }
      e.preventDefault();
      this.point(Math.min(1, Math.max(0, (this.at ?? 1) + step / (this.points.length - 1))));
    });
  }
  draw(points) {
    const n = span_of(points.length, 60, KEEP);
    this.points = recent(points, n);
    const values = this.series.map(({ key }) => this.points.map((p) => (p && p[key] != null ? Math.log10(Math.max(1, p[key])) : null)));
    const known = values.flat().filter((v) => v != null);
    const low = known.length ? Math.floor(Math.min(...known)) : 0, high = known.length ? Math.max(low + 1, Math.ceil(Math.max(...known))) : 3;
    this.svg.setAttribute("viewBox", `0 0 ${n - 1} 100`);
    this.lines.forEach(([area, line], i) => {
      const d = paths(values[i].map((v) => (v == null ? v : v - low)), high - low);
      if (area) area.setAttribute("d", d.area);
      line.setAttribute("d", d.line);
    });
    const scale = `${low}/${high}/${n}`;
    if (scale !== this.scale) {
      this.scale = scale;
      const decades = Array.from({ length: high - low + 1 }, (_, i) => low + i);
      const y = (decade) => 98 - ((decade - low) / (high - low)) * 94;
      this.rules.replaceChildren(...decades.map((d) => s("line", { class: "grid-line", x1: 0, x2: n - 1, y1: y(d), y2: y(d) })));
      this.axes.replaceChildren(...decades.slice(1).map((d) => { const label = h("span", { class: "axis" }, this.format(10 ** d)); label.style.top = `${y(d)}%`; return label; }));
    }
    const first = this.points.find(Boolean), now = points[points.length - 1];
    text(this.from, n === KEEP ? "5 minutes ago" : first ? clock(this.points[0]?.t ?? now.t - (n - 1) * 1000) : "");
    this.el.setAttribute("aria-label", now ? `Latency percentiles of the last minute over time, on a logarithmic scale. Now ${this.series.map(({ key, name }) => `${name} ${this.format(now[key])}`).join(", ")}. Arrow keys show earlier moments.` : "No calls yet");
    if (this.at !== null) this.point(this.at);
  }
  point(at) {
    this.at = at;
    const p = at === null || !this.points ? null : this.points[Math.round(at * (this.points.length - 1))];
    this.cursor.hidden = this.tip.hidden = !p;
    if (!p) return;
    this.cursor.style.left = `${at * 100}%`;
    this.tip.style.left = at < 0.5 ? `calc(${at * 100}% + 10px)` : "auto";
    this.tip.style.right = at < 0.5 ? "auto" : `calc(${(1 - at) * 100}% + 10px)`;
    text(this.tip, `${clock(p.t)}  ·  ${this.series.map(({ key, name }) => `${name} ${this.format(p[key])}`).join("  ·  ")}`);
  }
}

// ---- state

let session = null, source = null, staleTimer = null, lastUpdate = 0, history = [], status = null;
const deviceHistory = new Map(); // "device/series" -> values
const breakerHistory = new Map(); // name -> states
let latencyChart = null, auditTimer = [], auditSeq = null, renewTimer = null;

async function api(method, path, body) {
  const response = await fetch(path, {
    method, credentials: "same-origin",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const data = response.headers.get("content-type")?.includes("json") ? await response.json() : null;
  if (response.status === 401 && session && path !== "/api/login") { end(); }
  return { ok: response.ok, status: response.status, data, retryAfter: response.headers.get("retry-after") };
}

async function begin() {
  let answer;
  try { answer = await api("GET", "/api/session"); } catch { setTimeout(begin, 2000); return; }
  $("login-hint").hidden = !answer.data?.setup_needed;
  if (answer.data?.user) open(answer.data); else end();
}

function open(who) {
  session = who;
  $("login").hidden = true; $("app").hidden = false;
  const can = (p) => who.permissions.includes(p);
  text($("who"), who.user);
  $("command-card").hidden = !can("write");
  $("audit-card").hidden = !can("admin");
  if (!latencyChart) {
    const series = [{ key: "p50", name: "p50", cls: "s1" }, { key: "p95", name: "p95", cls: "s2" }, { key: "p99", name: "p99", cls: "s3" }];
    latencyChart = new Chart($("latency-chart"), series, micros);
    $("latency-legend").append(...series.map(({ name, cls }) => h("span", { class: cls }, `${name} `, h("b", { id: `legend-${name}` }, "–"))));
  }
  connect();
  clearInterval(renewTimer); renewTimer = setInterval(renew, 60000);
  if (can("admin")) { verifyChain(); auditTimer = [setInterval(audit, 5000), setInterval(verifyChain, 60000)]; }
}

// A page that is looked at stays logged in for as long as its session may last.
async function renew() {
  if (!session?.expires_at || session.expires_at * 1000 - Date.now() > 600000) return;
  const r = await api("POST", "/api/token/refresh").catch(() => null);
  if (!r?.ok) return;
  if (r.data.expires_at <= session.expires_at) clearInterval(renewTimer);
  session.expires_at = r.data.expires_at;
}

function end() {
  session = null;
  clearInterval(renewTimer);
  source?.close(); source = null;
  clearInterval(staleTimer); for (const timer of auditTimer) clearInterval(timer);
  $("app").hidden = true; $("login").hidden = false;
  document.title = "Daur – log in";
  $("user").focus();
}

function connect() {
  source?.close();
  source = new EventSource("/api/events");
  source.addEventListener("history", (e) => { history = JSON.parse(e.data); });
  source.addEventListener("status", (e) => { lastUpdate = Date.now(); show(JSON.parse(e.data)); });
  source.addEventListener("end", () => { source.close(); setTimeout(begin, 1500); });
  source.onerror = () => { if (source?.readyState === EventSource.CLOSED) { source = null; setTimeout(() => { if (session) begin(); }, 2000); } };
  clearInterval(staleTimer);
  staleTimer = setInterval(freshness, 500);
}

function freshness() {
  if (!lastUpdate) return;
  const age = Date.now() - lastUpdate;
  const stale = age > STALE_MS;
  $("live").dataset.state = stale ? "stale" : "live";
  text($("live-text"), stale ? `Stale: last update ${span(Math.round(age / 1000) * 1000)} ago` : "Live");
  $("app").classList.toggle("stale", stale);
  if (stale) document.title = "Stale – Daur";
}

// ---- the page

function show(st) {
  status = st;
  history.push(st.point); history = history.slice(-KEEP);
  freshness();
  verdict(st); tiles(st); latency(st); breakers(st); cache(st); health(st); work(st); memory(st); pool(st); batches(st); models(st); events(st); system(st); errors(st); devices(st);
  text($("host"), st.host);
  text($("version"), `daur ${st.version}, up ${span(st.uptime_ms)}`);
}

function verdict(st) {
  const red = st.attention.some((a) => a.level === "red");
  const level = red ? "red" : st.attention.length ? "amber" : "green";
  $("verdict").dataset.level = level;
  const n = st.attention.length;
  const words = ["Nothing", "One thing", "Two things", "Three things", "Four things", "Five things", "Six things"];
  const title = n === 0 ? "Everything is well" : `${words[n] || `${n} things`} ${n === 1 ? "needs" : "need"} a look`;
  text($("verdict-title"), title);
  document.title = n ? `(${n}) Daur – ${st.host}` : `Daur – ${st.host}`;
  const online = st.devices.filter((d) => d.connected).length;
  text($("verdict-sub"), `${st.health.ready ? "Ready" : "Not ready"} for work${st.devices.length ? `, ${online} of ${st.devices.length} device${st.devices.length > 1 ? "s" : ""} connected` : ""}, up ${span(st.uptime_ms)}`);
  keyed($("reasons"), st.attention, (a) => a.text, (a) => h("li", { "data-level": a.level }), (el, a) => text(el, a.text));
}

function tiles(st) {
  const sys = st.system || {};
  const column = (key) => history.map((p) => p[key]);
  const list = [
    { id: "cpu", name: "CPU", value: sys.cpu_permille == null ? ["–"] : [(sys.cpu_permille / 10).toFixed(0), "%"], note: `load ${sys.load1 ?? "–"} on ${sys.cpus ?? "–"} cores`, values: column("cpu"), max: 1050, cls: "s1" },
    { id: "memory", name: "Memory", value: bytes(sys.memory_used).split(" "), note: `of ${bytes(sys.memory_total)}`, values: column("memory"), max: sys.memory_total, cls: "s4" },
    { id: "requests", name: "Requests", value: [st.requests.per_second ? trim(st.requests.per_second) : "0", "/s"], note: `${count(st.requests.total)} in all, ${count(st.requests.refused)} refused, ${count(st.requests.failed)} failed`, values: column("rps"), cls: "s1" },
    { id: "p95", name: "Latency p95", value: micros(st.latency.p95_us).split(" "), note: `p50 ${micros(st.latency.p50_us)}, p99 ${micros(st.latency.p99_us)}`, values: column("p95"), cls: "s2" },
    { id: "hits", name: "Cache hits", value: st.cache.hit_permille == null ? ["–"] : percent(st.cache.hit_permille).split(" "), note: `${count(st.cache.hits)} hits, ${count(st.cache.misses)} misses`, values: column("hit"), max: 1050, cls: "s1" },
  ];
  keyed($("tiles"), list, (t) => t.id,
    (t) => h("div", { class: "card tile", id: `tile-${t.id}` }, h("div", {}, h("div", { class: "name" }, t.name), h("div", { class: "value" }), h("div", { class: "note" })), s("svg", { "aria-hidden": "true" })),
    (el, t) => {
      const [box, svg] = el.children;
      const value = box.children[1];
      if (value.dataset.text !== t.value.join(" ")) { value.dataset.text = t.value.join(" "); value.replaceChildren(t.value[0], ...(t.value[1] ? [h("small", {}, t.value[1])] : [])); }
      text(box.children[2], t.note); box.children[2].title = t.note;
      sparkline(svg, t.values, 30, 120, t.max, t.cls);
    });
}

function latency(st) {
  latencyChart.draw(history);
  for (const p of ["p50", "p95", "p99"]) text($(`legend-${p}`), micros(st.latency[`${p}_us`]));
  keyed($("operations").tBodies[0], st.operations, (o) => o.name,
    () => h("tr", {}, h("th", { scope: "row", class: "mono" }), ...Array.from({ length: 6 }, () => h("td"))),
    (tr, o) => {
      [o.name, count(o.count), count(o.errors), micros(o.p50_us), micros(o.p95_us), micros(o.p99_us), micros(o.max_us)].forEach((v, i) => text(tr.children[i], v));
      tr.children[2].className = o.errors ? "bad" : "";
    });
}

const STATES = { closed: ["green", "closed"], half_open: ["amber", "half"], open: ["red", "open"], forced_open: ["red", "open"], disabled: ["amber", "half"] };
function breakers(full) {
  const list = $("breakers"), st = { breakers: full.breakers.filter((b) => b.runs || b.state !== "closed") };
  const open = st.breakers.filter((b) => b.state !== "closed").length;
  text($("breakers-sub"), st.breakers.length ? (open ? `${open} not closed` : "all closed") : "");
  for (const b of st.breakers) { const seen = breakerHistory.get(b.name) || []; seen.push(b.state); breakerHistory.set(b.name, seen.slice(-KEEP)); }
  if (!st.breakers.length) { list.replaceChildren(h("li", { class: "empty" }, "A breaker appears with the first command of its program.")); return; }
  keyed(list, st.breakers, (b) => b.name,
    () => h("li", {}, h("span", { class: "name mono" }), s("svg", { class: "strip", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }), h("span", { class: "badge" }), h("span", { class: "sub" })),
    (li, b) => {
      const [level] = STATES[b.state] || ["amber"];
      text(li.children[0], b.name);
      li.children[2].dataset.level = level; text(li.children[2], b.state.replace("_", " "));
      const seen = b.window && b.window.calls ? `${count(b.window.failed)} of ${count(b.window.calls)} failed${b.mode.endsWith("slow") ? `, ${count(b.window.slow)} slow` : ""}` : "";
      const now = b.retry_in_ms != null ? `tries again in ${span(b.retry_in_ms)}, ${count(b.refused)} refused` : b.consecutive_failures ? `${b.consecutive_failures} failed in a row` : b.state === "half_open" ? "waits for what its probes say" : seen;
      text(li.children[3], now); li.children[3].hidden = !now;
      li.title = `${MODES[b.mode] || b.mode}${seen ? `: ${seen}` : ""}; ${count(b.runs)} runs, ${count(b.retries)} tried again, opened ${count(b.opened)} times, ${count(b.refused)} refused`;
      const states = breakerHistory.get(b.name), n = span_of(states.length, 60, KEEP), bars = [];
      for (let i = 0; i < states.length;) { let j = i; while (j < states.length && states[j] === states[i]) j += 1; bars.push(s("rect", { x: n - states.length + i, y: 0, width: j - i, height: 1, class: (STATES[states[i]] || ["", "half"])[1] })); i = j; }
      li.children[1].setAttribute("viewBox", `0 0 ${n} 1`); li.children[1].replaceChildren(...bars);
    });
}

const MODES = { consecutive: "opens on failures in a row", count_window: "opens on a rate of the latest calls", count_window_slow: "opens on a rate of the latest calls, failed or slow", time_window: "opens on a rate of the latest time", time_window_slow: "opens on a rate of the latest time, failed or slow" };
const LEVELS = { healthy: "green", degraded: "amber", unknown: "amber", unhealthy: "red" };
function health(st) {
  const all = st.health.checks, bad = all.filter((c) => c.status !== "healthy").length;
  text($("health-sub"), bad ? `${bad} of ${all.length} not healthy` : `${all.length} healthy`);
  keyed($("health"), all, (c) => c.name,
    () => h("li", {}, h("span", { class: "name" }), h("span", { class: "badge" }), h("span", { class: "sub" }), h("span", { class: "sub" })),
    (li, c) => {
      text(li.children[0], `${c.name.replaceAll("_", " ")} (${c.kind})`);
      li.children[1].dataset.level = LEVELS[c.status] || "amber"; text(li.children[1], c.status);
      text(li.children[2], c.reason || (c.outcome ? c.outcome.replaceAll("_", " ") : "has not run yet"));
      text(li.children[3], c.at_ms ? `${c.took_us ? `${micros(c.took_us)} ` : ""}at ${clock(c.at_ms)}` : "");
      li.title = `${count(c.runs)} runs, ${count(c.failed)} failed`;
    });
}

function work(st) {
  const p = st.bulkhead, b = st.budget, f = st.fallbacks, bar = $("work-bar");
  text($("work-sub"), p.waiting ? `${count(p.waiting)} wait` : "nobody waits");
  if (!bar.firstChild) bar.append(h("i"));
  bar.firstChild.style.width = `${(p.running / p.at_once) * 100}%`;
  bar.dataset.level = p.waiting ? "amber" : "green";
  bar.setAttribute("aria-label", `${p.running} of ${p.at_once} places are taken`);
  facts($("work"), [
    ["Running", `${count(p.running)} of ${count(p.at_once)}`], ["Waiting", `${count(p.waiting)} of ${count(p.room)}`], ["Turned away", count(p.refused + p.timed_out), p.refused + p.timed_out ? "warn" : ""],
    ["Retries left", b ? count(b.retries_left) : "no limit", b && !b.retries_left ? "warn" : ""], ["Retries made", count(st.breakers.reduce((sum, program) => sum + program.retries, 0))], ["Not retried", b ? count(b.refused) : "–", b?.refused ? "warn" : ""],
    ["Fallbacks", f.enabled ? count(f.used) : "off", f.used ? "warn" : ""], ["None to give", f.enabled ? count(f.missing) : "–"], ["Kept for it", f.enabled ? count(f.commands) : "–"],
  ]);
}

function facts(dl, entries) {
  keyed(dl, entries, (e) => e[0], (e) => h("div", {}, h("dt", {}, e[0]), h("dd")), (el, e) => { text(el.children[1], e[1]); el.children[1].className = e[2] || ""; el.children[1].title = e[1]; });
}

function meter(bar, part, level, label) {
  if (!bar.firstChild) bar.append(h("i"));
  bar.firstChild.style.width = `${Math.min(1, part) * 100}%`;
  bar.dataset.level = level;
  bar.setAttribute("aria-label", label);
}

function cache(st) {
  const c = st.cache, m = c.memory, f = c.file;
  text($("cache-sub"), `${count(m.entries)} in memory, ${count(f.rows)} in the file${f.bytes ? `, ${bytes(f.bytes)}` : ""}`);
  meter($("cache-bar"), (c.hit_permille ?? 0) / 1000, "green", `${percent(c.hit_permille)} of the lookups were hits`);
  facts($("cache"), [
    ["Memory hits", `${count(m.hits)}, ${percent(m.hit_permille)}`], ["File hits", `${count(f.hits)}, ${percent(f.hit_permille)}`], ["Misses", count(c.misses)],
    ["In memory", `${count(m.entries)} of ${count(m.capacity)}`], ["Shared", count(c.shared)], ["Evicted", count(m.evicted + f.evicted)],
    ["Expired", count(f.expired)], ["Corrupt", count(f.corrupt), f.corrupt ? "bad" : ""], ["Skipped", count(f.skipped), f.skipped ? "warn" : ""],
  ]);
}

const SHORT = { normal: "green", elevated: "amber", critical: "red" };
function memory(st) {
  const m = st.memory, level = m.level, badge = $("memory-level");
  text(badge, level); badge.dataset.level = SHORT[level] || "amber";
  text($("memory-sub"), m.used == null ? "" : `${bytes(m.used)} of ${bytes(m.limit)}`);
  meter($("memory-bar"), (m.used_permille ?? 0) / 1000, SHORT[level] || "amber", `${percent(m.used_permille)} of the memory is used`);
  facts($("memory"), [["Used", percent(m.used_permille)], ["Pressure", percent(m.pressure_permille)], ["Given back", bytes(m.freed), m.freed ? "warn" : ""], ["For", span(m.level_ms)], ["Changes", count(m.changes)], ["Not read", count(m.failures), m.failures ? "warn" : ""]]);
  keyed($("memory-by"), m.shrinkers, (one) => one.name, () => h("li", {}, h("span", { class: "name" }), h("span")), (li, one) => {
    text(li.children[0], one.name.replaceAll("_", " "));
    text(li.children[1], `keeps ${percent(one.keep_permille)}${one.freed ? `, gave ${bytes(one.freed)} back` : ""}`);
  });
}

function pool(st) {
  const p = st.pool;
  text($("pool-sub"), p.queued ? `${count(p.queued)} wait` : "nobody waits");
  meter($("pool-bar"), p.running / Math.max(1, p.workers), p.queued ? "amber" : "green", `${p.running} of ${p.workers} threads are at work`);
  facts($("pool"), [["Running", `${count(p.running)} of ${count(p.workers)}`], ["Waiting", `${count(p.queued)} of ${count(p.room)}`], ["Done", count(p.done)], ["Wait p50", micros(p.wait_p50_us)], ["Wait p95", micros(p.wait_p95_us)], ["Wait p99", micros(p.wait_p99_us)], ["Refused", count(p.refused), p.refused ? "warn" : ""], ["Panicked", count(p.panicked), p.panicked ? "bad" : ""]]);
}

function batches(st) {
  const list = [["audit", st.security.batches], ["events", st.events.batches]];
  text($("batches-sub"), st.events.lost ? `${count(st.events.lost)} events lost` : "");
  keyed($("batches").tBodies[0], list, ([name]) => name, () => h("tr", {}, h("th", { scope: "row" }), ...Array.from({ length: 4 }, () => h("td"))), (tr, [name, b]) => {
    const made = b.batches.by_items + b.batches.by_bytes + b.batches.by_time + b.batches.by_flush;
    [name, count(b.delivered), count(made), made ? trim(b.delivered / made) : "–", count(b.waiting)].forEach((v, i) => text(tr.children[i], v));
  });
}

function models(st) {
  const m = st.models, table = $("models");
  table.hidden = !m.configured; $("models-none").hidden = m.configured;
  text($("models-sub"), m.configured ? `${count(m.running)} of ${count(m.at_once)} under way, ${count(m.hits)} from the cache` : "");
  keyed(table.tBodies[0], m.upstreams, (u) => u.name, () => h("tr", {}, h("th", { scope: "row" }), h("td", {}, h("span", { class: "badge" })), ...Array.from({ length: 6 }, () => h("td"))), (tr, u) => {
    const state = u.state !== "closed" ? u.state.replace("_", " ") : u.share !== "up" ? u.share : u.retry_in_ms != null ? "busy" : "up";
    const badge = tr.children[1].firstChild;
    text(badge, state); badge.dataset.level = state === "up" ? "green" : state === "open" ? "red" : "amber";
    text(tr.children[0], u.name);
    [count(u.load), micros(u.expected_us), count(u.asked), count(u.answered), count(u.failed + u.busy), count(u.tokens)].forEach((v, i) => text(tr.children[i + 2], v));
    tr.children[6].className = u.failed ? "bad" : "";
    tr.title = `${u.host}, weight ${u.weight}; ${count(u.busy)} times busy, ${count(u.rejected)} refused${u.last_fault ? `; the last failure: ${u.last_fault.replaceAll("_", " ")}` : ""}${u.retry_in_ms != null ? `; asked again in ${span(u.retry_in_ms)}` : ""}`;
  });
}

function events(st) {
  const e = st.events, list = $("events");
  text($("events-sub"), `${count(e.rows)} kept`);
  const shown = e.totals.filter((t) => t.kind !== "request").slice(0, 10);
  if (!shown.length) { list.replaceChildren(h("li", { class: "empty" }, "None so far.")); return; }
  list.querySelector(".empty")?.remove();
  keyed(list, shown, (t) => `${t.kind}/${t.name}/${t.outcome}`, () => h("li", {}, h("span", { class: "name" }), h("span")), (li, t) => {
    text(li.children[0], `${t.kind === t.name ? t.kind : `${t.kind} ${t.name}`}, ${t.outcome.replaceAll("_", " ")}`);
    text(li.children[1], count(t.count));
  });
}

function system(st) {
  const y = st.system;
  text($("system-sub"), y ? "" : "the first reading takes a few seconds");
  if (!y) return;
  const bars = [["Memory", y.memory_used, y.memory_total], ...y.disks.slice(0, 2).map((d) => [`Disk ${d.name}`, d.used, d.total])];
  keyed($("system-bars"), bars, (b) => b[0],
    (b) => h("div", { class: "gauge" }, h("div", {}, h("span", {}, b[0]), h("span", { class: "quiet" })), h("div", { class: "meter", role: "img" }, h("i"))),
    (el, [name, used, total]) => {
      const part = total ? used / total : 0;
      text(el.children[0].children[1], `${bytes(used)} of ${bytes(total)}`);
      el.children[1].dataset.level = part > 0.95 ? "red" : part > 0.85 ? "amber" : "green";
      el.children[1].setAttribute("aria-label", `${name}: ${(part * 100).toFixed(0)} % used`);
      el.children[1].firstChild.style.width = `${part * 100}%`;
    });
  facts($("system"), [["Own memory", bytes(y.process_memory)], ["Own CPU", percent(y.process_cpu_permille)], ["Received", y.received_per_second == null ? "–" : `${bytes(y.received_per_second)}/s`], ["Sent", y.sent_per_second == null ? "–" : `${bytes(y.sent_per_second)}/s`]]);
}

function errors(st) {
  const e = st.errors;
  text($("errors-sub"), e.total ? `${count(e.total)} since the start` : "");
  const none = () => h("li", { class: "empty" }, "None so far.");
  if (!e.total) { $("errors-top").replaceChildren(none()); $("errors-recent").replaceChildren(none()); return; }
  $("errors-top").querySelector(".empty")?.remove(); $("errors-recent").querySelector(".empty")?.remove();
  keyed($("errors-top"), e.top, (k) => k.kind, () => h("li", {}, h("span", { class: "name mono" }), h("span")), (li, k) => { text(li.children[0], k.kind); text(li.children[1], `${count(k.count)}${k.bound ? ` (±${count(k.bound)})` : ""}`); });
  // The same again and again is one line with a count.
  const folded = [];
  for (const r of e.recent) { const last = folded[folded.length - 1]; if (last && last.kind === r.kind && last.message === r.message) last.times += 1; else folded.push({ ...r, times: 1 }); }
  keyed($("errors-recent"), folded.map((r, i) => ({ ...r, i })), (r) => r.i, () => h("li", {}, h("span", { class: "name" }), h("span", { class: "sub" })), (li, r) => { text(li.children[0], `${r.message || r.kind}${r.times > 1 ? ` (${r.times} times)` : ""}`); text(li.children[1], `${r.kind} · ${clock(r.at_ms)}`); });
}

const seriesKey = (d, name) => `${d.endpoint}/${d.boot_id}/${name}`;
function devices(st) {
  const box = $("devices");
  text($("devices-sub"), st.devices.length ? `${st.devices.filter((d) => d.connected).length} of ${st.devices.length} connected` : "");
  if (!st.devices.length) { if (!box.querySelector(".hollow")) box.replaceChildren(h("div", { class: "card hollow" }, "No device is attached. Start with ", h("code", {}, "--device tcp:HOST:PORT"), " or a serial port’s path.")); return; }
  box.querySelector(".hollow")?.remove();
  keyed(box, st.devices, (d) => d.endpoint, deviceCard, device);
  // A device that comes back under other names must not fill the page's memory.
  const told = new Set(st.devices.flatMap((d) => Object.keys(d.series).map((name) => seriesKey(d, name))));
  for (const key of deviceHistory.keys()) if (!told.has(key)) deviceHistory.delete(key);
}

function device(card, d) {
  const part = (name) => card.querySelector(`[data-part=${name}]`);
  text(part("name"), d.id || d.endpoint);
  text(part("state"), d.connected ? "connected" : "not connected");
  part("state").dataset.level = d.connected ? "green" : "red";
  text(part("seen"), d.last_seen_ms == null ? d.link_error || "never seen" : `seen ${span(d.last_seen_ms)} ago`);
  facts(part("facts"), d.boot_id == null && !d.frames && !d.crc_errors ? [] : [
    ["Boot id", d.boot_id ?? "–"], ["Frames", count(d.frames)], ["Lost", count(d.lost), d.lost ? "warn" : ""], ["CRC errors", count(d.crc_errors), d.crc_errors ? "warn" : ""],
    ["Firmware", d.firmware ?? "–"], ["Reset by", d.reset_cause ? d.reset_cause.replace("_", " ") : "–"], ["Up", d.boot_id ? span(d.device_uptime_ms) : "–"],
    ...(d.system ? [["Stack used", d.system.stack_size ? percent((d.system.stack_high_water * 1000) / d.system.stack_size) : "–"], ["Idle", percent(d.system.idle_permille)]] : []),
  ]);
  keyed(part("breakers"), Object.entries(d.breakers), ([name]) => name,
    () => h("li", {}, h("span", { class: "name mono" }), h("span", { class: "badge" })),
    (li, [name, b]) => { text(li.children[0], name); text(li.children[1], `breaker ${b.state.replace("_", " ")}${b.refused ? `, ${count(b.refused)} refused` : ""}`); li.children[1].dataset.level = (STATES[b.state] || ["amber"])[0]; });
  keyed(part("series"), Object.entries(d.series), ([name]) => name,
    () => h("li", {}, h("span", { class: "name mono" }), s("svg", { "aria-hidden": "true" }), h("span", { class: "v" })),
    (li, [name, x]) => {
      const key = seriesKey(d, name), seen = deviceHistory.get(key) || [];
      const { plot, shown, more, cls } = reading(name, x, seen);
      seen.push({ raw: x.total, plot });
      deviceHistory.set(key, seen.slice(-60));
      text(li.children[0], name); text(li.children[2], shown); li.title = more;
      const values = seen.slice(-60).map((p) => p.plot), low = Math.min(...values.filter((v) => v != null)), high = Math.max(...values.filter((v) => v != null));
      // A gauge is drawn between its own bounds: what matters is how it moves. One that rests lies in the middle, zero at the bottom.
      const from = x.kind === "gauge" && high > low ? low - (high - low) * 0.15 : Math.min(0, low);
      sparkline(li.children[1], values.map((v) => (v == null ? v : v - from)), 12, 60, high > low ? undefined : Math.max(1e-9, (high - from) * 2), cls);
    });
  keyed(part("errors"), Object.entries(d.errors), ([kind]) => kind,
    () => h("li", {}, h("span", { class: "name" }), h("span"), h("span", { class: "sub" })),
    (li, [kind, e]) => { text(li.children[0], e.message || kind); text(li.children[1], count(e.total)); text(li.children[2], `${kind}, the latest at ${span(e.device_at_ms)}`); });
  card.querySelector("form").hidden = !(session?.permissions.includes("write") && d.id);
}

// The unit of a gauge is the last part of its name.
const UNITS = { mc: [1000, "°C", 2], mpct: [1000, "%", 1], permille: [10, "%", 1], mv: [1000, "V", 2], ma: [1, "mA", 0], ms: [1, "ms", 0], us: [1, "µs", 0], hz: [1, "Hz", 0], percent: [1, "%", 0], pa: [1, "Pa", 0] };
function reading(name, x, seen) {
  if (x.kind === "counter") {
    const before = seen.length ? seen[seen.length - 1].raw : null;
    return { plot: before == null || x.total < before ? 0 : x.total - before, shown: count(x.total), more: "counter, drawn as what it grows by", cls: "s1" };
  }
  if (x.kind === "gauge") {
    const tail = name.split("_").pop(), unit = Object.hasOwn(UNITS, tail) ? UNITS[tail] : null;
    if (tail === "bytes") return { plot: x.value, shown: bytes(x.value), more: "gauge", cls: "s4" };
    return { plot: x.value, shown: unit ? `${(x.value / unit[0]).toFixed(unit[2])} ${unit[1]}` : count(x.value), more: "gauge", cls: "s4" };
  }
  const as = { nanos: (v) => micros(v / 1000), bytes, cycles: (v) => `${count(v)} cycles` }[x.unit] || count;
  return { plot: x.p95, shown: `p95 ${as(x.p95)}`, more: `${count(x.count)} values, p50 ${as(x.p50)}, p95 ${as(x.p95)}, p99 ${as(x.p99)}, max ${as(x.max)}`, cls: "s2" };
}

function deviceCard(d) {
  const id = `send-${d.endpoint.replace(/[^a-z0-9]/gi, "-")}`;
  const input = h("input", { class: "mono", id, placeholder: "set-interval 500", autocomplete: "off", spellcheck: "false", required: "", maxlength: "64" });
  const answer = h("div", { class: "answer", role: "status" });
  const button = h("button", { type: "submit" }, "Send");
  const form = h("form", { class: "row", hidden: "" }, h("label", { class: "sr", for: id }, "Signed command to this device"), input, button);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const device = status.devices.find((x) => x.endpoint === d.endpoint)?.id;
    button.disabled = true; answer.className = "answer quiet"; answer.textContent = "Signed and sent, waiting for the answer…";
    try {
      const r = await api("POST", `/api/devices/${encodeURIComponent(device)}/commands`, { command: input.value });
      const good = r.ok && r.data.verdict === "accepted";
      answer.className = `answer ${good ? "good" : "bad"}`;
      answer.textContent = r.ok ? `${r.data.verdict.replaceAll("_", " ")}${r.data.message ? `: ${r.data.message}` : ""}` : r.data?.detail || "It could not be sent.";
    } catch { answer.className = "answer bad"; answer.textContent = "The server does not answer."; }
    button.disabled = false;
  });
  return h("article", { class: "card device", "aria-label": `Device at ${d.endpoint}` },
    h("header", {}, h("h3", { "data-part": "name" }), h("span", { class: "badge", "data-part": "state" }), h("span", { class: "grow" }), h("span", { class: "quiet", "data-part": "seen" })),
    h("p", { class: "quiet link" }, d.endpoint),
    h("dl", { class: "facts", "data-part": "facts" }), h("ul", { class: "list", "data-part": "breakers" }), h("ul", { class: "list series", "data-part": "series" }), h("ul", { class: "list log", "data-part": "errors" }), form, answer);
}

let verdictOfChain = "";
async function audit() {
  if (document.hidden || !session) return;
  const r = await api("GET", "/api/audit?limit=50").catch(() => null);
  if (!r?.ok) return;
  text($("audit-sub"), `${count(r.data.total)} records${verdictOfChain}`);
  const newest = r.data.events[0]?.seq;
  if (newest === auditSeq) return;
  auditSeq = newest;
  keyed($("audit").tBodies[0], r.data.events, (e) => e.seq,
    (e) => h("tr", {}, h("th", { scope: "row" }, String(e.seq)), h("td", {}, e.at_ms ? clock(e.at_ms) : "–"), h("td", {}, e.kind.replaceAll("_", " ")), h("td", {}, e.actor || e.source || "–"), h("td", {}, e.detail || ""), h("td", { class: e.outcome === "success" ? "good" : "warn" }, e.outcome)),
    () => {});
}
// The whole chain is checked from its first key: now and then, not with every look.
async function verifyChain() {
  const r = await api("GET", "/api/audit/verify").catch(() => null);
  verdictOfChain = !r?.ok ? "" : r.data.intact ? `, chain intact up to no ${count(r.data.records)}` : `, CHAIN BROKEN: ${r.data.error}`;
  $("audit-sub").className = r?.ok && !r.data.intact ? "bad" : "quiet";
  audit();
}

// ---- what the user does

$("login-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target, button = form.querySelector("button"), error = $("login-error");
  button.disabled = true; error.hidden = true;
  try {
    const r = await api("POST", "/api/login", { user: form.user.value, password: form.password.value });
    if (r.ok) { form.password.value = ""; open({ user: form.user.value, permissions: r.data.permissions, expires_at: r.data.expires_at }); $("main").focus(); } else {
      error.textContent = r.retryAfter ? `${r.data?.detail} Try again in ${span(r.retryAfter * 1000)}.` : r.data?.detail || "That did not work.";
      error.hidden = false; form.password.select();
    }
  } catch { error.textContent = "The server does not answer."; error.hidden = false; }
  button.disabled = false;
});
$("logout").addEventListener("click", async () => { source?.close(); await api("POST", "/api/logout").catch(() => {}); history = []; lastUpdate = 0; end(); });

const WHY = { timeout: "ran out of time", circuit_open: "is refused by its breaker", not_started: "could not be started" };
$("command-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const button = e.target.querySelector("button"), out = $("command-result");
  button.disabled = true; out.replaceChildren(h("p", { class: "meta" }, "Running…"));
  try {
    const r = await api("POST", "/api/command", { command: $("command").value });
    const d = r.data;
    if (r.ok) {
      const parts = [h("span", { class: "badge", "data-level": d.success ? "green" : "amber" }, d.success ? "succeeded" : `exit code ${d.exit_code}`), ...(d.fallback_used ? [h("span", { class: "badge", "data-level": "amber" }, "fallback")] : []), micros(d.elapsed_ms * 1000), ...(d.cached ? [] : [`${d.attempts} attempt${d.attempts === 1 ? "" : "s"}`])];
      if (d.cached) parts.push("from the cache");
      if (d.fallback_used) parts.push(`an earlier output, ${span(d.fallback.age_ms)} old, since now the program ${WHY[d.fallback.cause] || "gave none"}`);
      if (d.truncated) parts.push("output cut");
      out.replaceChildren(h("p", { class: "meta" }, ...parts.map((p) => (typeof p === "string" ? h("span", {}, p) : p))), ...(d.stdout ? [h("pre", { tabindex: "0" }, d.stdout)] : []), ...(d.stderr ? [h("pre", { class: "err", tabindex: "0" }, d.stderr)] : []));
    } else out.replaceChildren(h("p", { class: "alert" }, `${d?.detail || "It failed."} (${d?.code || r.status})`));
  } catch { out.replaceChildren(h("p", { class: "alert" }, "The server does not answer.")); }
  button.disabled = false;
});

begin();

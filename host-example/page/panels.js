// The panels that only show: each takes the status and changes what differs.
import { $, attr, badge, bytes, clock, count, empty, facts, h, icon, keyed, meter, micros, moment, perSecond, percent, pick, rows, some, span, state, text, trim, words } from "./dom.js";
import { level, stateName } from "./live.js";

const NUMBERS = ["Nothing", "One thing", "Two things", "Three things", "Four things", "Five things", "Six things"];
export function verdict(st) {
  const n = st.attention.length, worst = st.attention.some((a) => a.level === "red") ? "red" : n ? "amber" : "green";
  $("verdict").dataset.level = worst;
  attr($("verdict-icon"), "href", `#i-${worst}`);
  text($("verdict-title"), n === 0 ? "Everything is well" : `${NUMBERS[n] || `${count(n)} things`} ${n === 1 ? "needs" : "need"} a look`);
  if (!state.stale) document.title = n ? `(${n}) Daur – ${st.host}` : `Daur – ${st.host}`;
  const online = st.devices.filter((d) => d.connected).length;
  text($("verdict-sub"), `${st.health.ready ? "Ready" : "Not ready"} for work${st.devices.length ? `, ${online} of ${st.devices.length} device${st.devices.length > 1 ? "s" : ""} connected` : ""}, up ${span(st.uptime_ms)}`);
  keyed($("reasons"), some(st.attention, 24, $("reasons-more")), (a) => `${a.level}/${a.text}`,
    (a) => h("li", { "data-level": a.level }, icon(a.level === "red" ? "red" : "amber"), h("span", { class: "sr" }, a.level === "red" ? "Does not work: " : "May soon not work: "), h("span")),
    (el, a) => text(el.lastChild, a.text));
}

export function overview(st) {
  text($("host"), st.host);
  text($("version"), `daur ${st.version}, up ${span(st.uptime_ms)}`);
  $("read-only").hidden = !st.read_only;
  $("app").toggleAttribute("data-readonly", Boolean(st.read_only));
}

export function operations(st) {
  const body = $("operations").tBodies[0], flying = st.operations.reduce((sum, o) => sum + (o.in_flight || 0), 0);
  text($("operations-sub"), `${count(flying)} in flight, since the start`);
  if (!st.operations.length) { empty(body, "No request so far."); return; }
  rows(body, some(st.operations, 100, $("operations-more")), (o) => o.name,
    (o) => [[o.name, "mono"], count(o.count), [count(o.in_flight), o.in_flight ? "accent" : ""], [count(o.errors), o.errors ? "bad" : ""], micros(o.p50_us), micros(o.p95_us), micros(o.p99_us), micros(o.max_us)],
    (tr, o) => attr(tr, "title", o.abandoned ? `${count(o.abandoned)} abandoned` : null));
}

const LEVELS = { healthy: "green", degraded: "amber", unknown: "amber", unhealthy: "red" };
export function health(st) {
  const all = st.health.checks, bad = all.filter((c) => c.status !== "healthy").length;
  text($("health-sub"), bad ? `${bad} of ${all.length} not healthy` : `${all.length} healthy`);
  keyed($("health"), all.slice(0, 64), (c) => c.name,
    () => h("li", {}, h("span", { class: "name" }), h("span", { class: "badge" }), h("span", { class: "sub" }), h("span", { class: "sub" })),
    (li, c) => {
      text(li.children[0], `${words(c.name)} (${c.kind})`);
      badge(li.children[1], pick(LEVELS, c.status, "amber"), c.status);
      text(li.children[2], c.reason || (c.outcome ? words(c.outcome) : "has not run yet"));
      text(li.children[3], c.at_ms ? `${c.took_us ? `${micros(c.took_us)} ` : ""}at ${clock(c.at_ms)}` : "");
      attr(li, "title", `${count(c.runs)} runs, ${count(c.failed)} failed`);
    });
}

export function errors(st) {
  const e = st.errors, top = $("errors-top").tBodies[0];
  text($("errors-sub"), e.total ? `${count(e.total)} since the start, ${count(e.last_minute)} in the last minute${e.panics ? `, ${count(e.panics)} panics` : ""}` : "");
  if (!e.top.length) empty(top, "None so far.");
  else rows(top, e.top.slice(0, 16), (k) => k.kind, (k) => [[k.kind, "mono"], count(k.count), k.bound ? count(k.bound) : "0"]);
  // The same again and again is one line with a count.
  const folded = [];
  for (const r of e.recent) { const last = folded[folded.length - 1]; if (last && last.kind === r.kind && last.message === r.message) last.times += 1; else folded.push({ ...r, times: 1 }); }
  if (!folded.length) { empty($("errors-recent"), "None so far."); return; }
  keyed($("errors-recent"), folded.slice(0, 16).map((r, i) => ({ ...r, i })), (r) => r.i, () => h("li", {}, h("span", { class: "name" }), h("span", { class: "sub" })), (li, r) => {
    const causes = Array.isArray(r.causes) ? r.causes.map((cause) => `: ${cause}`).join("") : "";
    text(li.children[0], `${causes ? String(r.message || r.kind).replace(/\.$/, "") : r.message || r.kind}${causes}${r.times > 1 ? ` (${r.times} times)` : ""}`);
    text(li.children[1], `${r.kind} · ${moment(r.at_ms)}`);
  });
}

// ---- the machine

export function system(st) {
  const y = st.system;
  text($("system-sub"), y ? (y.uptime_s == null ? "" : `up ${span(y.uptime_s * 1000)}`) : "the first reading takes a few seconds");
  if (!y) return;
  const bars = [["Memory", y.memory_used, y.memory_total], ...(y.disks ?? []).slice(0, 8).map((d) => [`Disk ${d.name}`, d.used, d.total])];
  keyed($("system-bars"), bars, (b) => b[0],
    (b) => h("div", { class: "gauge" }, h("div", {}, h("span", {}, b[0]), h("span", { class: "quiet" })), h("div", { class: "meter", role: "img" }, h("i"))),
    (el, [name, used, total]) => {
      const part = total ? used / total : 0;
      text(el.children[0].children[1], `${bytes(used)} of ${bytes(total)}, ${(part * 100).toFixed(0)} %`);
      meter(el.children[1], part, part > 0.95 ? "red" : part > 0.85 ? "amber" : "green", `${name}: ${(part * 100).toFixed(0)} % used`);
    });
  facts($("system"), [["Own memory", bytes(y.process_memory)], ["Own CPU", percent(y.process_cpu_permille)], ["Received", perSecond(y.received_per_second)], ["Sent", perSecond(y.sent_per_second)]]);
}

const SHORT = { normal: "green", elevated: "amber", critical: "red" };
export function memory(st) {
  const m = st.memory, how = pick(SHORT, m.level, "amber");
  badge($("memory-level"), how, m.level);
  text($("memory-sub"), m.used == null ? "" : `${bytes(m.used)} of ${bytes(m.limit)}`);
  meter($("memory-bar"), (m.used_permille ?? 0) / 1000, how, `${percent(m.used_permille)} of the memory is used`);
  facts($("memory"), [["Used", percent(m.used_permille)], ["Pressure", percent(m.pressure_permille)], ["Given back", bytes(m.freed), m.freed ? "warn" : ""], ["For", span(m.level_ms)], ["Changes", count(m.changes)], ["Not read", count(m.failures), m.failures ? "warn" : ""]]);
  keyed($("memory-by"), m.shrinkers, (one) => one.name, () => h("li", {}, h("span", { class: "name" }), h("span")), (li, one) => {
    text(li.children[0], words(one.name));
    text(li.children[1], `keeps ${percent(one.keep_permille)}${one.freed ? `, gave ${bytes(one.freed)} back` : ""}`);
  });
}

export function cache(st) {
  const c = st.cache, m = c.memory, f = c.file;
  text($("cache-sub"), `${count(m.entries)} in memory, ${count(f.rows)} in the file${f.bytes ? `, ${bytes(f.bytes)}` : ""}`);
  meter($("cache-bar"), (c.hit_permille ?? 0) / 1000, "green", `${percent(c.hit_permille)} of the lookups were hits`);
  facts($("cache"), [
    ["Memory hits", `${count(m.hits)}, ${percent(m.hit_permille)}`], ["File hits", `${count(f.hits)}, ${percent(f.hit_permille)}`], ["Misses", count(c.misses)],
    ["In memory", `${count(m.entries)} of ${count(m.capacity)}`], ["Shared", count(c.shared)], ["Evicted", count(m.evicted + f.evicted)],
    ["Expired", count(f.expired)], ["Corrupt", count(f.corrupt), f.corrupt ? "bad" : ""], ["Skipped", count(f.skipped), f.skipped ? "warn" : ""],
  ]);
}

export function work(st) {
  const p = st.bulkhead, b = st.budget, f = st.fallbacks;
  text($("work-sub"), p.waiting ? `${count(p.waiting)} wait` : "nobody waits");
  meter($("work-bar"), p.running / Math.max(1, p.at_once), p.waiting ? "amber" : "green", `${p.running} of ${p.at_once} places are taken`);
  facts($("work"), [
    ["Running", `${count(p.running)} of ${count(p.at_once)}`], ["Waiting", `${count(p.waiting)} of ${count(p.room)}`], ["Turned away", count(p.refused + p.timed_out), p.refused + p.timed_out ? "warn" : ""],
    ["Retries left", b ? count(b.retries_left) : "no limit", b && !b.retries_left ? "warn" : ""], ["Retries made", count(st.breakers.reduce((sum, program) => sum + program.retries, 0))], ["Not retried", b ? count(b.refused) : "–", b?.refused ? "warn" : ""],
    ["Fallbacks", f.enabled ? count(f.used) : "off", f.used ? "warn" : ""], ["None to give", f.enabled ? count(f.missing) : "–"], ["Kept for it", f.enabled ? count(f.commands) : "–"],
  ]);
}

export function pool(st) {
  const p = st.pool;
  text($("pool-sub"), p.queued ? `${count(p.queued)} wait` : "nobody waits");
  meter($("pool-bar"), p.running / Math.max(1, p.workers), p.queued ? "amber" : "green", `${p.running} of ${p.workers} threads are at work`);
  facts($("pool"), [["Running", `${count(p.running)} of ${count(p.workers)}`], ["Waiting", `${count(p.queued)} of ${count(p.room)}`], ["Done", count(p.done)], ["Wait p50", micros(p.wait_p50_us)], ["Wait p95", micros(p.wait_p95_us)], ["Wait p99", micros(p.wait_p99_us)], ["Refused", count(p.refused), p.refused ? "warn" : ""], ["Panicked", count(p.panicked), p.panicked ? "bad" : ""]]);
}

export function batches(st) {
  const all = [["audit", st.security.batches], ["events", st.events.batches]];
  text($("batches-sub"), st.events.lost ? `${count(st.events.lost)} events lost` : "");
  rows($("batches").tBodies[0], all, ([name]) => name, ([name, b]) => {
    const made = b.batches.by_items + b.batches.by_bytes + b.batches.by_time + b.batches.by_flush;
    return [name, count(b.delivered), count(made), made ? trim(b.delivered / made) : "–", count(b.waiting)];
  });
}

export function security(st) {
  const y = st.security, a = y.audit, locked = y.locked_users + y.locked_names, limited = (y.limited_users.refused || 0) + (y.limited_addresses.refused || 0);
  text($("security-sub"), locked ? `${count(locked)} locked now` : "nobody is locked out");
  facts($("security"), [["Logins refused", count(y.refused_logins), y.refused_logins ? "warn" : ""], ["Locked now", count(locked), locked ? "warn" : ""], ["Locks so far", count(y.locks)], ["Over the limit", count(limited), limited ? "warn" : ""], ["Audit records", count(a.records)], ["Audit lost", count(a.lost + a.failed), a.lost + a.failed ? "bad" : ""]]);
}

// ---- what happened, by name

export function analytics(st) {
  const e = st.events, a = st.analytics, lost = (e.lost || 0) + (a?.lost || 0);
  text($("events-sub"), a ? `${count(a.tracked)} events since the start${a.up === false ? ", not written at present" : ""}` : `${count(e.rows)} events kept`);
  const windows = (a?.windows_ms ?? []).map((ms, i) => [`Users in ${span(ms)}`, count(a.users_in_windows?.[i])]);
  facts($("analytics"), [...(a ? [["Events ever", count(a.total)], ["Users", count(a.users)]] : []), ...windows, ["Kept", count(e.rows)], ["Lost", count(lost), lost ? "bad" : ""]]);
  usage(a);
  const shown = e.totals.filter((t) => t.kind !== "request").slice(0, 10);
  if (!shown.length) { empty($("events"), "None so far."); return; }
  keyed($("events"), shown, (t) => `${t.kind}/${t.name}/${t.outcome}`, () => h("li", {}, h("span", { class: "name" }), h("span")), (li, t) => {
    text(li.children[0], `${t.kind === t.name ? t.kind : `${t.kind} ${t.name}`}, ${words(t.outcome)}`);
    text(li.children[1], count(t.count));
  });
}

// What people do, in windows of time, and who came from one thing to the next.
function usage(a) {
  $("usage-box").hidden = $("funnels").hidden = !a;
  if (!a) return;
  const table = $("usage"), windows = a.windows_ms ?? [];
  keyed(table.tHead.rows[0], ["Event", ...windows.map((ms) => span(ms)), "ever"], (name) => name, (name) => h("th", { scope: "col" }, name), () => {});
  if (!a.events?.length) empty(table.tBodies[0], "Nobody did anything so far.");
  else rows(table.tBodies[0], a.events.slice(0, 16), (one) => one.name, (one) => [one.name, ...windows.map((_, i) => count(one.in_windows?.[i])), count(one.total)]);
  keyed($("funnels"), (a.funnels ?? []).slice(0, 8), (f) => `${f.first}/${f.second}`, () => h("li", {}, h("span", { class: "name" }), h("span")), (li, f) => {
    text(li.children[0], `${f.first}, then ${f.second} within ${span(f.within_ms)}`); text(li.children[1], `${count(f.converted)} of ${count(f.entered)}`);
  });
}

export function models(st) {
  const m = st.models, table = $("models");
  table.parentElement.hidden = !m.configured; $("models-none").hidden = m.configured;
  text($("models-sub"), m.configured ? `${count(m.running)} of ${count(m.at_once)} under way, ${count(m.hits)} from the cache` : "");
  keyed(table.tBodies[0], m.upstreams.slice(0, 64), (u) => u.name, () => h("tr", {}, h("th", { scope: "row" }), h("td", {}, h("span", { class: "badge" })), ...Array.from({ length: 6 }, () => h("td"))), (tr, u) => {
    const up = u.state === "closed" && u.share === "up" && u.retry_in_ms == null;
    badge(tr.children[1].firstChild, up ? "green" : level(u.state) === "red" ? "red" : "amber", u.state !== "closed" ? stateName(u.state) : u.share !== "up" ? u.share : u.retry_in_ms != null ? "busy" : "up");
    text(tr.children[0], u.name);
    [count(u.load), micros(u.expected_us), count(u.asked), count(u.answered), count(u.failed + u.busy), count(u.tokens)].forEach((v, i) => text(tr.children[i + 2], v));
    tr.children[6].className = u.failed ? "bad" : "";
    attr(tr, "title", `${u.host}, weight ${u.weight}; ${count(u.busy)} times busy, ${count(u.rejected)} refused${u.last_fault ? `; the last failure: ${words(u.last_fault)}` : ""}${u.retry_in_ms != null ? `; asked again in ${span(u.retry_in_ms)}` : ""}`);
  });
}

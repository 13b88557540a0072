// A server that plays the host: it serves the page under the host's own policy, and answers with what a test
// puts into it, so that empty, huge and hostile data can be shown, and refusals.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const SECOND = 1000;
const NAMES = ["echo", "date", "uname", "uptime", "df", "sleep"];

export function breaker(name, more = {}) {
  return { name, state: "closed", mode: "consecutive", window: null, consecutive_failures: 0, opened: 0, refused: 0, late: 0, retry_in_ms: null, runs: 12, succeeded: 12, retries: 0, ...more };
}
export function device(name, more = {}) {
  return {
    endpoint: `tcp:10.0.0.7:${9000 + name.length}`, id: name, connected: true, connections: 1, link_error: null, last_seen_ms: 120, boot_id: "0b011e07", boots: 1, reset_cause: "watchdog", firmware: "0.1.0", schema: 1,
    device_uptime_ms: 86_000, last_seq: 802, frames: 802, lost: 3, lost_device: 1, lost_line: 2, duplicates: 0, crc_errors: 1, unknown: 0, dropped: 0,
    series: { temperature_mc: { device_at_ms: 1, kind: "gauge", value: 61_230 }, sensor_reads: { device_at_ms: 1, kind: "counter", total: 82 }, sensor_read: { device_at_ms: 1, kind: "distribution", unit: "nanos", count: 82, sum: 9e7, min: 4e5, max: 13e5, p50: 9e5, p95: 12e5, p99: 13e5 } },
    breakers: { sensor: { state: "open", consecutive_failures: 3, opened: 2, refused: 31, device_retry_at_ms: 1 } }, caches: { readings: { hits: 30, misses: 10, len: 4, capacity: 8 } },
    errors: { i2c_nack: { total: 8, message: "the sensor at 0x48 does not answer", device_at_ms: 83_000 } },
    log: [
      { device_at_ms: 41_000, level: "error", target: "heater", message: "the watchdog was not fed", before_reset: true, repeated: 0 },
      { device_at_ms: 20, level: "info", target: "main", message: "started", before_reset: false, repeated: 0 },
      { device_at_ms: 8_000, level: "warn", target: "sensor", message: "no answer", before_reset: false, repeated: 2 },
    ],
    system: { uptime_ms: 86_000, stack_high_water: 1_454, stack_size: 4_096, idle_permille: 941 }, live: true, ready: true, commands_accepted: 1, commands_refused: 0, audit: null, ...more,
  };
}

const batch = { accepted: 28, delivered: 28, rejected: 0, waiting: 0, retried: 0, split: 0, panicked: 0, batches: { by_items: 1, by_bytes: 0, by_time: 9, by_flush: 0 } };
const check = (name, more = {}) => ({ name, kind: "readiness", status: "healthy", outcome: "pass", reason: null, took_us: 210, at_ms: Date.now(), runs: 20, failed: 0, ...more });
const operation = (name, more = {}) => ({ name, count: 16, in_flight: 0, errors: 0, abandoned: 0, mean_us: 900, p50_us: 18_700, p95_us: 715_000, p99_us: 715_000, max_us: 715_000, ...more });

export function status(now = Date.now()) {
  const wave = (period, low, high) => low + (high - low) * (0.5 + 0.5 * Math.sin((now / SECOND / period) * 6.283));
  const cpu = Math.round(wave(40, 90, 420)), memory = Math.round(wave(90, 2.6e9, 2.9e9)), rps = Math.round(wave(25, 2, 40) * 100) / 100, p50 = Math.round(wave(30, 8e3, 2e4));
  return {
    version: "0.1.0", host: "boiler-house", now_ms: now, uptime_ms: 9_000_000, read_only: false,
    health: { live: true, ready: true, started: true, failing: [], checks: [check("database"), check("disk"), check("programs", { status: "degraded", reason: "open breakers: sleep" }), check("heartbeat", { kind: "liveness" })] },
    attention: [{ level: "red", text: "Breaker of sleep is open" }, { level: "amber", text: "boiler-7: breaker of sensor is open" }],
    system: { cpu_permille: cpu, cpus: 4, memory_used: memory, memory_total: 8.3e9, memory_limited: false, load1: 1.13, uptime_s: 400_000, disks: [{ name: "/", used: 190e9, total: 252e9 }, { name: "/data", used: 480e9, total: 500e9 }], received_per_second: 12_000, sent_per_second: 90_000, process_memory: 15e6, process_cpu_permille: 12 },
    requests: { total: 4_321, per_second: rps, refused: 12, failed: 3, streams: 1 },
    latency: { window_s: 60, count: 900, p50_us: p50, p95_us: p50 * 6, p99_us: p50 * 30, max_us: 715_000 },
    operations: [operation("POST /api/command", { errors: 6, in_flight: 2, count: 1_600 }), operation("GET /api/status"), operation("GET /api/events", { in_flight: 1, abandoned: 4 })],
    cache: { hits: 210, misses: 90, shared: 4, hit_permille: 700, memory: { hits: 180, hit_permille: 600, entries: 44, capacity: 1_024, bytes: 52_000, evicted: 2 }, file: { hit_permille: 250, hits: 30, misses: 90, expired: 7, evicted: 0, corrupt: 0, skipped: 0, rows: 61, bytes: 204_800 } },
    pool: { workers: 4, room: 256, running: 1, queued: 0, done: 2_020, panicked: 0, refused: 0, wait_p50_us: 51, wait_p95_us: 3_970, wait_p99_us: 10_500, wait_max_us: 20_000 },
    events: { rows: 900, lost: 0, totals: [{ kind: "command", name: "echo", outcome: "success", count: 120 }, { kind: "login", name: "login", outcome: "success", count: 9 }, { kind: "request", name: "GET /", outcome: "answered", count: 40 }], batches: batch },
    memory: { level: "normal", level_ms: 60_000, used: memory, limit: 8.3e9, used_permille: 340, pressure_permille: 0, freed: 0, trims: 0, changes: 0, failures: 0, shrinkers: [{ name: "results", keep_permille: 1_000, asked: 0, freed: 0 }, { name: "last_good", keep_permille: 1_000, asked: 0, freed: 0 }] },
    models: { configured: true, running: 0, at_once: 32, hits: 1, ejections: 0, upstreams: [{ name: "answers", host: "127.0.0.1", weight: 1, state: "closed", share: "up", load: 0, expected_us: 5_520, retry_in_ms: null, asked: 2, answered: 2, busy: 0, rejected: 0, failed: 0, tokens: 2_468, last_fault: null }] },
    breakers: NAMES.map((name) => (name === "sleep" ? breaker(name, { state: "open", opened: 1, refused: 2, retry_in_ms: 17_000, consecutive_failures: 5 }) : breaker(name))),
    running: 1, bulkhead: { at_once: 8, room: 64, running: 1, waiting: 0, refused: 0, timed_out: 0 },
    budget: { mode: "ratio", retries_left: 100, left_permille: 1_000, funded: 3, refused: 0 }, fallbacks: { enabled: true, max_age_ms: 3_600_000, used: 1, timeout: 0, circuit_open: 1, not_started: 0, missing: 6, dropped: 0, commands: 7, bytes: 900 },
    errors: { total: 6, last_minute: 1, panics: 0, top: [{ kind: "timeout", count: 5, bound: 0 }, { kind: "circuit_open", count: 1, bound: 0 }], recent: [{ kind: "circuit_open", message: "`sleep` failed too often; it is not started now.", causes: ["out of time"], at_ms: now - 4_000 }, ...[1, 2, 3].map(() => ({ kind: "timeout", message: "The command took longer than 700ms and was ended", at_ms: now - 9_000 }))] },
    security: { locked_users: 0, locked_names: 0, locks: 0, refused_logins: 0, limited_users: { refused: 2 }, limited_addresses: { refused: 0 }, audit: { records: 24, written: 24, lost: 0, failed: 0, broken: false }, batches: batch },
    devices: [device("boiler-7"), device("", { endpoint: "tcp:127.0.0.1:9", id: null, connected: false, link_error: "Connection refused (os error 111)", last_seen_ms: null, boot_id: null, frames: 0, lost: 0, crc_errors: 0, firmware: null, reset_cause: null, series: {}, breakers: {}, caches: {}, errors: {}, log: [], system: null })],
    logs: { sent: 0, written: 0, dropped: 0, last_seq: 0, level: "info" },
    analytics: { tracked: 140, lost: 0, up: true, at_ms: now, total: 1_140, windows_ms: [60_000, 3_600_000, 86_400_000], in_windows: [4, 60, 900], users: 9, users_in_windows: [1, 3, 8], events: [{ name: "command", total: 1_000, first_ms: now - 9e8, last_ms: now, in_windows: [3, 50, 800], users: 8 }, { name: "login", total: 140, first_ms: now - 9e8, last_ms: now, in_windows: [1, 10, 100], users: 9 }], funnels: [{ first: "login", second: "command", within_ms: 3_600_000, entered: 140, converted: 120, expired: 20, forgotten: 0, waiting: 0 }] },
    history: { offered: 9_000, written: 9_000, waiting: 0, lost: 0, refused: 0, faults: 0, quarantined: 0, reopened: 0, series: 19, rows: 9_000, max_rows: 1e6, bytes: 400_000, max_bytes: 6e7 },
    jobs: [
      { id: "sample", name: "sample", state: "running", period_ms: 1_000, runs: 9_000, failed: 0, last_ms: now - 400, last_took_us: 310, next_ms: now + 600, last_error: null, runnable: false },
      { id: "tidy", name: "tidy", state: "scheduled", period_ms: 60_000, runs: 150, failed: 2, last_ms: now - 20_000, last_took_us: 8_200, next_ms: now + 40_000, last_error: "the database is locked" },
    ],
    point: { t: now, cpu, memory, rps, p50, p95: p50 * 6, p99: p50 * 30, hit: 700 },
  };
}

const TYPES = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8" };

export class Mock {
  constructor(root) {
    this.page = join(root, "host-example/page");
    // The policy of the real server, so that what it would stop is stopped here too.
    const source = readFileSync(join(root, "host-example/src/page.rs"), "utf8");
    this.policy = source.match(/POLICY: &str = "([^]*?)";/)[1].replace(/\\\n\s*/g, "");
    this.permissions = ["read", "write", "admin"]; this.make = status; this.lines = []; this.calls = []; this.refuse = null; this.historyFault = null; this.intact = true; this.streams = new Set(); this.timer = null; this.startOfTime = Date.now() - 14 * 86_400_000;
  }
  async start() {
    this.server = createServer((request, response) => this.answer(request, response).catch((error) => { console.error(error); response.destroy(); }));
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    this.run(true);
    return this;
  }
  run(on) { clearInterval(this.timer); if (on) this.timer = setInterval(() => this.tick(), 400); }
  stop() { this.run(false); this.server.closeAllConnections(); this.server.close(); }
  log(level, target, message, more = {}) { this.lines.push({ seq: this.lines.length + 1, at_ms: Date.now(), level, target, message, fields: {}, repeated: 0, ...more }); }
  now() {
    const st = this.make();
    if (st.logs) Object.assign(st.logs, { sent: this.lines.length, written: this.lines.length, last_seq: this.lines.length, level: this.level ?? st.logs.level });
    return st;
  }
  tick() { const st = JSON.stringify(this.now()); for (const stream of this.streams) stream.write(`event: status\ndata: ${st}\n\n`); }
  notify(one) { for (const stream of this.streams) stream.write(`event: notification\ndata: ${JSON.stringify(one)}\n\n`); }
  // Every series is a wave with a hole; a breaker was open for the second quarter of the range.
  history(query) {
    const from = Number(query.get("from")), to = Number(query.get("to")), points = Number(query.get("points")), step = Math.max(1, Math.round((to - from) / points));
    const t = [], series = Object.fromEntries(query.get("series").split(",").map((name) => [name, []]));
    for (let i = 0; i < points; i += 1) {
      t.push(from + i * step);
      for (const [name, values] of Object.entries(series)) values.push(i > points * 0.1 && i < points * 0.2 ? null : name.startsWith("breaker:") ? (name === "breaker:sleep" && i > points / 4 && i < points / 2 ? 2 : 0) : Math.round(this.make(from + i * step).point[name] ?? 5_000 + 4_000 * Math.sin(i / 9)));
    }
    return { from_ms: from, to_ms: to, step_ms: step, t, series };
  }
  async answer(request, response) {
    const url = new URL(request.url, this.origin), path = url.pathname;
    let body = "";
    for await (const part of request) body += part;
    const json = (code, value) => { response.writeHead(code, { "Content-Type": code < 400 ? "application/json" : "application/problem+json", "Cache-Control": "no-store" }); response.end(JSON.stringify(value)); };
    response.setHeader("Content-Security-Policy", this.policy); response.setHeader("X-Content-Type-Options", "nosniff");
    if (path === "/" || path.startsWith("/assets/")) {
      const name = path === "/" ? "index.html" : path.slice(8);
      response.setHeader("Content-Type", TYPES[name.split(".").pop()]);
      response.end(readFileSync(join(this.page, name)));
      return;
    }
    this.calls.push(`${request.method} ${decodeURIComponent(path)}${body ? ` ${body}` : ""}`);
    if (path === "/api/session") { json(200, this.permissions ? { user: "ada", permissions: this.permissions, expires_at: Math.floor(Date.now() / 1000) + 3_600, session: 1 } : { user: null, setup_needed: false }); return; }
    if (path === "/api/login") { json(401, { code: "unauthenticated", detail: "The name or the password is wrong." }); return; }
    if (path === "/api/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(`retry: 300\nevent: history\ndata: []\n\nevent: status\ndata: ${JSON.stringify(this.now())}\n\n`);
      this.streams.add(response); response.on("close", () => this.streams.delete(response));
      return;
    }
    if (path === "/api/history") { if (this.historyFault) json(503, { code: "internal", detail: this.historyFault }); else json(200, this.history(url.searchParams)); return; }
    if (path === "/api/logs") {
      this.beforeLogs?.(); this.beforeLogs = null;
      const order = ["trace", "debug", "info", "warn", "error"], least = order.indexOf(url.searchParams.get("level")), after = Number(url.searchParams.get("after") ?? 0);
      const fit = this.lines.filter((line) => line.seq > after && order.indexOf(line.level) >= least);
      json(200, { lines: fit.slice(-Number(url.searchParams.get("limit"))), dropped: 0, last_seq: this.lines.length });
      return;
    }
    if (path === "/api/notifications") { json(200, { notifications: [{ number: 0, at_ms: Date.now() - 60_000, topic: "server.started", level: "green", text: "daur-host has started" }, { number: 1, at_ms: Date.now() - 2_000, topic: "breaker.sleep.opened", level: "red", text: "Breaker of sleep is open" }], sent: 2, topics: 2 }); return; }
    if (path === "/api/audit") { json(200, { total: 2, events: [{ seq: 2, at_ms: Date.now() - 3_000, kind: "command", outcome: "denied", actor: "ada", source: "127.0.0.1", detail: "forbidden_command: rm -rf /" }, { seq: 1, at_ms: Date.now() - 9_000, kind: "login", outcome: "success", actor: "ada", source: "127.0.0.1", detail: "session 1" }] }); return; }
    if (path === "/api/audit/verify") { json(200, this.intact ? { intact: true, records: 24, head: "00" } : { intact: false, error: "record 7 was changed" }); return; }
    if (this.refuse) { json(403, { code: "forbidden", detail: this.refuse }); return; }
    const action = path.match(/^\/api\/breakers\/(.+)\/(reset|force-open|force-close)$/);
    if (action) { json(200, { name: decodeURIComponent(action[1]), state: "closed" }); return; }
    if (path === "/api/cache/clear") { json(200, { cleared: 105 }); return; }
    if (path === "/api/log-level") { this.level = JSON.parse(body).level; json(200, { level: this.level }); return; }
    if (path.startsWith("/api/jobs/")) { json(200, { id: path.split("/")[3], state: "running" }); return; }
    json(404, { code: "not_found", detail: "There is nothing at this path." });
  }
}

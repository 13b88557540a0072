//! Everything as Prometheus scrapes it.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use daur_core::monitoring::histogram::Snapshot;
use daur_core::performance::memory::Level;
use daur_core::time::{Clock, Duration};
use daur_std::clock::StdClock;
use daur_std::link::{DeviceStatus, SeriesValue};
use daur_std::monitoring::errors::KINDS;
use daur_std::monitoring::metrics::metrics;
use daur_std::monitoring::prometheus::{Exposition, Format, Page, Unit};

use crate::app::App;
use crate::fallback::Cause;
use crate::health::Shown;
use crate::monitor::DURATION;

/// A dashboard of Grafana for these figures, as its JSON model; the data source is one of its variables.
pub const GRAFANA: &str = include_str!("../grafana/daur.json");

/// All figures, in the format that the request's headers ask for.
#[must_use]
pub fn answer(app: &App, headers: &HeaderMap) -> Response {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::accepted(&accept.join(","));
    let body = format.finish(page(app));
    ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], body).into_response()
}

/// All figures as text.
#[must_use]
pub fn text(app: &App, format: Format) -> String {
    String::from_utf8(Exposition::Text(format).finish(page(app))).unwrap_or_default()
}

/// The page of all figures, in whichever format it is finished.
#[must_use]
pub fn page(app: &App) -> Page {
    let mut page = Page::new(Format::Prometheus);
    let up = StdClock.now().since(app.started);
    if let Some(since) = app.monitor.since {
        page.started(since);
    }
    page.gauge("daur_build_info", "The version, as a label.").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    page.gauge("daur_uptime_seconds", "Time since the server's start.").sample(&[], seconds(up));
    health(app, &mut page);
    requests(app, &mut page);
    commands(app, &mut page);
    models(app, &mut page);
    security(app, &mut page);
    records(app, &mut page);
    jobs(app, &mut page);
    machine(app, &mut page);
    for device in app.registry.snapshot() {
        of_device(&device, &mut page);
    }
    // What other parts of the process and its libraries record.
    page.registry(metrics());
    page
}

fn seconds(length: Duration) -> f64 {
    length.as_nanos() as f64 / 1e9
}

fn health(app: &App, page: &mut Page) {
    let report = app.health.report(app);
    for (name, help, holds) in [
        ("daur_live", "Whether no restart is needed.", report.live),
        ("daur_ready", "Whether requests may come.", report.ready),
        ("daur_started", "Whether the start is over.", report.started),
    ] {
        page.gauge(name, help).sample(&[], holds);
    }
    let checks: Vec<Shown> = report.checks.into_iter().map(Shown::from).collect();
    let mut status = page.gauge("daur_health_check_status", "1 for the status that the check is in.");
    for check in &checks {
        for state in ["healthy", "degraded", "unknown", "unhealthy"] {
            let labels = [("check", check.name.as_str()), ("kind", check.kind), ("status", state)];
            status.sample(&labels, check.status == state);
        }
    }
    let mut took = page.gauge("daur_health_check_duration_seconds", "How long the check's last run took.");
    for check in &checks {
        took.sample(&[("check", &check.name)], check.took_us as f64 / 1e6);
    }
    let mut failed = page.counter("daur_health_check_failures", "Runs of the check that failed.");
    for check in &checks {
        failed.sample(&[("check", &check.name)], check.failed);
    }
}

fn requests(app: &App, page: &mut Page) {
    let mut answers = page.counter("daur_http_requests", "Requests answered, by operation and status.");
    for ((operation, status), count) in app.monitor.answers() {
        answers.sample(&[("operation", operation), ("status", &status.to_string())], count);
    }
    // A histogram; its series are as many as there are routes.
    page.histogram(DURATION, "How long requests took.");
    page.registry(&app.monitor.metrics);
    let operations = app.monitor.operations();
    let in_flight: u32 = operations.iter().map(|operation| operation.in_flight).sum();
    page.gauge("daur_http_requests_in_flight", "Requests under way.").sample(&[], in_flight);
    page.gauge("daur_event_streams", "Event streams open.").sample(&[], app.monitor.streams());
    let mut errors = page.counter("daur_errors", "Errors of the server, by kind; the rarest share their place.");
    for kind in app.monitor.errors().top(KINDS) {
        errors.sample(&[("kind", &kind.kind)], kind.count);
    }
}

fn commands(app: &App, page: &mut Page) {
    let programs = app.commands.programs();
    let used = || programs.iter().filter(|program| program.runs > 0);
    let mut runs = page.counter("daur_command_runs", "Commands that were not answered from the cache.");
    for program in used() {
        runs.sample(&[("program", &program.name)], program.runs);
    }
    let mut retries = page.counter("daur_command_retries", "Programs started again after a failure.");
    for program in used() {
        retries.sample(&[("program", &program.name)], program.retries);
    }
    let mut open = page.gauge("daur_breaker_state", "1 for the state that the breaker is in.");
    for program in used() {
        for state in ["closed", "open", "half_open"] {
            open.sample(&[("breaker", &program.name), ("state", state)], program.state == state);
        }
    }
    let mut mode = page.gauge("daur_breaker_info", "The breaker's mode, as a label.");
    for program in used() {
        mode.sample(&[("breaker", &program.name), ("mode", program.mode)], 1_u64);
    }
    let mut opened = page.counter("daur_breaker_opened", "Times that the breaker has opened.");
    for program in used() {
        opened.sample(&[("breaker", &program.name)], program.opened);
    }
    let mut refused = page.counter("daur_breaker_refused", "Calls that the breaker has refused.");
    for program in used() {
        refused.sample(&[("breaker", &program.name)], program.refused);
    }
    let places = app.commands.bulkhead();
    page.gauge("daur_commands_running", "Commands that run now.").sample(&[], places.running);
    page.gauge("daur_commands_waiting", "Commands that wait for a place.").sample(&[], places.waiting);
    if let Some(budget) = app.commands.budget() {
        page.gauge("daur_retry_budget_left", "Retries that the budget would pay for now.")
            .sample(&[], budget.retries_left);
        page.counter("daur_retry_budget_funded", "Retries that it has paid for.").sample(&[], budget.funded);
        page.counter("daur_retry_budget_refused", "Retries that it has refused.").sample(&[], budget.refused);
    }
    let mut turned_away = page.counter("daur_commands_turned_away", "Commands that got no place, by why.");
    turned_away.sample(&[("cause", "full")], places.refused);
    turned_away.sample(&[("cause", "timeout")], places.timed_out);

    let fallbacks = app.commands.fallbacks();
    let mut used = page.counter("daur_fallback_used", "Earlier outputs given instead, by why the program gave none.");
    for (cause, count) in [
        (Cause::Timeout, fallbacks.timeout),
        (Cause::CircuitOpen, fallbacks.circuit_open),
        (Cause::NotStarted, fallbacks.not_started),
    ] {
        used.sample(&[("cause", cause.as_str())], count);
    }
    page.counter("daur_fallback_missing", "Times there was no earlier output, or none young enough.")
        .sample(&[], fallbacks.missing);
    page.counter("daur_fallback_dropped", "Outputs forgotten to make room, or too long to be remembered.")
        .sample(&[], fallbacks.dropped);

    results(app, page);
}

fn results(app: &App, page: &mut Page) {
    let cache = app.results.snapshot();
    let (memory, file) = (cache.memory, cache.file.counters);
    let tier = |name| [("tier", name)];
    let mut hits = page.counter("daur_cache_hits", "Look-ups that were answered, by what.");
    hits.sample(&tier("memory"), memory.hits);
    hits.sample(&tier("file"), file.hits);
    let mut evicted = page.counter("daur_cache_evicted", "Results that left to make room.");
    evicted.sample(&tier("memory"), memory.evicted);
    evicted.sample(&tier("file"), file.evicted);
    let mut entries = page.gauge("daur_cache_entries", "Results that are kept.");
    entries.sample(&tier("memory"), memory.entries as u64);
    entries.sample(&tier("file"), file.rows);
    let mut bytes = page.gauge("daur_cache_bytes", "Bytes that they take up.");
    bytes.sample(&tier("memory"), memory.bytes);
    bytes.sample(&tier("file"), file.bytes);
    page.gauge("daur_cache_capacity", "Results that may be in memory now.").sample(&[], memory.capacity as u64);
    for (name, help, value) in [
        ("daur_cache_misses", "Look-ups that were not answered.", cache.misses),
        ("daur_cache_shared", "Answers shared by a caller who was asking for the same.", cache.shared),
        ("daur_cache_expired", "Results in the file that were too old.", file.expired),
        ("daur_cache_corrupt", "Results in the file whose checksum was wrong.", file.corrupt),
        ("daur_cache_skipped", "Results not written to the file.", file.skipped),
    ] {
        page.counter(name, help).sample(&[], value);
    }
    let short = app.memory.snapshot();
    let mut level = page.gauge("daur_memory_level", "1 for the level that the memory is at.");
    for (name, at) in [("normal", Level::Normal), ("elevated", Level::Elevated), ("critical", Level::Critical)] {
        level.sample(&[("level", name)], short.level == at);
    }
    if let (Some(used), Some(limit)) = (short.used, short.limit) {
        page.gauge("daur_memory_used_bytes", "Memory used, of the limit that is nearest.").sample(&[], used);
        page.gauge("daur_memory_limit_bytes", "That limit.").sample(&[], limit);
    }
    let mut freed = page.counter("daur_memory_freed_bytes", "Bytes given back since memory was short, by whom.");
    for one in &short.shrinkers {
        freed.sample(&[("by", one.name)], one.freed);
    }
    let events = app.events.snapshot();
    let mut totals = page.counter("daur_events", "What has happened, by name, since the data directory was made.");
    for total in &events.totals {
        let labels = [("kind", &*total.kind), ("name", &*total.name), ("outcome", &*total.outcome)];
        totals.sample(&labels, total.count);
    }
    page.counter("daur_events_lost", "Events that were not recorded.").sample(&[], events.lost);
    let told = app.notifications.snapshot();
    page.counter("daur_notifications", "Notifications sent.").sample(&[], told.sent);
    page.counter("daur_notifications_lagged", "Notifications that made room before a stream had read them.")
        .sample(&[], told.lagged);
    let mut items = page.counter("daur_batch_items", "Items written in batches, by what they are.");
    let mut batches = Vec::new();
    for (name, shown) in [("events", events.batches), ("audit", app.audit.batches())] {
        items.sample(&[("batch", name)], shown.delivered);
        batches.push((name, shown.batches));
    }
    let mut causes = page.counter("daur_batches", "Batches written, by what they are and what completed them.");
    for (name, shown) in batches {
        for (cause, count) in [("items", shown.by_items), ("time", shown.by_time), ("flush", shown.by_flush)] {
            causes.sample(&[("batch", name), ("cause", cause)], count);
        }
    }
    let pool = app.pool.snapshot();
    page.gauge("daur_pool_workers", "Threads for work that waits for the disk.").sample(&[], pool.workers as u64);
    page.gauge("daur_pool_running", "Jobs that run on them.").sample(&[], pool.running);
    page.gauge("daur_pool_queued", "Jobs that wait for one.").sample(&[], pool.queued);
    page.counter("daur_pool_done", "Jobs done.").sample(&[], pool.done);
    page.counter("daur_pool_panicked", "Jobs that panicked.").sample(&[], pool.panicked);
    page.counter("daur_pool_refused", "Jobs that found no room.").sample(&[], pool.refused);
    let mut waits = page.gauge("daur_pool_wait_seconds", "How long jobs have waited, since the start.");
    for (percentile, wait) in [("50", pool.wait_p50_us), ("95", pool.wait_p95_us), ("99", pool.wait_p99_us)] {
        if let Some(wait) = wait {
            waits.sample(&[("percentile", percentile)], wait as f64 / 1e6);
        }
    }
}

fn models(app: &App, page: &mut Page) {
    let models = app.models.snapshot();
    if !models.configured {
        return;
    }
    let mut results = page.counter("daur_model_requests", "Requests to upstreams, by how they ended.");
    for upstream in &models.upstreams {
        for (result, count) in [
            ("answered", upstream.answered),
            ("busy", upstream.busy),
            ("rejected", upstream.rejected),
            ("failed", upstream.failed),
            ("cancelled", upstream.cancelled),
        ] {
            results.sample(&[("upstream", &upstream.name), ("result", result)], count);
        }
    }
    let mut tokens = page.counter("daur_model_tokens", "Tokens that the answers say they cost.");
    for upstream in &models.upstreams {
        tokens.sample(&[("upstream", &upstream.name)], upstream.tokens);
    }
    let mut open = page.gauge("daur_model_breaker_state", "1 for the state that the upstream's breaker is in.");
    for upstream in &models.upstreams {
        for state in ["closed", "open", "half_open"] {
            open.sample(&[("upstream", &upstream.name), ("state", state)], upstream.state == state);
        }
    }
    let mut load = page.gauge("daur_model_load", "Requests under way at the upstream.");
    for upstream in &models.upstreams {
        load.sample(&[("upstream", &upstream.name)], upstream.load);
    }
    let mut expected = page.gauge("daur_model_expected_seconds", "How long its next answer is expected to take.");
    for upstream in &models.upstreams {
        if let Some(expects) = upstream.expected_us {
            expected.sample(&[("upstream", &upstream.name)], expects as f64 / 1e6);
        }
    }
    page.counter("daur_model_ejections", "Times that one was left out because it failed.")
        .sample(&[], models.ejections);
    page.gauge("daur_model_requests_in_flight", "Chats under way.").sample(&[], models.running);
    page.counter("daur_model_cached", "Chats answered by what had been kept.").sample(&[], models.hits);
    page.gauge("daur_model_streams_open", "Answers in pieces, under way.").sample(&[], models.streams.open);
    let mut streams = page.counter("daur_model_streams", "Answers in pieces, by how they ended.");
    for (result, count) in
        [("finished", models.streams.finished), ("cut", models.streams.cut), ("left", models.streams.left)]
    {
        streams.sample(&[("result", result)], count);
    }
    let fallbacks = models.fallbacks;
    let mut used =
        page.counter("daur_model_fallback_used", "Earlier answers given instead, by why there was no new one.");
    for (cause, count) in [
        (Cause::Timeout, fallbacks.timeout),
        (Cause::CircuitOpen, fallbacks.circuit_open),
        (Cause::UpstreamFailed, fallbacks.upstream_failed),
        (Cause::Busy, fallbacks.busy),
    ] {
        used.sample(&[("cause", cause.as_str())], count);
    }
    page.counter("daur_model_fallback_missing", "Times there was no earlier answer, or none young enough.")
        .sample(&[], fallbacks.missing);
}

fn security(app: &App, page: &mut Page) {
    let (known, unknown) = app.gate.lockouts();
    page.gauge("daur_locked_users", "Users locked after wrong passwords.").sample(&[], known.locked);
    page.counter("daur_logins_refused", "Logins refused because the name was locked.")
        .sample(&[], known.refused + unknown.refused);
    let (by_user, by_address) = app.gate.limits();
    let mut limited = page.counter("daur_rate_limited", "Requests refused by the rate limits, by whose.");
    limited.sample(&[("by", "user")], by_user.refused);
    limited.sample(&[("by", "address")], by_address.refused);
    let audit = app.audit.snapshot();
    page.counter("daur_audit_records", "Records of the audit chain.").sample(&[], audit.records);
    page.counter("daur_audit_lost", "Audit events that could not be kept.").sample(&[], audit.lost + audit.failed);
}

/// What it writes about itself: its log and its history.
fn records(app: &App, page: &mut Page) {
    if let Some(log) = app.logs.snapshot() {
        let mut lines = page.counter("daur_log_lines", "Lines of the log: all, and what has become of them.");
        for (state, count) in [("sent", log.sent), ("written", log.written), ("dropped", log.dropped)] {
            lines.sample(&[("state", state)], count);
        }
        page.gauge("daur_log_queued", "Lines that wait to be written.").sample(&[], log.queued);
    }
    let history = app.history.snapshot();
    let mut values = page.counter("daur_history_values", "Values for the charts: all, and what has become of them.");
    for (state, count) in [
        ("offered", history.offered),
        ("written", history.written),
        ("lost", history.lost),
        ("refused", history.refused),
    ] {
        values.sample(&[("state", state)], count);
    }
    page.counter("daur_history_faults", "Refusals of the history's file.").sample(&[], history.faults);
    page.gauge("daur_history_up", "Whether the history's file is open.").sample(&[], history.up);
    page.gauge("daur_history_series", "Series that it keeps.").sample(&[], history.series);
    page.gauge("daur_history_rows", "Rows in it.").sample(&[], history.rows);
    page.gauge("daur_history_used_bytes", "Bytes that it takes up.").sample(&[], history.bytes);
    page.gauge("daur_history_limit_bytes", "Bytes that it may take up.").sample(&[], history.max_bytes);
}

fn jobs(app: &App, page: &mut Page) {
    for job in app.jobs.snapshot() {
        let labels = [("job", job.id)];
        page.counter("daur_job_runs", "Runs of the server's own periodic work.").sample(&labels, job.runs);
        page.counter("daur_job_failures", "Such runs that failed.").sample(&labels, job.failed);
        page.counter("daur_job_panics", "Such runs that panicked.").sample(&labels, job.panicked);
        page.gauge("daur_job_failing", "Whether the last run failed.").sample(&labels, job.failing);
        if let Some(took) = job.last_took_us {
            page.gauge("daur_job_last_run_seconds", "How long the last run took.").sample(&labels, took as f64 / 1e6);
        }
    }
}

fn machine(app: &App, page: &mut Page) {
    let Some(sample) = app.system.current() else { return };
    if let Some(cpu) = sample.cpu_permille {
        page.gauge("daur_system_cpu_ratio", "How busy all CPUs are, from 0 to 1.").sample(&[], f64::from(cpu) / 1e3);
    }
    if let Some(memory) = sample.memory {
        page.gauge("daur_system_memory_used_bytes", "Memory in use.").sample(&[], memory.used);
        page.gauge("daur_system_memory_total_bytes", "Memory there is.").sample(&[], memory.total);
    }
    if let Some([one, ..]) = sample.load_permille {
        page.gauge("daur_system_load1", "The load average over a minute.").sample(&[], f64::from(one) / 1e3);
    }
    for disk in &sample.disks {
        let labels = [("mount", disk.mount.as_str())];
        page.gauge("daur_disk_total_bytes", "The disk's size.").sample(&labels, disk.total);
        page.gauge("daur_disk_available_bytes", "What is free for this process.").sample(&labels, disk.available);
    }
    for network in &sample.networks {
        let labels = [("interface", network.name.as_str())];
        page.counter("daur_network_received_bytes", "Bytes that came in.").sample(&labels, network.received);
        page.counter("daur_network_transmitted_bytes", "Bytes that went out.").sample(&labels, network.transmitted);
    }
    for sensor in &sample.temperatures {
        page.gauge("daur_temperature_celsius", "Temperatures, by sensor.")
            .sample(&[("sensor", &sensor.sensor)], f64::from(sensor.mc) / 1e3);
    }
    if let Some(process) = sample.process {
        page.gauge("process_resident_memory_bytes", "Resident memory of the server.").sample(&[], process.memory);
        for (name, help, value) in [
            ("process_threads", "Threads of the server.", process.threads),
            ("process_open_fds", "Files and sockets that it has open.", process.open_files),
            ("process_max_fds", "How many it may have open.", process.open_files_limit),
        ] {
            if let Some(value) = value {
                page.gauge(name, help).sample(&[], value);
            }
        }
    }
}

fn of_device(device: &DeviceStatus, page: &mut Page) {
    let name = device.id.as_deref().unwrap_or(&device.endpoint);
    let own = [("device", name)];
    page.gauge("daur_device_up", "Whether the device's line is up.").sample(&own, device.connected);
    if let Some(seen) = device.last_seen_ms {
        page.gauge("daur_device_last_seen_seconds", "Time since its last valid frame.").sample(&own, seen as f64 / 1e3);
    }
    let boot = device.boot_id.as_deref().unwrap_or("");
    let firmware = device.firmware.as_deref().unwrap_or("");
    page.gauge("daur_device_info", "Its life and its firmware, as labels.")
        .sample(&[("device", name), ("boot_id", boot), ("firmware", firmware)], 1_u64);
    if let Some(schema) = device.schema {
        page.gauge("daur_device_schema", "The number of its list of records.").sample(&own, u64::from(schema));
    }
    if let Some(ahead) = device.schema_ahead {
        page.gauge("daur_device_schema_ahead", "By how much that is above the server's.")
            .sample(&own, f64::from(ahead));
    }
    if let Some(ahead) = device.wall_ahead_ms {
        let help = "How far its wall time is ahead of the server's.";
        page.gauge("daur_device_clock_ahead_seconds", help).sample(&own, ahead as f64 / 1e3);
    }
    page.gauge("daur_device_uptime_seconds", "Time since its reset.")
        .sample(&own, device.device_uptime_ms as f64 / 1e3);
    for (family, help, value) in [
        ("daur_device_frames", "Frames taken.", device.frames),
        ("daur_device_crc_errors", "Stretches of bytes with a wrong check sum.", device.crc_errors),
        ("daur_device_duplicates", "Frames that had come before.", device.duplicates),
        ("daur_device_unknown", "Frames with a record that this host does not know.", device.unknown),
        ("daur_device_connections", "Times that the line came up.", device.connections),
        ("daur_device_boots", "Different lives seen.", device.boots),
        ("daur_device_lost", "Records that are gone, on the device or on the line.", device.lost),
    ] {
        page.counter(family, help).sample(&own, value);
    }
    for (series, told) in &device.series {
        let labels = [("device", name), ("series", series.as_str())];
        match told.value {
            SeriesValue::Counter { total } => {
                page.counter("daur_device_events", "A counter of the device since its reset.").sample(&labels, total);
            }
            SeriesValue::Gauge { value } => {
                page.gauge("daur_device_value", "A gauge of the device.").sample(&labels, value);
            }
            SeriesValue::Distribution { count, sum, p50, p95, p99, unit, .. } => {
                let labels = [("device", name), ("series", series.as_str()), ("unit", unit.as_str())];
                let told = Snapshot { count, sum, p50: Some(p50), p95: Some(p95), p99: Some(p99), ..Snapshot::EMPTY };
                page.summary("daur_device_distribution", "A distribution of the device, in the unit of the label.")
                    .snapshot(&labels, &told, Unit::One);
            }
            _ => {}
        }
    }
    for (breaker, told) in &device.breakers {
        for state in ["closed", "open", "half_open"] {
            page.gauge("daur_device_breaker_state", "1 for the state that the device's breaker is in.")
                .sample(&[("device", name), ("breaker", breaker), ("state", state)], told.state.as_str() == state);
        }
    }
}

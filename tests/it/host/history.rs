//! Figures that outlive the server.

use super::*;

use daur_std::core::time::Duration as Length;

fn quick(change: impl FnOnce(&mut Config)) -> Host {
    Host::start_with(|config| {
        config.sample_every = Length::from_millis(20);
        config.system_every = Length::from_millis(200);
        config.health.period = Length::from_millis(20);
        change(config);
    })
}

impl Host {
    fn history(&self, token: &str, query: &str) -> Value {
        let reply = self.get(token, &format!("/api/history?{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// Values of a series that are no gaps.
    fn known(&self, token: &str, name: &str) -> Vec<f64> {
        let shown = self.history(token, &format!("series={name}"));
        shown["series"][name].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    }

    fn kept(&self, token: &str) -> Value {
        self.get(token, "/api/status").json()["history"].clone()
    }
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

#[test]
fn figures_and_breakers_are_kept_and_outlive_the_server() {
    let mut host = quick(|_| ());
    let ada = host.token("ada");
    host.command(&ada, "uname");
    assert!(eventually(|| host.known(&ada, "rps").iter().any(|rps| *rps > 0.0)), "{:?}", host.known(&ada, "rps"));
    assert!(eventually(|| host.known(&ada, "memory").iter().any(|bytes| *bytes > 1e6)));
    assert_eq!(host.known(&ada, "breaker:uname").last(), Some(&0.0));
    assert_eq!(host.ask(&ada, "POST", "/api/breakers/uname/force-open", None).status, 200);
    assert!(eventually(|| host.known(&ada, "breaker:uname").contains(&2.0)));
    let all = host.history(&ada, "");
    let series = all["series"].as_object().unwrap();
    let steps = all["t"].as_array().unwrap().len();
    assert!(steps >= 300 && series.values().all(|values| values.as_array().unwrap().len() == steps), "{steps}");
    let names: Vec<&str> = series.keys().map(String::as_str).collect();
    for name in ["cpu", "p50", "p99", "hit", "errors", "failed", "streams", "pool_queued", "net_rx", "net_tx"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }

    let before = now_ms();
    // As many points as are recalled then reach back five minutes.
    host.config.sample_every = Length::from_secs(1);
    host.restart(|_| std::thread::sleep(Duration::from_millis(1_100)));
    let ada = host.token("ada");
    // What was before the restart is in the chart, and in what a page is sent first.
    let shown = host.history(&ada, &format!("series=rps,breaker:uname&to={before}&points=60"));
    let known = |name: &str| shown["series"][name].as_array().unwrap().iter().any(|value| !value.is_null());
    assert!(known("rps") && known("breaker:uname"), "{shown}");
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    let recalled = app.monitor.history();
    assert!(recalled[0].t < before && recalled[0].memory.is_some(), "{recalled:?}");
    assert!(recalled.windows(2).all(|two| two[0].t < two[1].t));
    drop(app);
    // Nobody holds it open any more.
    assert!(eventually(|| host.known(&ada, "breaker:uname").last() == Some(&0.0)));
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_can_be() {
    let host = quick(|_| ());
    let ada = host.token("ada");
    let refused = |query: &str| {
        let reply = host.get(&ada, &format!("/api/history?{query}"));
        reply.is_problem(400, "bad_request");
        reply.json()["detail"].as_str().unwrap().to_owned()
    };
    let said = refused("series=cpu,none");
    assert!(said.contains("number 2") && said.contains("p99") && said.contains("breaker:uname"), "{said}");
    assert!(refused("points=0").contains("points"));
    assert!(refused("points=1000000").contains("points"));
    assert!(refused("from=9&to=9").contains("from"));
    assert!(refused("step=1").contains("`series`"));
    refused("from=yesterday");
    // Steps of ten minutes: nothing finer reaches back so far.
    let old = host.history(&ada, "series=cpu&from=0&to=3000000&points=6");
    assert_eq!((&old["step_ms"], old["series"]["cpu"].as_array().unwrap().len()), (&json!(600_000), 5));
    host.get("", "/api/history").is_problem(401, "unauthenticated");
    assert_eq!(host.ask(&ada, "POST", "/api/history", None).header("allow"), "GET, HEAD, OPTIONS");
}

#[test]
fn a_file_that_is_at_fault_fails_no_request_and_is_shown() {
    let mut host = quick(|_| ());
    let ada = host.token("ada");
    assert!(eventually(|| !host.known(&ada, "rps").is_empty()));
    // Half a file at the start is put aside.
    host.restart(|data| {
        let file = data.join("history.db");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, [&whole[..100], &[7; 5_000]].concat()).unwrap();
        // With the log, the file would be whole again.
        for log in ["history.db-wal", "history.db-shm"] {
            let _ = std::fs::remove_file(data.join(log));
        }
    });
    let ada = host.token("ada");
    assert!(eventually(|| !host.known(&ada, "rps").is_empty()));
    assert_eq!(host.kept(&ada)["quarantined"], 1);
    // One that is deleted is made anew.
    std::fs::remove_file(host.data().join("history.db")).unwrap();
    assert!(eventually(|| host.kept(&ada)["reopened"].as_u64() > Some(0)), "{}", host.kept(&ada));
    assert!(eventually(|| host.kept(&ada)["up"] == true && !host.known(&ada, "rps").is_empty()));
    assert_eq!(host.call("GET", "/readyz", &[], None).status, 200);
    assert_eq!(host.command(&ada, "uname").status, 200);
}

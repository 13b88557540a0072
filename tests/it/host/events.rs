use super::*;

impl Host {
    /// How often something was counted.
    fn counted(&self, token: &str, kind: &str, name: &str, outcome: &str) -> u64 {
        let status = self.get(token, "/api/status").json();
        let totals = status["events"]["totals"].as_array().unwrap().clone();
        let found = totals.iter().find(|total| {
            (&total["kind"], &total["name"], &total["outcome"]) == (&json!(kind), &json!(name), &json!(outcome))
        });
        found.map_or(0, |total| total["count"].as_u64().unwrap())
    }
}

#[test]
fn what_happens_is_counted_by_name_in_batches_and_the_counts_outlive_the_server() {
    // Nothing is written for the time that it has waited.
    let mut host = Host::start_with(|config| (config.events.batch, config.events.wait) = (4, LONG));
    let ada = host.token("ada");
    host.login("ada", "wrong").is_problem(401, "unauthenticated");
    for _ in 0..3 {
        assert_eq!(host.command(&ada, "echo hello").status, 200);
    }
    assert_eq!(host.command(&ada, "ls no-such-file").status, 200);
    let counts = |host: &Host, token: &str| {
        [
            host.counted(token, "command", "echo", "success"),
            host.counted(token, "command", "echo", "cached"),
            host.counted(token, "command", "ls", "failure"),
            host.counted(token, "login", "login", "unauthenticated"),
            host.counted(token, "request", "POST /api/command", "answered"),
        ]
    };
    assert!(eventually(|| counts(&host, &ada) == [1, 2, 1, 1, 4]), "{:?}", counts(&host, &ada));
    let events = host.get(&ada, "/api/status").json()["events"].clone();
    let (batches, rows) = (&events["batches"], events["rows"].as_u64().unwrap());
    assert!(rows >= 7 && batches["delivered"].as_u64().unwrap() >= rows, "{events}");
    let full = batches["batches"]["by_items"].as_u64().unwrap();
    assert!(rows <= 4 * full && batches["batches"]["by_time"] == 0, "{events}");
    assert_eq!((&events["lost"], &batches["rejected"]), (&json!(0), &json!(0)));
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_events_total{kind=\"command\",name=\"echo\",outcome=\"cached\"} 2\n"), "{metrics}");

    // One that comes just before the end is not lost with it.
    assert_eq!(host.command(&ada, "echo again").status, 200);
    host.restart(|_| ());
    let ada = host.token("ada");
    assert_eq!(counts(&host, &ada)[..4], [2, 2, 1, 1]);
}

#[test]
fn the_audit_is_written_in_batches_too() {
    let host = Host::start();
    let ada = host.token("ada");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (host, ada) = (&host, &ada);
            scope.spawn(move || {
                for n in 0..10 {
                    host.command(ada, &format!("rm {client}-{n}")).is_problem(403, "forbidden_command");
                }
            });
        }
    });
    let security = host.get(&ada, "/api/status").json()["security"].clone();
    let (batches, audit) = (&security["batches"], &security["audit"]);
    // Each was answered when its batch was on disk.
    assert!(audit["written"].as_u64().unwrap() >= 80, "{audit}");
    assert_eq!(batches["rejected"], 0);
    assert!(batches["delivered"].as_u64().unwrap() >= 80, "{batches}");
}

#[test]
fn what_people_do_is_counted_with_how_many_they_are() {
    let mut host = Host::start();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    host.login("bob", "wrong").is_problem(401, "unauthenticated");
    for _ in 0..3 {
        assert_eq!(host.command(&ada, "uname").status, 200);
    }
    host.command(&bob, "uname").is_problem(403, "forbidden");
    assert_eq!(host.ask(&ada, "POST", "/api/cache/clear", None).status, 200);
    let report = host.get(&bob, "/api/analytics");
    assert_eq!(report.status, 200, "{}", report.text);
    let event = |report: &Value, name: &str| {
        let events = report["events"].as_array().unwrap();
        events.iter().find(|event| event["name"] == name).map(|event| (event["total"].clone(), event["users"].clone()))
    };
    let report = report.json();
    assert_eq!(event(&report, "login"), Some((json!(3), json!(2))));
    assert_eq!(event(&report, "command"), Some((json!(3), json!(1))));
    assert_eq!(event(&report, "action"), Some((json!(1), json!(1))));
    assert_eq!((&report["users"], &report["complete"]), (&json!(2), &json!(true)));
    assert_eq!((&report["funnels"][0]["entered"], &report["funnels"][0]["converted"]), (&json!(2), &json!(1)));
    let outcome = |value: &str| json!({ "key": "outcome", "value": value, "count": 2 });
    assert!(report["properties"].as_array().unwrap().contains(&outcome("cached")), "{}", report["properties"]);
    let shown = host.get(&bob, "/api/status").json()["analytics"].clone();
    assert_eq!((&shown["total"], &shown["users"], &shown["lost"]), (&json!(7), &json!(2), &json!(0)));
    host.get("", "/api/analytics").is_problem(401, "unauthenticated");

    host.restart(|_| ());
    let ada = host.token("ada");
    assert_eq!(event(&host.get(&ada, "/api/analytics").json(), "command"), Some((json!(3), json!(1))));
}

//! What operators do by hand, and a server that only shows.

use super::models::{Does, Fake, chat, one};
use super::*;

use daur_host::monitor::ROUTES;
use daur_std::core::time::Duration as Length;

impl Host {
    fn act(&self, token: &str, path: &str) -> Reply {
        self.ask(token, "POST", path, None)
    }

    fn state(&self, token: &str, of: &str, name: &str) -> String {
        let status = self.get(token, "/api/status").json();
        let all = status.pointer(of).unwrap().as_array().unwrap().clone();
        all.iter().find(|one| one["name"] == name).unwrap()["state"].as_str().unwrap().to_owned()
    }

    fn attention(&self, token: &str) -> String {
        self.get(token, "/api/status").json()["attention"].to_string()
    }

    fn job(&self, token: &str, id: &str) -> Value {
        let status = self.get(token, "/api/status").json();
        status["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id).unwrap().clone()
    }
}

#[test]
fn a_breaker_is_held_open_held_closed_and_reset() {
    let host = Host::start_with(|config| config.command.program_dirs = vec!["/nonexistent".into()]);
    let ada = host.token("ada");
    let programs = "/breakers";
    // To do it twice is to do it once.
    for _ in 0..2 {
        let held = host.act(&ada, "/api/breakers/uname/force-open");
        assert_eq!((held.status, held.json()), (200, json!({ "name": "uname", "state": "forced_open" })));
    }
    let wait = host.command(&ada, "uname").is_problem(503, "circuit_open");
    // Nobody can say when an operator lets go of it.
    assert_eq!(wait, None);
    assert!(host.attention(&ada).contains("Breaker of uname is held open by hand"), "{}", host.attention(&ada));
    let held = host.act(&ada, "/api/breakers/uname/force-close").json();
    assert_eq!(held, json!({ "name": "uname", "state": "disabled" }));
    // It counts nothing, however often it fails.
    for n in 0..4 {
        host.command(&ada, if n % 2 == 0 { "uname" } else { "uname -a" }).is_problem(500, "internal");
    }
    assert_eq!(host.state(&ada, programs, "uname"), "disabled");
    assert!(host.attention(&ada).contains("Breaker of uname is held closed by hand"));
    for _ in 0..2 {
        assert_eq!(host.act(&ada, "/api/breakers/uname/reset").json()["state"], "closed");
    }
    for n in 0..2 {
        host.command(&ada, &format!("uname -{}", ["a", "s"][n])).is_problem(500, "internal");
    }
    assert_eq!(host.state(&ada, programs, "uname"), "open");
    assert_eq!(host.act(&ada, "/api/breakers/uname/reset").json()["state"], "closed");
    assert!(!host.attention(&ada).contains("Breaker"));

    host.act(&ada, "/api/breakers/rm/reset").is_problem(404, "not_found");
    host.act(&ada, "/api/breakers/model:one/reset").is_problem(404, "not_found");
    host.act(&ada, "/api/breakers/%ff/reset").is_problem(404, "not_found");
    host.act(&ada, "/api/breakers/uname/open").is_problem(404, "not_found");
    let told = host.audited(&ada, "config_change");
    assert_eq!(told.last().unwrap(), "success: breaker uname, force-open: forced_open");
    assert!(told.contains(&"failure: breaker rm, reset: not_found".to_owned()), "{told:?}");
}

#[test]
fn the_breaker_of_a_model_goes_by_its_upstreams_name() {
    let fake = Fake::new(Does::Answer(json!({ "choices": [1] }).to_string()));
    let host = Host::start_with(|config| config.model.upstreams = vec![one(&fake, "one")]);
    let ada = host.token("ada");
    let ask = |text: &str| host.ask(&ada, "POST", "/api/model", Some(&chat(text)));
    assert_eq!(ask("a").status, 200);
    let held = host.act(&ada, "/api/breakers/model%3Aone/force-open").json();
    assert_eq!(held, json!({ "name": "model:one", "state": "forced_open" }));
    assert_eq!(ask("b").is_problem(503, "circuit_open"), None);
    // What is kept is given all the same.
    assert_eq!(ask("a").header("x-daur-cache"), "hit");
    assert_eq!(host.state(&ada, "/models/upstreams", "one"), "forced_open");
    assert!(host.attention(&ada).contains("Breaker of the model one is held open by hand"));
    assert_eq!(host.act(&ada, "/api/breakers/model:one/force-close").json()["state"], "disabled");
    assert_eq!(ask("b").status, 200);
    assert_eq!(host.act(&ada, "/api/breakers/model:one/reset").json()["state"], "closed");
    assert_eq!(ask("c").status, 200);
}

#[test]
fn a_cleared_cache_has_nothing_left_in_memory_nor_in_the_file() {
    let mut host = Host::start();
    let ada = host.token("ada");
    for n in 0..5 {
        assert_eq!(host.command(&ada, &format!("echo {n}")).status, 200);
    }
    let cache = || host.get(&ada, "/api/status").json()["cache"].clone();
    assert!(cache()["memory"]["bytes"].as_u64().unwrap() > 5 * 40, "{}", cache());
    assert_eq!(host.command(&ada, "echo 1").json()["cached"], true);
    let cleared = host.act(&ada, "/api/cache/clear");
    assert_eq!((cleared.status, cleared.json()), (200, json!({ "cleared": 5 })));
    let left = cache();
    assert_eq!(
        (&left["memory"]["entries"], &left["memory"]["bytes"], &left["file"]["rows"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(host.command(&ada, "echo 1").json()["cached"], false);
    assert_eq!(host.act(&ada, "/api/cache/clear").json(), json!({ "cleared": 1 }));
    assert_eq!(host.act(&ada, "/api/cache/clear").json(), json!({ "cleared": 0 }));
    assert!(host.audited(&ada, "config_change").contains(&"success: cache cleared: 5 results".to_owned()));
    host.restart(|_| ());
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, "echo 1").json()["cached"], false);
}

#[test]
fn the_jobs_are_told_and_run_when_they_are_asked_for() {
    let host = Host::start_with(|config| (config.sample_every, config.health.period) = (Length::from_millis(20), LONG));
    let ada = host.token("ada");
    assert!(eventually(|| host.job(&ada, "sample")["runs"].as_u64().unwrap() > 3));
    let sample = host.job(&ada, "sample");
    assert_eq!((&sample["period_ms"], &sample["failed"], &sample["last_error"]), (&json!(20), &json!(0), &Value::Null));
    assert!(sample["last_took_us"].is_u64() && sample["last_ms"].is_u64());
    assert!(eventually(|| host.job(&ada, "tidy")["runs"] == 1));
    assert!(host.job(&ada, "tidy")["next_ms"].as_u64() > host.job(&ada, "tidy")["last_ms"].as_u64());
    assert!(eventually(|| host.job(&ada, "memory")["runs"].as_u64().unwrap() > 0));
    // The checks are run by themselves and when they are asked for.
    let runs = || host.get(&ada, "/api/status").json()["health"]["checks"][0]["runs"].as_u64().unwrap();
    assert!(eventually(|| host.job(&ada, "health")["runs"] == 1));
    let before = runs();
    assert_eq!(host.act(&ada, "/api/jobs/health/run").status, 200);
    assert!(eventually(|| host.job(&ada, "health")["runs"] == 2) && runs() > before);
    let asked = host.act(&ada, "/api/jobs/tidy/run");
    assert_eq!((asked.status, &asked.json()["id"]), (200, &json!("tidy")));
    assert!(eventually(|| host.job(&ada, "tidy")["runs"] == 2), "{}", host.job(&ada, "tidy"));
    host.act(&ada, "/api/jobs/none/run").is_problem(404, "not_found");
    let told = host.audited(&ada, "config_change");
    assert_eq!(
        told,
        ["failure: job none run: not_found", "success: job tidy run: scheduled", "success: job health run: scheduled"]
    );
}

const ACTIONS: [&str; 8] = [
    "/api/breakers/uname/reset",
    "/api/breakers/uname/force-open",
    "/api/breakers/uname/force-close",
    "/api/cache/clear",
    "/api/jobs/tidy/run",
    "/api/jobs/tidy/pause",
    "/api/jobs/tidy/resume",
    "/api/jobs/tidy/cancel",
];

#[test]
fn who_does_not_administer_is_refused_by_the_server_and_told_of_in_the_audit() {
    let host = Host::start();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    for path in ACTIONS {
        host.act(&bob, path).is_problem(403, "forbidden");
        host.act("", path).is_problem(401, "unauthenticated");
        for method in ["GET", "PUT", "DELETE"] {
            let wrong = host.ask(&ada, method, path, None);
            wrong.is_problem(405, "method_not_allowed");
            assert_eq!(wrong.header("allow"), "POST, OPTIONS", "{path}");
        }
        // A page of somebody else's that has the browser send its cookie.
        let headers = [("Cookie", &*format!("daur_session={ada}")), ("Origin", "http://evil.example")];
        host.call("POST", path, &headers, None).is_problem(403, "forbidden");
    }
    assert_eq!(host.state(&ada, "/breakers", "uname"), "closed");
    assert!(host.audited(&ada, "config_change").is_empty());
    let denied = host.audited(&ada, "access_denied");
    for path in ACTIONS {
        for why in ["permission", "foreign origin"] {
            assert!(denied.contains(&format!("denied: POST {path}: {why}")), "{path} {why} {denied:?}");
        }
    }
}

#[test]
fn a_read_only_server_refuses_every_change_and_lets_people_come_and_go() {
    let host = Host::start_with(|config| config.read_only = true);
    let ada = host.token("ada");
    assert_eq!(host.get(&ada, "/api/status").json()["read_only"], true);
    let free = ["POST /api/login", "POST /api/logout", "POST /api/token/refresh", "DELETE /api/sessions/{number}"];
    let mut refused = 0;
    for (method, path) in ROUTES.iter().filter(|route| !free.contains(route)).filter_map(|route| route.split_once(' '))
    {
        if method == "GET" {
            continue;
        }
        let path = path.replace("{name}", "uname").replace("{id}", "tidy");
        let body = json!({ "command": "uname" });
        let reply = host.ask(&ada, method, &path, Some(&body));
        reply.is_problem(403, "forbidden");
        assert!(reply.json()["detail"].as_str().unwrap().contains("read-only"), "{method} {path}");
        refused += 1;
    }
    assert!(refused >= 12, "{refused}");
    for path in ["/api/status", "/api/users", "/api/devices", "/api/audit", "/api/sessions"] {
        assert_eq!(host.get(&ada, path).status, 200, "{path}");
    }
    let told = host.audited(&ada, "access_denied");
    assert!(told.contains(&"denied: POST /api/command: read-only".to_owned()), "{told:?}");

    let fresh = host.ask(&ada, "POST", "/api/token/refresh", None).json();
    let ada = fresh["token"].as_str().unwrap();
    // One's own session is one's own to end; somebody else's is a change.
    let (bob, other) = (host.login("bob", PASSWORD).json(), host.login("ada", PASSWORD).json());
    let end = |session: &Value| host.ask(ada, "DELETE", &format!("/api/sessions/{session}"), None);
    end(&bob["session"]).is_problem(403, "forbidden");
    assert_eq!(end(&other["session"]).status, 204);
    assert_eq!(host.get(bob["token"].as_str().unwrap(), "/api/status").status, 200);
    assert_eq!(host.ask(ada, "POST", "/api/logout", None).status, 204);
}

#[test]
fn a_server_is_made_read_only_by_a_flag_the_environment_or_the_file() {
    let dir = Dir::new();
    let file = dir.0.join("daur.toml");
    let data = dir.0.join("data");
    let add = ["user", "add", "ada", "--permissions", "read,write", "--password-stdin"];
    program(&data, &add, PASSWORD).good();
    let started = |flag: Option<&str>, variable: &str, text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&file).arg("--data-dir").arg(&data).args(flag);
        let mut child = command.env("DAUR_READ_ONLY", variable).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        let address = line.trim().trim_end_matches('/').rsplit_once('/').unwrap().1.parse().unwrap();
        let login = json!({ "user": "ada", "password": PASSWORD }).to_string();
        let token = call(address, "POST", "/api/login", &[], Some(&login)).json()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let body = json!({ "command": "uname" }).to_string();
        let status = call(address, "POST", "/api/command", &[("Authorization", &bearer)], Some(&body)).status;
        child.kill().unwrap();
        child.wait().unwrap();
        status
    };
    assert_eq!(started(None, "", ""), 200);
    assert_eq!(started(Some("--read-only"), "", ""), 403);
    assert_eq!(started(None, "true", ""), 403);
    assert_eq!(started(None, "", "read_only = true\n"), 403);
    assert_eq!(started(None, "false", "read_only = true\n"), 200, "the environment goes before the file");
    assert_eq!(started(Some("--read-only"), "0", "read_only = false\n"), 403);
    let done = Command::new(PROGRAM).args(["--data-dir"]).arg(&data).env("DAUR_READ_ONLY", "perhaps").output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("DAUR_READ_ONLY"));
}

#[test]
fn a_job_is_paused_resumed_and_cancelled_for_good_until_the_next_start() {
    let mut host = Host::start();
    let ada = host.token("ada");
    assert!(eventually(|| host.job(&ada, "tidy")["runs"] == 1));
    let act = |how: &str| host.act(&ada, &format!("/api/jobs/tidy/{how}"));
    assert_eq!(act("pause").json(), json!({ "id": "tidy", "state": "paused" }));
    let paused = host.job(&ada, "tidy");
    assert_eq!((&paused["state"], &paused["next_ms"]), (&json!("paused"), &Value::Null));
    assert_eq!(act("run").status, 200);
    assert!(eventually(|| host.job(&ada, "tidy")["runs"] == 2));
    assert_eq!(host.job(&ada, "tidy")["state"], "paused");
    assert_eq!(act("resume").json()["state"], "scheduled");
    assert!(host.job(&ada, "tidy")["next_ms"].is_u64());
    assert_eq!(act("cancel").json()["state"], "cancelled");
    for how in ["run", "pause", "resume", "cancel"] {
        act(how).is_problem(409, "conflict");
    }
    assert!(host.audited(&ada, "config_change").contains(&"success: job tidy cancel: cancelled".to_owned()));
    host.restart(|_| ());
    let ada = host.token("ada");
    assert!(eventually(|| host.job(&ada, "tidy")["runs"] == 1));
}

use super::*;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::sync::Mutex;

use daur_std::core::id::{BootId, DeviceId};
use daur_std::core::security::audit::{Chain, Event};
use daur_std::core::time::Instant as DeviceTime;
use daur_std::security::audit::device::{Life, Trail};
use rusqlite::Connection;

/// What a verification says, and its exit code.
fn verify(data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let done = program(data, &[&["audit", "verify"], more].concat(), "");
    (done.code, done.stdout + &done.stderr)
}

fn tamper(data: &Path, sql: &str) {
    Connection::open(data.join("audit.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn records_are_found_by_kind_actor_and_time() {
    let host = Host::start();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    host.command(&ada, "uname");
    host.command(&bob, "uname").is_problem(403, "forbidden");
    let found = |query: &str| -> Vec<Value> {
        let reply = host.get(&ada, &format!("/api/audit?{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["events"].as_array().unwrap().clone()
    };
    let kinds = |events: &[Value]| -> BTreeSet<String> {
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&found("kind=login")), BTreeSet::from(["login".to_owned()]));
    assert_eq!(found("kind=login").len(), 2);
    assert!(found("actor=bob").iter().all(|event| event["actor"] == "bob"));
    assert_eq!(kinds(&found("actor=bob")), ["access_denied", "login", "user_change"].map(str::to_owned).into());
    assert_eq!(found("kind=command&actor=ada&limit=5").len(), 1);
    let all = found("");
    let middle = all[all.len() / 2]["at_ms"].as_u64().unwrap();
    let (before, since) = (found(&format!("until={middle}")), found(&format!("since={middle}")));
    assert!(before.iter().all(|event| event["at_ms"].as_u64().unwrap() < middle));
    assert!(since.iter().all(|event| event["at_ms"].as_u64().unwrap() >= middle));
    assert_eq!(before.len() + since.len(), all.len());
    for bad in ["kind=none", "limit=many", "since=yesterday", "who=ada"] {
        host.get(&ada, &format!("/api/audit?{bad}")).is_problem(400, "bad_request");
    }

    let listed = host.program(&["audit", "list", "--kind", "command", "--actor", "ada", "--since", "1h"], "").good();
    let line: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!((&line[2..7], line[7]), (&["host", "command", "success", "ada", "127.0.0.1"][..], "exit 0: uname"));
    assert!(host.program(&["audit", "list", "--until", "1h"], "").good().is_empty());
    assert_eq!(host.program(&["audit", "list", "--limit", "2"], "").good().lines().count(), 2);
}

#[test]
fn whatever_a_client_says_is_one_line() {
    let host = Host::start();
    host.login("e\nve\t\u{1b}[2J\u{202e}\"\\", "x").is_problem(401, "unauthenticated");
    let list = host.program(&["audit", "list", "--kind", "login"], "").good();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!((lines.len(), lines[0].split('\t').count()), (1, 8), "{list}");
    assert!(list.trim_end_matches('\n').chars().all(|c| c == '\t' || !c.is_control()), "{list}");
    assert!(!list.contains('\u{202e}'));
    let json = host.program(&["audit", "list", "--kind", "login", "--json"], "").good();
    assert_eq!(json.lines().count(), 1);
    let event: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["actor"], "e\nve\t\u{1b}[2J\u{202e}\"\\");
}

#[test]
fn an_intact_chain_is_0_a_broken_one_1_and_one_that_cannot_be_checked_2() {
    let mut host = Host::start();
    let ada = host.token("ada");
    host.command(&ada, "uname");
    let data = host.data();
    let (code, said) = verify(&data, &[]);
    assert!(code == Some(0) && said.starts_with("intact: ") && said.contains("without --head"), "{said}");
    host.stop();
    let head = program(&data, &["audit", "head"], "").good();
    let head = head.trim_end();
    let (code, said) = verify(&data, &["--head", head]);
    assert!(code == Some(0) && said.starts_with("intact and complete: "), "{said}");
    assert!(said.contains(head), "{said}");

    // It need not be where it was made.
    let away = Dir::new();
    let (chain, key) = (away.0.join("chain.jsonl"), away.0.join("first.key"));
    std::fs::write(&chain, program(&data, &["audit", "export"], "").good()).unwrap();
    std::fs::rename(data.join("audit.key"), &key).unwrap();
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let nowhere = away.0.join("nowhere");
    assert_eq!(verify(&nowhere, &["--file", chain, "--key", key, "--head", head]).0, Some(0));
    let (code, said) = verify(&data, &[]);
    assert!(code == Some(2) && said.contains("--key"), "{said}");
    assert_eq!(verify(&nowhere, &["--key", key]).0, Some(2), "there is nothing to check");
    assert_eq!(verify(&data, &["--file", "/not/there", "--key", key]).0, Some(2));
    assert_eq!(verify(&data, &["--head", "12"]).0, Some(2), "that is no head");

    let lines = std::fs::read_to_string(chain).unwrap();
    std::fs::write(chain, lines.replace("uname", "uname -a")).unwrap();
    let (code, said) = verify(&nowhere, &["--file", chain, "--key", key]);
    assert!(code == Some(1) && said.starts_with("broken: audit record "), "{said}");
    let whole = lines.lines().count();
    let cut: String = lines.split_inclusive('\n').take(whole - 1).collect();
    std::fs::write(chain, cut).unwrap();
    assert_eq!(verify(&nowhere, &["--file", chain, "--key", key]).0, Some(0), "only a head tells that it was cut");
    let (code, said) = verify(&nowhere, &["--file", chain, "--key", key, "--head", head]);
    assert!(code == Some(1) && said.contains(&format!("after record {}", whole - 1)), "{said}");

    // Whoever cuts the database's, and sets its end back with it, lacks the key that was there before.
    tamper(
        &data,
        "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);
         UPDATE audit_state SET (seq, tag) = (SELECT seq, tag FROM audit ORDER BY seq DESC LIMIT 1);",
    );
    let (code, said) = verify(&data, &["--key", key]);
    assert!(code == Some(1) && said.contains("state to go on from"), "{said}");
    let (code, said) = verify(&data, &["--key", key, "--head", head]);
    assert!(code == Some(1) && said.contains("cut after record"), "{said}");
    tamper(&data, "UPDATE audit SET actor = 'bob' WHERE seq = 3");
    let (code, said) = verify(&data, &["--key", key]);
    assert!(code == Some(1) && said.contains("record 3"), "{said}");
}

#[test]
fn what_the_chain_goes_on_from_is_part_of_it() {
    let mut host = Host::start();
    let ada = host.token("ada");
    host.command(&ada, "uname");
    host.stop();
    let data = host.data();
    let head = program(&data, &["audit", "head"], "").good();
    let kept = Connection::open(data.join("audit.db")).unwrap();
    kept.execute_batch("CREATE TEMP TABLE kept AS SELECT * FROM audit_state").unwrap();
    for sql in [
        "DELETE FROM audit_state",
        "UPDATE audit_state SET seq = seq - 1",
        "UPDATE audit_state SET seq = 0",
        "UPDATE audit_state SET tag = zeroblob(32)",
        "UPDATE audit_state SET tag = x'00'",
        "UPDATE audit_state SET key = zeroblob(32)",
        "UPDATE audit_state SET key = x''",
    ] {
        tamper(&data, sql);
        for more in [&[][..], &["--head", head.trim_end()]] {
            let (code, said) = verify(&data, more);
            assert!(code == Some(1) && said.starts_with("broken: "), "{sql}: {said}");
        }
        kept.execute_batch("DELETE FROM audit_state; INSERT INTO audit_state SELECT * FROM kept").unwrap();
        assert_eq!(verify(&data, &[]).0, Some(0));
    }
}

#[test]
fn the_chain_of_a_device_is_verified_with_the_fleet_key() {
    let dir = Dir::new();
    std::fs::create_dir(dir.0.join("devices")).unwrap();
    let fleet: String = "5a".repeat(32);
    std::fs::write(dir.0.join("fleet.key"), format!("{fleet}\n")).unwrap();
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.0.join("fleet.key"), owner).unwrap();
    // What a device tells of one of its lives, as the gateway keeps it.
    let life = Life { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), nonce: 0xFEED };
    let mut chain = Chain::new(life.device, life.boot, life.first_key(&[0x5A; 32]));
    let entries: Vec<_> = (0..5)
        .map(|n| chain.append(&Event::command("ada", "set-interval 500", true), DeviceTime::from_secs(n), None))
        .collect();
    Trail::open(Some(&dir.0.join("devices")), life, Some(&[0x5A; 32])).unwrap().receive(&entries).unwrap();
    let file = dir.0.join("devices").join(life.file_name());
    let file = file.to_str().unwrap();
    let (code, said) = verify(&dir.0, &["--device", file]);
    assert!(code == Some(0) && said.starts_with("intact: 5 records"), "{said}");
    let head = said.split_once("head ").unwrap().1.split(';').next().unwrap().to_owned();
    assert_eq!(verify(&dir.0, &["--device", file, "--head", &head]).0, Some(0));
    let lines = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, lines.replace("ada", "eve")).unwrap();
    let (code, said) = verify(&dir.0, &["--device", file]);
    assert!(code == Some(1) && said.contains("record 1"), "{said}");
    let cut: String = lines.split_inclusive('\n').take(3).collect();
    std::fs::write(file, cut).unwrap();
    assert_eq!(verify(&dir.0, &["--device", file]).0, Some(0));
    assert_eq!(verify(&dir.0, &["--device", file, "--head", &head]).0, Some(1));
    // Without the fleet key nothing is known.
    std::fs::remove_file(dir.0.join("fleet.key")).unwrap();
    assert_eq!(verify(&dir.0, &["--device", file]).0, Some(2));
}

#[test]
fn a_program_that_is_killed_loses_no_event_that_it_answered_for() {
    const ACKNOWLEDGED: usize = 1_000;
    let dir = Dir::new();
    program(&dir.0, &["user", "add", "ada", "--permissions", "write", "--password-stdin"], PASSWORD).good();
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&dir.0)
        .envs([("DAUR_POLICY_API_RATE", "1000000"), ("DAUR_POLICY_API_BURST", "1000000")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().trim_end_matches('/').rsplit_once('/').unwrap().1.parse().unwrap();
    let login = json!({ "user": "ada", "password": PASSWORD }).to_string();
    let token = call(address, "POST", "/api/login", &[], Some(&login)).json()["token"].as_str().unwrap().to_owned();
    let acknowledged = Mutex::new(BTreeSet::new());
    let child = Mutex::new(child);
    std::thread::scope(|scope| {
        for client in 0..8_u32 {
            let (token, acknowledged, child) = (&token, &acknowledged, &child);
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for n in 0.. {
                    // A refused command is recorded before it is answered, and starts no process.
                    let command = format!("rm {client}-{n}.");
                    let body = json!({ "command": command }).to_string();
                    let request = format!(
                        "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
                         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let mut answer = Vec::new();
                    let mut buffer = [0; 4096];
                    let _ = stream.write_all(request.as_bytes());
                    while !answer.ends_with(b"}") {
                        match stream.read(&mut buffer) {
                            Ok(read @ 1..) => answer.extend_from_slice(&buffer[..read]),
                            // It was killed before it could answer.
                            _ => return,
                        }
                    }
                    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer));
                    let mut acknowledged = acknowledged.lock().unwrap();
                    acknowledged.insert(command);
                    if acknowledged.len() == ACKNOWLEDGED {
                        child.lock().unwrap().kill().unwrap();
                    }
                }
            });
        }
    });
    child.lock().unwrap().wait().unwrap();
    let (code, said) = verify(&dir.0, &[]);
    assert_eq!(code, Some(0), "{said}");
    let list = program(&dir.0, &["audit", "list", "--kind", "command", "--limit", "100000"], "").good();
    let told: BTreeSet<&str> = list.lines().map(|line| line.rsplit_once(": ").unwrap().1).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= ACKNOWLEDGED);
    let lost: Vec<&String> = acknowledged.iter().filter(|command| !told.contains(command.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_directory_of_a_server_that_kept_the_chain_beside_the_users_goes_on_with_both() {
    let mut host = Host::start();
    let ada = host.token("ada");
    host.command(&ada, "uname");
    let before = host.data();
    let mut head = String::new();
    host.restart(|data| {
        // As it was laid out then.
        let db = Connection::open(data.join("daur.db")).unwrap();
        db.execute("ATTACH ?1 AS own", [data.join("audit.db").to_str().unwrap()]).unwrap();
        for table in ["audit", "audit_state"] {
            db.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM own.{table}")).unwrap();
        }
        drop(db);
        for side in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(data.join(format!("audit.db{side}")));
        }
        // Whoever only looks finds it there.
        head = program(data, &["audit", "head"], "").good();
        assert_eq!(verify(data, &["--head", head.trim_end()]).0, Some(0));
        assert!(!data.join("audit.db").exists());
    });
    assert_eq!(host.command(&ada, "uname").status, 200, "the session has outlived it");
    let listed = host.get(&ada, "/api/audit?kind=command").json();
    assert_eq!(listed["events"].as_array().unwrap().len(), 2);
    host.stop();
    let left: i64 = Connection::open(before.join("daur.db"))
        .unwrap()
        .query_row("SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM audit_state)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    let (code, said) = verify(&before, &[]);
    assert!(code == Some(0) && said.starts_with("intact"), "{said}");
    let seq = |head: &str| head.split(':').next().unwrap().parse::<u64>().unwrap();
    assert!(seq(&program(&before, &["audit", "head"], "").good()) > seq(&head));
}

use super::*;

const OTHER: &str = "another long passphrase";

fn status(host: &Host, token: &str) -> u16 {
    host.get(token, "/api/status").status
}

fn change(host: &Host, token: &str, name: &str, change: &Value) -> Reply {
    host.ask(token, "PATCH", &format!("/api/users/{name}"), Some(change))
}

#[test]
fn who_administers_adds_changes_and_removes_users() {
    let host = Host::start();
    let ada = host.token("ada");
    let new = json!({ "name": "eve", "password": PASSWORD, "permissions": ["read"] });
    let reply = host.ask(&ada, "POST", "/api/users", Some(&new));
    assert_eq!(reply.status, 201, "{}", reply.text);
    let person = reply.json();
    assert_eq!((&person["name"], &person["permissions"]), (&json!("eve"), &json!(["read"])));

    // Each change ends the sessions that there are, at once; the next login has what is granted then.
    let eve = host.token("eve");
    assert_eq!(status(&host, &eve), 200);
    let granted = change(&host, &ada, "eve", &json!({ "permissions": ["read", "write"] }));
    assert_eq!((granted.status, &granted.json()["permissions"]), (200, &json!(["read", "write"])));
    assert_eq!(status(&host, &eve), 401);
    let login = host.login("eve", PASSWORD).json();
    assert_eq!(login["permissions"], json!(["read", "write"]));
    let eve = login["token"].as_str().unwrap();
    // What is so already changes nothing.
    assert_eq!(change(&host, &ada, "eve", &json!({ "permissions": ["write", "read"], "disabled": false })).status, 200);
    assert_eq!(status(&host, eve), 200);

    assert_eq!(change(&host, &ada, "eve", &json!({ "password": OTHER })).status, 200);
    assert_eq!(status(&host, eve), 401);
    host.login("eve", PASSWORD).is_problem(401, "unauthenticated");
    let eve = host.login("eve", OTHER).json()["token"].as_str().unwrap().to_owned();

    assert_eq!(change(&host, &ada, "eve", &json!({ "disabled": true })).json()["disabled"], true);
    assert_eq!(status(&host, &eve), 401);
    let (disabled, unknown) = (host.login("eve", OTHER), host.login("nobody", OTHER));
    assert_eq!((disabled.status, disabled.text), (unknown.status, unknown.text), "nobody is told who is disabled");
    assert_eq!(change(&host, &ada, "eve", &json!({ "disabled": false })).status, 200);
    let eve = host.login("eve", OTHER).json()["token"].as_str().unwrap().to_owned();

    let people = host.get(&ada, "/api/users").json();
    let names: Vec<_> = people["users"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ada", "bob", "eve"]);
    assert_eq!(people["users"][2]["sessions"], 1);
    assert_eq!(host.ask(&ada, "DELETE", "/api/users/eve", None).status, 204);
    assert_eq!(status(&host, &eve), 401);
    host.login("eve", OTHER).is_problem(401, "unauthenticated");
    host.ask(&ada, "DELETE", "/api/users/eve", None).is_problem(404, "not_found");
    // Whoever has the name next has nothing of the one before.
    assert_eq!(host.ask(&ada, "POST", "/api/users", Some(&new)).status, 201);
    assert_eq!(status(&host, &eve), 401);

    let told: Vec<_> = host.audited(&ada, "user_change").into_iter().rev().skip(2).collect();
    assert_eq!(
        told,
        [
            "success: eve: added with read",
            "success: eve: permissions read,write; 1 sessions ended",
            "success: eve: another password; 1 sessions ended",
            "success: eve: disabled; 1 sessions ended",
            "success: eve: enabled; 0 sessions ended",
            "success: eve: removed",
            "failure: eve: not removed, not_found",
            "success: eve: added with read",
        ]
    );
}

#[test]
fn the_last_who_may_administer_stays_so() {
    let host = Host::start();
    let ada = host.token("ada");
    let refused = [json!({ "permissions": ["read"] }), json!({ "disabled": true })];
    for wanted in &refused {
        change(&host, &ada, "ada", wanted).is_problem(409, "conflict");
    }
    host.ask(&ada, "DELETE", "/api/users/ada", None).is_problem(409, "conflict");
    for args in
        [&["user", "disable", "ada"][..], &["user", "set", "ada", "--permissions", "read"], &["user", "remove", "ada"]]
    {
        let done = host.program(args, "");
        assert_eq!(done.code, Some(1));
        assert!(done.stderr.contains("last user who may administer"), "{}", done.stderr);
    }
    assert_eq!(status(&host, &ada), 200, "nothing of it was done");
    let told = host.audited(&ada, "user_change");
    assert_eq!(told.iter().filter(|event| event.starts_with("failure: ")).count(), 6, "{told:?}");
    host.program(&["user", "set", "bob", "--permissions", "read,admin"], "").good();
    assert_eq!(change(&host, &ada, "ada", &refused[0]).status, 200);
}

#[test]
fn nobody_else_sees_or_changes_users() {
    let host = Host::start();
    let bob = host.token("bob");
    let body = json!({ "name": "eve", "password": PASSWORD, "permissions": ["admin"] });
    for (method, path, body) in [
        ("GET", "/api/users", None),
        ("POST", "/api/users", Some(&body)),
        ("PATCH", "/api/users/bob", Some(&json!({ "permissions": ["admin"] }))),
        ("DELETE", "/api/users/ada", None),
    ] {
        host.ask(&bob, method, path, body).is_problem(403, "forbidden");
        let body = body.map(Value::to_string);
        host.call(method, path, &[], body.as_deref()).is_problem(401, "unauthenticated");
    }
    let denied = host.audited(&host.token("ada"), "access_denied");
    assert_eq!(denied.iter().filter(|event| event.ends_with(": permission")).count(), 4, "{denied:?}");
}

#[test]
fn what_cannot_be_is_refused_and_named() {
    let host = Host::start();
    let ada = host.token("ada");
    let new = |name: &str, password: &str, permissions: &Value| {
        let body = json!({ "name": name, "password": password, "permissions": permissions });
        host.ask(&ada, "POST", "/api/users", Some(&body))
    };
    for name in
        ["", " eve", "e\nve", &"x".repeat(33), "e\u{202e}ve", "bo\u{200b}b", "\u{feff}", "e\u{ad}ve", "e\u{2028}ve"]
    {
        new(name, PASSWORD, &json!([])).is_problem(400, "invalid_input");
    }
    new("eve", "short", &json!([])).is_problem(400, "invalid_input");
    new("eve", PASSWORD, &json!(["root"])).is_problem(400, "invalid_input");
    new("ada", PASSWORD, &json!([])).is_problem(409, "conflict");
    // An array has no names: what stands where in it is nobody's promise.
    host.ask(&ada, "POST", "/api/users", Some(&json!(["eve", PASSWORD, ["admin"]]))).is_problem(400, "bad_request");
    change(&host, &ada, "bob", &json!([["admin"], null, null])).is_problem(400, "bad_request");
    host.call("POST", "/api/login", &[], Some(&json!(["ada", PASSWORD]).to_string())).is_problem(400, "bad_request");
    change(&host, &ada, "nobody", &json!({ "disabled": true })).is_problem(404, "not_found");
    change(&host, &ada, "%ff", &json!({ "disabled": true })).is_problem(404, "not_found");
    change(&host, &ada, "bob", &json!({ "password": "short" })).is_problem(400, "invalid_input");
    // What is wrong with a body that holds a password is told by its place alone.
    for wrong in
        [json!({ "password": ["hunter22hunter22"] }), json!({ "hunter22hunter22": 1 }), json!("hunter22hunter22")]
    {
        let reply = change(&host, &ada, "bob", &wrong);
        reply.is_problem(400, "bad_request");
        assert!(!reply.text.contains("hunter22") && reply.text.contains("line 1"), "{}", reply.text);
    }
    assert_eq!(host.get(&ada, "/api/users").json()["users"].as_array().unwrap().len(), 2);
    assert_eq!(host.login("bob", PASSWORD).status, 200);
}

#[test]
fn what_the_command_line_changes_the_server_sees_at_once() {
    let host = Host::start();
    let ada = host.token("ada");
    host.program(&["user", "add", "eve", "--permissions", "read", "--password-stdin"], OTHER).good();
    let login = |password: &str| host.login("eve", password).json()["token"].as_str().unwrap().to_owned();
    let mut eve = login(OTHER);
    for (args, line) in [
        (&["user", "set", "eve", "--permissions", "read,write"][..], ""),
        (&["user", "passwd", "eve", "--password-stdin"], PASSWORD),
        (&["user", "disable", "eve"], ""),
        (&["user", "enable", "eve"], ""),
        (&["user", "remove", "eve"], ""),
    ] {
        host.program(args, line).good();
        assert_eq!(status(&host, &eve), 401, "{args:?}");
        match args[1] {
            "set" => eve = login(OTHER),
            "passwd" | "enable" => eve = login(PASSWORD),
            _ => host.login("eve", PASSWORD).is_problem(401, "unauthenticated").map_or((), drop),
        }
    }
    let list = host.program(&["user", "list"], "").good();
    let people: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        people.iter().map(|one| &one[..3]).collect::<Vec<_>>(),
        [["ada", "read,write,admin", "enabled"], ["bob", "read", "enabled"]]
    );
    assert!(people.iter().all(|one| one.len() == 5 && one[3].ends_with('Z')), "{list}");
    for args in
        [&["user", "set", "eve", "--permissions", "read"][..], &["user", "remove", "eve"], &["user", "enable", "eve"]]
    {
        let done = host.program(args, "");
        assert!(done.code == Some(1) && done.stderr.contains("no user called `eve`"), "{}", done.stderr);
    }
    assert_eq!(host.program(&["user", "passwd", "bob", "--password-stdin"], "short").code, Some(1));
    let verdict = host.get(&ada, "/api/audit/verify").json();
    assert_eq!(verdict["intact"], true, "both write one chain: {verdict}");
}

#[test]
fn a_command_for_a_directory_that_is_none_makes_none() {
    let dir = Dir::new();
    let nowhere = dir.0.join("typo");
    for args in [
        &["user", "list"][..],
        &["user", "remove", "ada"],
        &["key", "list"],
        &["key", "retire", "1"],
        &["audit", "head"],
    ] {
        let done = program(&nowhere, args, "");
        assert!(done.code == Some(1) && done.stderr.contains("is no data directory"), "{args:?} {}", done.stderr);
    }
    assert!(!nowhere.exists());
}

#[test]
fn a_flood_of_invented_names_locks_out_no_user() {
    let host = Host::start();
    // More than the table of such names holds: the last ones share a place, and are locked together.
    let crowded = (0..400).any(|n| host.login(&format!("invented{n}"), "x").status == 429);
    assert!(crowded);
    assert_eq!([host.login("ada", PASSWORD).status, host.login("bob", PASSWORD).status], [200, 200]);
    // The users' own locks are their own.
    for _ in 0..3 {
        host.login("bob", "wrong").is_problem(401, "unauthenticated");
    }
    host.login("bob", PASSWORD).is_problem(429, "locked_out");
    assert_eq!(host.login("ada", PASSWORD).status, 200);
}

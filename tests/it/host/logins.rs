use super::*;

#[test]
fn a_login_gives_a_token_with_its_end_and_its_permissions() {
    let host = Host::start();
    let reply = host.login("ada", PASSWORD);
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let body = reply.json();
    let in_an_hour = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3_600;
    assert!(body["expires_at"].as_u64().unwrap().abs_diff(in_an_hour) < 60);
    assert_eq!(body["permissions"], json!(["read", "write", "admin"]));
    let cookie = reply.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(host.get(body["token"].as_str().unwrap(), "/api/status").status, 200);
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let host = Host::start();
    let wrong = host.login("ada", "not the password");
    wrong.is_problem(401, "unauthenticated");
    let unknown = host.login("eve", "not the password");
    assert_eq!((unknown.status, &unknown.text), (wrong.status, &wrong.text));
    let reasons = host.audited(&host.token("ada"), "login");
    assert!(reasons.contains(&"failure: wrong password".to_owned()), "{reasons:?}");
    assert!(reasons.contains(&"failure: unknown user".to_owned()), "{reasons:?}");
}

#[test]
fn three_wrong_passwords_lock_the_name_for_a_while() {
    let host = Host::start();
    let ada = host.token("ada");
    for _ in 0..3 {
        host.login("bob", "wrong").is_problem(401, "unauthenticated");
    }
    let wait = host.login("bob", PASSWORD).is_problem(429, "locked_out");
    assert!(wait.is_some_and(|seconds| (1..=30).contains(&seconds)), "{wait:?}");
    assert_eq!(host.audited(&ada, "lockout").len(), 1);
    assert_eq!(host.get(&ada, "/api/status").json()["security"]["locked_users"], 1);
    // Nobody else is locked, and a name that does not exist is locked alike.
    assert_eq!(host.login("ada", PASSWORD).status, 200);
    for _ in 0..3 {
        host.login("nobody", "wrong").is_problem(401, "unauthenticated");
    }
    host.login("nobody", "wrong").is_problem(429, "locked_out");
}

#[test]
fn a_right_password_starts_the_count_over() {
    let host = Host::start();
    for _ in 0..3 {
        host.login("bob", "wrong").is_problem(401, "unauthenticated");
        host.login("bob", "wrong").is_problem(401, "unauthenticated");
        assert_eq!(host.login("bob", PASSWORD).status, 200);
    }
}

#[test]
fn logins_of_one_address_are_limited() {
    let host = Host::start_with(|config| config.policy.login_rate = 5);
    for _ in 0..5 {
        assert_eq!(host.login("ada", PASSWORD).status, 200);
    }
    // On a slow machine another one is earned meanwhile.
    let refused = std::iter::repeat_with(|| host.login("ada", PASSWORD)).find(|reply| reply.status != 200).unwrap();
    let wait = refused.is_problem(429, "rate_limited");
    assert!(wait.is_some_and(|seconds| (1..=12).contains(&seconds)), "{wait:?}");
}

#[test]
fn a_token_that_is_missing_changed_or_ended_is_refused() {
    let host = Host::start();
    let token = host.token("ada");
    host.call("GET", "/api/status", &[], None).is_problem(401, "unauthenticated");
    host.get("not.a.token", "/api/status").is_problem(401, "unauthenticated");
    let mut changed = token.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    host.get(&String::from_utf8(changed).unwrap(), "/api/status").is_problem(401, "unauthenticated");
    let bearer = format!("Bearer {token}");
    assert_eq!(host.call("POST", "/api/logout", &[("Authorization", &bearer)], None).status, 204);
    host.get(&token, "/api/status").is_problem(401, "unauthenticated");
    let denied = host.audited(&host.token("ada"), "access_denied");
    assert_eq!(denied.len(), 4, "{denied:?}");
}

#[test]
fn a_permission_that_is_missing_is_refused_and_audited() {
    let host = Host::start();
    let bob = host.token("bob");
    assert_eq!(host.get(&bob, "/api/status").status, 200);
    host.command(&bob, "uname").is_problem(403, "forbidden");
    host.get(&bob, "/api/audit").is_problem(403, "forbidden");
    let denied = host.audited(&host.token("ada"), "access_denied");
    assert_eq!(denied, ["denied: GET /api/audit: permission", "denied: POST /api/command: permission"]);
}

#[test]
fn a_change_by_cookie_needs_the_pages_own_origin() {
    let host = Host::start();
    let cookie = host.login("ada", PASSWORD).header("set-cookie").split(';').next().unwrap().to_owned();
    let body = json!({ "command": "uname" }).to_string();
    let ours = format!("http://{}", host.address);
    let send = |headers: &[(&str, &str)]| host.call("POST", "/api/command", headers, Some(&body));
    assert_eq!(send(&[("Cookie", &cookie), ("Origin", &ours)]).status, 200);
    send(&[("Cookie", &cookie)]).is_problem(403, "forbidden");
    send(&[("Cookie", &cookie), ("Origin", "http://evil.example")]).is_problem(403, "forbidden");
    send(&[("Cookie", &cookie), ("Origin", "null")]).is_problem(403, "forbidden");
    // To look is no change.
    assert_eq!(host.call("GET", "/api/status", &[("Cookie", &cookie)], None).status, 200);
    // A login from another site's page would log its victim in as somebody else.
    let login = json!({ "user": "ada", "password": PASSWORD }).to_string();
    host.call("POST", "/api/login", &[("Origin", "http://evil.example")], Some(&login)).is_problem(403, "forbidden");
}

#[test]
fn anybody_may_ask_who_they_are() {
    let host = Host::start();
    assert_eq!(host.call("GET", "/api/session", &[], None).json()["user"], Value::Null);
    let session = host.get(&host.token("bob"), "/api/session").json();
    assert_eq!((&session["user"], &session["permissions"]), (&json!("bob"), &json!(["read"])));
}

#[test]
fn the_audit_chain_verifies() {
    let host = Host::start();
    let ada = host.token("ada");
    host.command(&ada, "uname");
    let verdict = host.get(&ada, "/api/audit/verify").json();
    assert_eq!(verdict["intact"], true, "{verdict}");
    assert!(verdict["records"].as_u64().unwrap() >= 5);
}

use super::*;

use std::os::unix::fs::PermissionsExt;

fn header(token: &str) -> &str {
    token.split('.').next().unwrap()
}

#[test]
fn a_new_key_signs_and_the_old_ones_tokens_are_good_until_it_is_retired() {
    let host = Host::start();
    let fleet = std::fs::read(host.data().join("fleet.key")).unwrap();
    let old = host.token("ada");
    assert_eq!(host.program(&["key", "rotate"], "").good(), "2\n");
    let new = host.token("ada");
    assert_ne!(header(&new), header(&old), "it names another key");
    assert_eq!([&old, &new].map(|token| host.get(token, "/api/status").status), [200, 200]);
    let mode = std::fs::metadata(host.data().join("token-2.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let list = host.program(&["key", "list"], "").good();
    let keys: Vec<_> = list.lines().map(|line| line.rsplit_once('\t').unwrap().0).collect();
    assert_eq!(keys, ["1\tverifies", "2\tsigns"]);

    host.program(&["key", "retire", "1"], "").good();
    host.get(&old, "/api/status").is_problem(401, "unauthenticated");
    assert_eq!(host.get(&new, "/api/status").status, 200);
    let told = host.audited(&new, "key_rotation");
    assert_eq!(told, ["success: token key 1 retired", "success: token key 2 signs"]);
    assert_eq!(std::fs::read(host.data().join("fleet.key")).unwrap(), fleet);
}

#[test]
fn a_ring_has_its_limits() {
    let mut host = Host::start();
    let ada = host.token("ada");
    let refused = |args: &[&str], why: &str| {
        let done = host.program(args, "");
        assert!(done.code == Some(1) && done.stderr.contains(why), "{args:?} {}", done.stderr);
    };
    refused(&["key", "retire", "1"], "cannot be retired before another signs");
    refused(&["key", "retire", "2"], "no key has that name");
    for _ in 2..=4 {
        host.program(&["key", "rotate"], "").good();
    }
    refused(&["key", "rotate"], "retire one first");
    let told = host.audited(&ada, "key_rotation");
    assert_eq!(told.iter().filter(|event| event.starts_with("failure: ")).count(), 3, "{told:?}");
    host.program(&["key", "retire", "1"], "").good();
    // The first key does not come back by itself.
    host.restart(|_| ());
    assert!(!host.data().join("token.key").exists());
    host.get(&ada, "/api/status").is_problem(401, "unauthenticated");
    assert_eq!(host.program(&["key", "rotate"], "").good(), "5\n");
    let again = host.token("ada");
    assert_eq!(host.get(&again, "/api/status").status, 200);
}

use super::models::{Does, Fake, chat};
use super::*;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use rusqlite::Connection;

/// All that the program has said to somebody to whom the secret does not belong, by where it said it.
#[derive(Default)]
struct Said(BTreeMap<String, Vec<u8>>);

impl Said {
    fn hear(&mut self, place: &str, text: impl AsRef<[u8]>) {
        self.0.entry(place.to_owned()).or_default().extend_from_slice(text.as_ref());
    }

    #[track_caller]
    fn keeps(&self, what: &str, secret: &str) {
        assert!(secret.len() >= 7, "{what} is too short to be looked for");
        for (place, text) in &self.0 {
            let told = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!told, "{what} stands in {place}");
        }
    }
}

fn every_file(dir: &Path, said: &mut Said) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            every_file(&entry.path(), said);
        } else if !name.ends_with(".key") {
            said.hear(&name, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Everything that a user does, from the first login to the last, with the log at its most verbose.
#[test]
fn no_password_token_or_key_is_told_to_anybody_else() {
    const WRONG: &str = "wrong-password-7261";
    const SHORT: &str = "sh0rt-7";
    const FIRST: &str = "first-passphrase-3519";
    const SECOND: &str = "second-passphrase-8804";
    const THIRD: &str = "third-passphrase-1177";
    const MODEL_KEY: &str = "sk-model-4471";
    const OTHER_KEY: &str = "sk-other-9026";
    const URL_SECRET: &str = "url-secret-5518";
    let (dir, logs) = (Dir::new(), Dir::new());
    let data = dir.0.join("data");
    let mut said = Said::default();
    let run = |said: &mut Said, args: &[&str], line: &str| {
        let done = program(&data, args, line);
        said.hear(&format!("the output of {args:?}"), done.stdout + &done.stderr);
    };
    run(&mut said, &["user", "add", "ada", "--permissions", "read,write,admin", "--password-stdin"], PASSWORD);
    run(&mut said, &["user", "add", "eve", "--password-stdin"], SHORT);
    let log = logs.0.join("stderr");
    // Two models that repeat what they were told, keys and all.
    let (fake, other) = (Fake::new(Does::Echo(200)), Fake::new(Does::Echo(500)));
    let (config, key_file) = (logs.0.join("daur.toml"), logs.0.join("model"));
    std::fs::write(&key_file, MODEL_KEY).unwrap();
    let upstream = |name: &str, fake: &Fake, key: &str| {
        format!("[[model.upstreams]]\nname = {name:?}\nurl = \"http://{}/?q={URL_SECRET}\"\n{key}\n", fake.address)
    };
    let key = format!("key_file = {:?}", key_file.to_str().unwrap());
    let both = "[model.breaker]\nfailures = 100\n".to_owned()
        + &upstream("one", &fake, &key)
        + &upstream("two", &other, "key_env = \"THE_OTHER_KEY\"");
    std::fs::write(&config, both).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .env("THE_OTHER_KEY", OTHER_KEY)
        .arg("--data-dir")
        .arg(&data)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().trim_end_matches('/').rsplit_once('/').unwrap().1.parse().unwrap();
    said.hear("stdout", &line);

    let mut tokens = Vec::new();
    let send = |said: &mut Said, method: &str, path: &str, token: &str, body: Value| {
        let bearer = format!("Bearer {token}");
        let body = (!body.is_null()).then(|| body.to_string());
        let reply = call(address, method, path, &[("Authorization", &bearer)], body.as_deref());
        let headers: Vec<_> = reply.headers.iter().filter(|(name, _)| *name != "set-cookie").collect();
        said.hear(&format!("the headers of {method} {path}"), format!("{headers:?}"));
        let own = reply.status == 200 && ["/api/login", "/api/token/refresh"].contains(&path);
        if !own {
            said.hear(&format!("the answer to {method} {path}"), &reply.text);
        }
        reply
    };
    let login = |user: &str, password: Value| json!({ "user": user, "password": password });
    let token = |reply: &Reply| reply.json()["token"].as_str().unwrap().to_owned();
    // Logins that fail, in every way there is.
    send(&mut said, "POST", "/api/login", "", login("ada", json!(WRONG))).is_problem(401, "unauthenticated");
    send(&mut said, "POST", "/api/login", "", login("nobody", json!(WRONG))).is_problem(401, "unauthenticated");
    send(&mut said, "POST", "/api/login", "", login("ada", json!([PASSWORD]))).is_problem(400, "bad_request");
    send(&mut said, "POST", "/api/login", "", json!({ PASSWORD: "ada" })).is_problem(400, "bad_request");
    // One that does not, and what follows from it.
    tokens.push(token(&send(&mut said, "POST", "/api/login", "", login("ada", json!(PASSWORD)))));
    tokens.push(token(&send(&mut said, "POST", "/api/token/refresh", &tokens[0], Value::Null)));
    let ada = tokens[1].clone();
    send(&mut said, "GET", "/api/status", &tokens[0], Value::Null).is_problem(401, "unauthenticated");
    let changed = ada.replace('.', "..");
    send(&mut said, "GET", "/api/status", &changed, Value::Null).is_problem(401, "unauthenticated");
    let new = |name: &str, password: &str| json!({ "name": name, "password": password, "permissions": ["read"] });
    assert_eq!(send(&mut said, "POST", "/api/users", &ada, new("eve", FIRST)).status, 201);
    send(&mut said, "POST", "/api/users", &ada, new("bob", SHORT)).is_problem(400, "invalid_input");
    assert_eq!(send(&mut said, "PATCH", "/api/users/eve", &ada, json!({ "password": SECOND })).status, 200);
    send(&mut said, "PATCH", "/api/users/eve", &ada, json!({ "password": SHORT })).is_problem(400, "invalid_input");
    send(&mut said, "PATCH", "/api/users/eve", &ada, json!({ "password": { SECOND: 1 } }))
        .is_problem(400, "bad_request");
    tokens.push(token(&send(&mut said, "POST", "/api/login", "", login("eve", json!(SECOND)))));
    send(&mut said, "GET", "/api/users", &tokens[2], Value::Null).is_problem(403, "forbidden");
    assert_eq!(send(&mut said, "POST", "/api/command", &ada, json!({ "command": "uname" })).status, 200);
    for status in [200, 400, 401, 500, 429] {
        fake.now(Does::Echo(status));
        let answered = send(&mut said, "POST", "/api/model", &ada, chat(&format!("say {status}")));
        assert_eq!(answered.status == 200, status == 200, "{}", answered.text);
    }
    other.now(Does::Echo(200));
    assert_eq!(send(&mut said, "POST", "/api/model", &ada, chat("say it")).status, 200);
    assert!(fake.last().contains(MODEL_KEY) && other.last().contains(OTHER_KEY));
    run(&mut said, &["key", "rotate"], "");
    run(&mut said, &["user", "passwd", "eve", "--password-stdin"], THIRD);
    send(&mut said, "GET", "/api/status", &tokens[2], Value::Null).is_problem(401, "unauthenticated");
    tokens.push(token(&send(&mut said, "POST", "/api/login", "", login("eve", json!(THIRD)))));
    assert_eq!(send(&mut said, "POST", "/api/logout", &tokens[3], Value::Null).status, 204);
    for path in ["/metrics", "/api/status", "/api/users", "/api/sessions", "/api/audit?limit=1000", "/api/audit/verify"]
    {
        assert_eq!(send(&mut said, "GET", path, &ada, Value::Null).status, 200, "{path}");
    }
    for args in
        [&["user", "list"][..], &["key", "list"], &["audit", "list"], &["audit", "export"], &["audit", "verify"]]
    {
        run(&mut said, args, "");
    }

    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    said.hear("stdout", rest);
    said.hear("the log", std::fs::read(&log).unwrap());
    assert!(!said.0["the log"].is_empty());
    every_file(&data, &mut said);

    for password in [PASSWORD, WRONG, SHORT, FIRST, SECOND, THIRD] {
        said.keeps("a password", password);
    }
    for key in [MODEL_KEY, OTHER_KEY] {
        said.keeps("a key of a model", key);
    }
    for token in &tokens {
        for part in token.split('.').skip(1) {
            said.keeps("a part of a token", part);
        }
    }
    for key in ["token.key", "token-2.key", "fleet.key", "audit.key"] {
        said.keeps(key, std::fs::read_to_string(data.join(key)).unwrap().trim_end());
    }
    // The database is the hashes' own place; they stand nowhere else.
    said.0.retain(|place, _| !place.starts_with("daur.db"));
    let db = Connection::open(data.join("daur.db")).unwrap();
    let mut hashes = db.prepare("SELECT phc FROM users").unwrap();
    for phc in hashes.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        said.keeps("the hash of a password", phc.unwrap().rsplit_once('$').unwrap().1);
    }
}

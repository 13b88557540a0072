//! The README's tour: every command in it, run as it stands there, and what it shows.

use super::models::{Act, Does, Fake, answer};
use super::*;

/// A block of the tour and what the README says that it shows.
struct Step {
    commands: String,
    shows: Vec<String>,
}

/// The fenced blocks between `## Two commands` and the next heading of its kind.
fn steps(readme: &str) -> Vec<Step> {
    let tour = readme.split("\n## Two commands\n").nth(1).expect("a tour");
    let tour = tour.split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = tour.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "sh" => steps.push(Step { commands: block.join("\n"), shows: Vec::new() }),
            "text" => steps.last_mut().unwrap().shows.extend(block.into_iter().map(str::to_owned)),
            other => panic!("a block of {other} in the tour"),
        }
    }
    steps
}

/// Whether a line is as shown, where `…` stands for whatever comes.
fn is_as_shown(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether lines are as shown, where a line of `…` stands for any number of them.
fn are_as_shown(lines: &[&str], shown: &[String]) -> bool {
    match (lines, shown) {
        (_, [any, shown @ ..]) if any == "…" => (0..=lines.len()).any(|at| are_as_shown(&lines[at..], shown)),
        ([line, lines @ ..], [first, shown @ ..]) => is_as_shown(line, first) && are_as_shown(lines, shown),
        (lines, shown) => lines.is_empty() && shown.is_empty(),
    }
}

#[test]
fn a_line_of_the_tour_may_leave_something_open_and_nothing_else() {
    assert!(is_as_shown("a 1 b 2 c", "a … b … c") && is_as_shown("a", "a") && is_as_shown("ab", "a…b"));
    assert!(!is_as_shown("a 1 b", "a … c") && !is_as_shown("ab", "a") && !is_as_shown("xab", "a…"));
    let shown = ["a".to_owned(), "…".to_owned(), "z".to_owned()];
    assert!(are_as_shown(&["a", "b", "c", "z"], &shown) && are_as_shown(&["a", "z"], &shown));
    assert!(!are_as_shown(&["a", "z", "b"], &shown) && !are_as_shown(&["a"], &shown));
}

/// A port for a server that must be found where the README says: below those that the system gives to others.
fn port() -> u16 {
    let from = 20_000 + (std::process::id() % 10_000) as u16;
    (from..32_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Ends the server that the tour has left behind.
struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.0.join("pid")) {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

/// `cargo run` of the program is the program; `cargo test` is this test, among others.
const CARGO: &str = r#"#!/bin/bash
case "$*" in
  "run --release -p daur-host -- "*) shift 5; exec daur-host "$@";;
  "test --workspace") ;;
  *) echo "the tour has no cargo $*" >&2; exit 9;;
esac
"#;

/// A server goes to the background, in the place of the one before it, and listens where it is looked for.
const DAUR_HOST: &str = r#"#!/bin/bash
case "${1:-}" in
  serve|--data-dir)
    if old=$(cat "$TOUR/pid" 2>/dev/null); then
      kill -TERM "$old"
      while readlink "/proc/$old/exe" >/dev/null; do sleep 0.05; done
    fi
    : >"$TOUR/said"
    "$PROGRAM" "$@" --listen "127.0.0.1:$PORT" >"$TOUR/said" 2>"$TOUR/messages" </dev/null &
    echo $! >"$TOUR/pid"
    until grep -q . "$TOUR/said"; do
      readlink "/proc/$!/exe" >/dev/null || { cat "$TOUR/messages" >&2; exit 1; }
      sleep 0.05
    done
    cat "$TOUR/said";;
  token|device) exec "$PROGRAM" "$@" --url "http://127.0.0.1:$PORT";;
  *) exec "$PROGRAM" "$@";;
esac
"#;

#[test]
fn every_command_of_the_readmes_tour_shows_what_the_readme_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let steps = steps(&std::fs::read_to_string(readme).unwrap());
    // Whoever is new needs two commands, and no more.
    let first: Vec<&str> = steps.iter().take(2).map(|step| step.commands.as_str()).collect();
    assert_eq!(first, ["cargo run --release -p daur-host -- --data-dir daur-data", "cargo test --workspace"]);
    assert!(steps[2..].iter().all(|step| !step.commands.contains("cargo")), "a third one");

    if Command::new("curl").arg("--version").output().is_err() {
        // A newcomer needs a toolchain and a C compiler. The gate, which installs the rest, does without nothing.
        assert!(std::env::var_os("DAUR_GATE").is_none(), "curl is missing");
        eprintln!("no curl: the commands of the tour are not run");
        return;
    }
    let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello!"}}]}"#;
    let stream = format!("{chunk}\n\ndata: [DONE]\n\n").into_bytes();
    let (model, dir, port) = (Fake::new(Does::Answer(answer("Hello!"))), Dir::new(), port().to_string());
    let bin = dir.0.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, text) in [("cargo", CARGO), ("daur-host", DAUR_HOST)] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let _left = Left(dir.0.clone());
    let here = |text: &str| {
        text.replace("localhost:8080", &format!("localhost:{port}"))
            .replace("localhost:11434", &model.address.to_string())
    };
    let script: String = (0..)
        .zip(&steps)
        .map(|(n, step)| {
            // The model's second answer comes in pieces.
            let wait = if step.commands.contains("\"stream\":true") {
                "touch streams; until [ -e ready ]; do sleep 0.05; done\n"
            } else {
                ""
            };
            format!("echo '=== {n}'\n{wait}{}\n", here(&step.commands))
        })
        .collect();
    let running = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
            let mut command = Command::new("timeout");
            command.args(["900", "bash", "-e", "-c", &script]).current_dir(&dir.0).env("PATH", path);
            command.env("TOUR", &dir.0).env("PROGRAM", PROGRAM).env("PORT", &port).env_remove("DAUR_TOKEN");
            let done = command.stdin(Stdio::null()).output().unwrap();
            // Whatever became of it, nobody waits for it any more.
            std::fs::write(dir.0.join("streams"), "").unwrap();
            done
        });
        while !dir.0.join("streams").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        model.now(Does::Stream(vec![Act::Send(stream)]));
        std::fs::write(dir.0.join("ready"), "").unwrap();
        run.join().unwrap()
    });
    let said = String::from_utf8_lossy(&running.stdout).replace(&format!(":{port}"), ":8080");
    let messages = String::from_utf8_lossy(&running.stderr);
    assert_eq!(running.status.code(), Some(0), "{said}\n{messages}");
    for (n, step) in (0..).zip(&steps) {
        let part = said.split(&format!("=== {n}\n")).nth(1).unwrap().split("=== ").next().unwrap();
        let lines: Vec<&str> = part.lines().filter(|line| !line.is_empty()).collect();
        assert!(
            are_as_shown(&lines, &step.shows),
            "{}\nshows\n{part}\nand not\n{}",
            step.commands,
            step.shows.join("\n")
        );
    }
    // What it writes is there.
    let written = |name: &str| std::fs::read_to_string(dir.0.join(name)).unwrap();
    assert!(written("report.html").starts_with("<!doctype html>"));
    assert!(serde_json::from_str::<Value>(&written("grafana.json")).is_ok());
}

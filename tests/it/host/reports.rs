//! Reports, of a server and of a data directory.

use super::*;

use daur_std::core::time::Duration as Length;

fn quick() -> Host {
    Host::start_with(|config| {
        config.sample_every = Length::from_millis(20);
        config.system_every = Length::from_millis(200);
    })
}

/// Runs the program with what is not of a data directory.
fn report(args: &[&str], token: Option<&str>) -> Done {
    let mut command = Command::new(PROGRAM);
    command.arg("report").args(args).env_remove("DAUR_TOKEN").stdin(Stdio::null());
    if let Some(token) = token {
        command.env("DAUR_TOKEN", token);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn has_figures(report: &Value) -> bool {
    let charts = report["charts"].as_array().unwrap();
    let rps = charts.iter().find(|chart| chart["name"] == "rps");
    rps.is_some_and(|rps| rps["values"].as_array().unwrap().iter().any(|value| !value.is_null()))
}

#[test]
fn a_report_is_a_file_of_each_kind_for_who_may_read() {
    let host = quick();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    assert_eq!(host.command(&ada, "uname").status, 200);
    host.command(&ada, "ls '<script>alert(1)</script>'");
    assert!(eventually(|| host.get(&bob, "/api/status").json()["requests"]["per_second"].as_f64() > Some(0.0)));
    for (kind, content, name) in [
        ("json", "application/json", "attachment; filename=\"daur-report.json\""),
        ("csv", "text/csv", "attachment; filename=\"daur-report.csv\""),
        ("html", "text/html; charset=utf-8", "attachment; filename=\"daur-report.html\""),
        ("prom", "text/plain; version=0.0.4", ""),
    ] {
        let reply = host.get(&bob, &format!("/api/reports/{kind}"));
        assert_eq!((reply.status, reply.header("content-disposition")), (200, name), "{}", reply.text);
        assert!(reply.header("content-type").starts_with(content), "{}", reply.header("content-type"));
        match kind {
            "json" => {
                let read = reply.json();
                assert_eq!(read["sections"]["server"]["host"], host.get(&bob, "/api/status").json()["host"]);
                assert!(read["verdict"].is_string() && read["report"]["ready"] == true, "{}", read["concerns"]);
                assert!(read["report"]["audited"].as_u64() > Some(0), "{}", read["report"]);
                assert_eq!(read["report"]["errors"], read["sections"]["errors"]["total"]);
                assert!(has_figures(&read), "{}", read["charts"]);
                assert!(read["sections"]["analytics"]["events"].to_string().contains("command"));
            }
            "csv" => assert!(reply.text.contains("command") && reply.text.contains("\r\n"), "{}", reply.text),
            "html" => {
                assert!(reply.text.contains("<svg") && reply.text.contains("breakers"));
                assert!(!reply.text.contains("<script"));
            }
            _ => assert!(reply.text.contains("\ndaur_command_runs_total{program=\"uname\"} 1\n"), "{}", reply.text),
        }
        host.get("", &format!("/api/reports/{kind}")).is_problem(401, "unauthenticated");
    }
    host.get(&bob, "/api/reports/pdf").is_problem(404, "not_found");
    assert_eq!(host.ask(&ada, "POST", "/api/reports/json", None).header("allow"), "GET, HEAD, OPTIONS");
}

#[test]
fn the_program_asks_a_server_and_says_with_its_exit_code_whether_it_got_one() {
    let host = quick();
    let bob = host.token("bob");
    let url = format!("http://{}", host.address);
    let file = host.dir.0.join("report.html");
    let name = file.to_str().unwrap();
    assert_eq!(report(&["--url", &url, "--output", name], Some(&bob)).good(), "");
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // To stdout, with the token from a file.
    let token_file = host.dir.0.join("token");
    std::fs::write(&token_file, format!("{bob}\n")).unwrap();
    let args = ["--url", &url, "--format", "json", "--token-file", token_file.to_str().unwrap()];
    let read: Value = serde_json::from_str(&report(&args, None).good()).unwrap();
    assert!(read["sections"]["requests"]["total"].as_u64() > Some(0));

    // What is refused leaves the file as it was, and tells no token.
    for (url, token, code, said) in [
        (url.as_str(), Some("not.a.token"), 1, "refuses it with status 401"),
        (&url, None, 1, "DAUR_TOKEN"),
        ("http://127.0.0.1:1", Some(&bob), 1, "gave no answer"),
        ("ftp://x", Some(&bob), 1, "--url"),
    ] {
        let done = report(&["--url", url, "--output", name], token);
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains(said) && !done.stderr.contains(&bob), "{}", done.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), page);
    }
    let nowhere = report(&["--url", &url, "--output", "/not/there/report.html"], Some(&bob));
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("/not/there/report.html"), "{}", nowhere.stderr);
    assert_eq!(report(&["--format", "pdf"], None).code, Some(2));
    assert_eq!(report(&["--token-file", "x"], None).code, Some(2));
}

#[test]
fn the_program_reads_a_data_directory_beside_the_server_and_without_it() {
    let mut host = quick();
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, "uname").status, 200);
    let kept = |host: &Host| {
        let done = host.program(&["report", "--format", "json"], "");
        serde_json::from_str::<Value>(&done.good()).unwrap()
    };
    assert!(eventually(|| has_figures(&kept(&host))), "{}", kept(&host)["charts"]);
    host.stop();
    let read = kept(&host);
    assert!(has_figures(&read));
    assert!(read["sections"]["events"].to_string().contains("uname"), "{}", read["sections"]["events"]);
    let last = &read["sections"]["audit"]["last"][0];
    assert!(last["seq"].as_u64() > Some(1), "{last}");
    assert!(host.program(&["report"], "").good().contains("<svg"));
    // Nothing is left beside the files, and nothing of them is changed.
    let names = |host: &Host| {
        std::fs::read_dir(host.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert!(names(&host).iter().all(|name| !name.to_string_lossy().starts_with(".report")), "{:?}", names(&host));
    assert_eq!(kept(&host)["charts"].as_array().unwrap().len(), read["charts"].as_array().unwrap().len());
    assert!(host.program(&["report", "--format", "prom"], "").good().contains("\ndaur_verdict 0\n"));
    let none = program(&host.dir.0.join("none"), &["report"], "");
    assert!(none.code == Some(1) && none.stderr.contains("no data directory"), "{}", none.stderr);
}

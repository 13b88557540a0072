//! The dashboard: its rules, and its exports read back.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::monitoring::report::Verdict;
use daur_core::performance::memory::Level;
use daur_core::reliability::breaker::{self, Breaker};
use daur_core::shared::Shared;
use daur_core::time::{Duration, UnixTime};
use daur_std::error::Error;
use daur_std::monitoring::dashboard::{
    Chart, Charts, Config, Dashboard, Format, FullStatus, MAX_SERIES, MAX_SOURCES, Recent, init, monitoring_dashboard,
};
use daur_std::monitoring::history::{self, History};
use daur_std::shared::StdShared;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::adapters::folder::Folder;

const NOW: u64 = 1_800_000_000;
const HOSTILE: [&str; 10] = [
    "</title><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://x\",\"y\")",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "a,b\r\nc\"d",
    "\0\u{1b}[31m\u{202e}",
    "{label=\"x\"} 1\n# EOF",
    "größer 大",
];

fn dashboard() -> Dashboard {
    Dashboard::new(Config { title: "Node".into(), ..Config::default() }).unwrap()
}

fn hostile() -> Dashboard {
    let dashboard =
        Dashboard::new(Config { title: HOSTILE[0].into(), version: HOSTILE[1].into(), ..Config::default() }).unwrap();
    for (place, text) in HOSTILE.into_iter().enumerate() {
        let snapshot =
            move || json!({ text: text, "figure": place, "below": [{ "minus": -1 }, null, true, 0.5], "none": {} });
        dashboard.register(text, text, snapshot).unwrap();
        dashboard.register_judged(text, "wrong", || (), |(), report| report.level(Level::Critical)).unwrap();
    }
    dashboard
}

/// The records of a file by RFC 4180, without leniency.
fn csv(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![]];
    let mut rest = text;
    while !rest.is_empty() {
        let cell = if let Some(quoted) = rest.strip_prefix('"') {
            let mut cell = String::new();
            let mut inside = quoted;
            loop {
                let (before, after) = inside.split_once('"').expect("a closing quotation mark");
                cell.push_str(before);
                inside = after;
                match inside.strip_prefix('"') {
                    Some(after) => {
                        cell.push('"');
                        inside = after;
                    }
                    None => break,
                }
            }
            rest = inside;
            cell
        } else {
            let end = rest.find([',', '\r', '\n', '"']).unwrap_or(rest.len());
            let (cell, after) = rest.split_at(end);
            rest = after;
            cell.to_owned()
        };
        records.last_mut().unwrap().push(cell);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else {
            rest = rest.strip_prefix("\r\n").expect("CRLF at the end of a record");
            records.push(vec![]);
        }
    }
    assert_eq!(records.pop(), Some(vec![]), "the last record ends too");
    records
}

/// The tags of a page, if each that is opened is closed in order, and its texts.
fn html(page: &str) -> (Vec<String>, Vec<String>) {
    let (mut tags, mut texts, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = page.strip_prefix("<!doctype html>").expect("a doctype");
    while let Some((text, after)) = rest.split_once('<') {
        let raw = open.last().is_some_and(|tag| tag == "style");
        assert!(raw || !text.contains('>'), "{text}");
        texts.push(text.to_owned());
        let (tag, after) = after.split_once('>').expect("the end of a tag");
        rest = after;
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap().trim_end_matches('/').to_owned();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') && name != "meta" {
            open.push(name.clone());
            tags.push(tag.to_owned());
        } else {
            tags.push(tag.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    (tags, texts)
}

#[test]
fn rule_1_a_source_that_panics_or_cannot_be_shown_costs_no_other() {
    let dashboard = dashboard();
    dashboard.register("metrics", "good", || json!({ "total": 7 })).unwrap();
    dashboard.register("metrics", "bad", || -> u32 { panic!("the caller's") }).unwrap();
    dashboard.register("metrics", "odd", || BTreeMap::from([((1, 2), 3)])).unwrap();
    let status = dashboard.full_status();
    assert_eq!(status.sections["metrics"]["good"]["total"], 7);
    assert_eq!((&status.sections["metrics"]["bad"], &status.sections["metrics"]["odd"]), (&Value::Null, &Value::Null));
    let concerns: Vec<_> =
        status.concerns.iter().map(|concern| (concern.name.as_str(), concern.what.as_str())).collect();
    assert_eq!(concerns[0], ("bad", "its snapshot panicked"));
    assert!(concerns[1].0 == "odd" && concerns[1].1.starts_with("cannot be shown: "), "{concerns:?}");
    assert_eq!((status.verdict, dashboard.panics()), (Verdict::Amber, 1));
}

/// Panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

#[test]
fn rule_1_what_a_source_throws_may_panic_as_it_is_dropped() {
    let dashboard = dashboard();
    dashboard.register("metrics", "bad", || -> u32 { std::panic::panic_any(Bomb) }).unwrap();
    dashboard.register("metrics", "good", || 7).unwrap();
    dashboard.watch("bad", || std::panic::panic_any(Bomb)).unwrap();
    assert_eq!(dashboard.full_status().sections["metrics"]["good"], 7);
    dashboard.collect(UnixTime::from_secs(NOW));
    assert_eq!((dashboard.panics(), dashboard.collections()), (2, 1));
}

#[test]
fn rule_2_what_is_wrong_comes_gravest_first_and_the_report_adds_up() {
    let dashboard = dashboard();
    let upstream: &'static StdShared<Breaker> =
        Box::leak(Box::new(StdShared::new(Breaker::new(breaker::Config::DEFAULT))));
    let snapshot = || upstream.with(|breaker, _| breaker.snapshot());
    for name in ["a", "b"] {
        dashboard.register_judged("breakers", name, snapshot, |breaker, report| report.breaker(breaker)).unwrap();
    }
    assert_eq!(dashboard.full_status().verdict, Verdict::Green);
    upstream.with(Breaker::force_open);
    dashboard.register_judged("health", "all", || false, |ready, report| report.health(true, *ready)).unwrap();
    let status = dashboard.full_status();
    let concerns: Vec<_> =
        status.concerns.iter().map(|wrong| (wrong.verdict, wrong.name.as_str(), wrong.what.as_str())).collect();
    let forced = "a breaker is forced open";
    assert_eq!(
        concerns,
        [(Verdict::Red, "all", "not ready"), (Verdict::Amber, "a", forced), (Verdict::Amber, "b", forced)]
    );
    assert_eq!((status.verdict, status.report.breakers_forced, status.report.ready), (Verdict::Red, 2, Some(false)));
}

#[test]
fn rule_3_a_name_is_replaced_and_the_number_of_names_has_a_limit() {
    let dashboard = dashboard();
    for number in 0..MAX_SOURCES {
        dashboard.register("section", &number.to_string(), move || number).unwrap();
    }
    assert!(matches!(dashboard.register("section", "more", || 1), Err(Error::Config { field: "sources", .. })));
    dashboard.register("section", "0", || "anew").unwrap();
    assert_eq!(dashboard.full_status().sections["section"]["0"], "anew");
    assert!(dashboard.unregister("section", "1") && !dashboard.unregister("section", "1"));
    dashboard.register("section", "more", || 1).unwrap();
    for number in 0..MAX_SERIES {
        dashboard.watch(&number.to_string(), || None).unwrap();
    }
    assert!(matches!(dashboard.watch("more", || None), Err(Error::Config { field: "series", .. })));
    dashboard.watch("0", || Some(1.0)).unwrap();
}

#[test]
fn rule_4_json_is_read_back_as_it_was_whatever_the_texts() {
    let dashboard = hostile();
    let status: Value = serde_json::from_str(&dashboard.render(Format::Json)).unwrap();
    assert_eq!(
        (&status["title"], &status["version"], &status["verdict"]),
        (&json!(HOSTILE[0]), &json!(HOSTILE[1]), &json!("red"))
    );
    for text in HOSTILE {
        assert_eq!(status["sections"][text][text][text], text);
    }
    assert_eq!(status["concerns"].as_array().unwrap().len(), HOSTILE.len());
    assert_eq!(status["report"]["level"], "Critical");
}

#[test]
fn rule_4_csv_is_read_back_and_holds_no_formula() {
    let records = csv(&hostile().render(Format::Csv));
    assert_eq!(records[0], ["section", "name", "field", "value"]);
    for record in &records {
        assert_eq!(record.len(), 4, "{record:?}");
        for (place, cell) in record.iter().enumerate() {
            let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
            assert!(!formula || (place == 3 && cell.parse::<f64>().is_ok()), "{cell:?}");
        }
    }
    for text in HOSTILE {
        let guarded = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
        let found = records.iter().find(|record| record[0] == guarded && record[1] == guarded && record[2] == guarded);
        assert_eq!(found.unwrap()[3], guarded);
        let field =
            |field: &str| records.iter().find(|record| record[0] == guarded && record[2] == field).unwrap()[3].clone();
        assert_eq!(
            (field("below.0.minus"), field("below.1"), field("below.2")),
            ("-1".into(), String::new(), "true".into())
        );
        assert_eq!((field("below.3"), field("none")), ("0.5".into(), "{}".into()));
    }
}

#[test]
fn rule_4_prometheus_text_has_every_figure_and_nothing_else() {
    let page = hostile().render(Format::Prometheus);
    let mut figures = 0;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
        let name = series.split('{').next().unwrap();
        assert!(
            name.starts_with("daur_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{line:?}"
        );
        if let Some(labels) = series.strip_prefix("daur_status{") {
            figures += 1;
            // Unescaped, no quotation mark and no line is left open.
            let plain = labels.strip_suffix('}').unwrap().replace("\\\\", "").replace("\\\"", "");
            assert_eq!(plain.matches('"').count(), 6, "{line:?}");
        }
    }
    // The figure, -1, `true`, 0.5.
    assert_eq!(figures, 4 * HOSTILE.len());
    assert!(page.contains("\ndaur_verdict 2\n") && !page.contains("dropped"), "{page}");
}

fn charts() -> Vec<Chart> {
    let t = |n: u64| (0..n).map(|second| (NOW + second) * 1_000).collect::<Vec<_>>();
    vec![
        Chart { name: HOSTILE[1].into(), t: t(6), values: vec![Some(1.0), Some(5.0), None, Some(2.5), None, None] },
        Chart { name: "flat".into(), t: t(2), values: vec![Some(3.0), Some(3.0)] },
        Chart { name: "one".into(), t: t(1), values: vec![Some(f64::MAX)] },
        Chart { name: "wide".into(), t: t(2), values: vec![Some(-f64::MAX), Some(f64::MAX)] },
        Chart { name: "odd".into(), t: t(3), values: vec![Some(f64::NAN), Some(f64::INFINITY), Some(1.0)] },
        Chart { name: "nothing".into(), t: t(3), values: vec![None; 3] },
        Chart { name: "empty".into(), ..Chart::default() },
    ]
}

#[test]
fn rule_4_a_page_is_well_formed_needs_nothing_and_runs_nothing() {
    let page = hostile().full_status().render(Format::Html, &charts());
    let (tags, texts) = html(&page);
    for tag in &tags {
        let name = tag.split_whitespace().next().unwrap();
        assert!(!["script", "img", "link", "iframe", "object", "a", "form"].contains(&name), "{tag}");
        // Beside what stands in quotation marks.
        let names: String = tag.split('"').step_by(2).collect();
        assert!(!names.contains(" on") && !names.contains("src=") && !names.contains("href="), "{tag}");
    }
    // What scrolls is reached by the keyboard, and says what it is.
    for tag in tags.iter().filter(|tag| tag.contains("class=\"machine\"") || tag.contains("class=\"scroll\"")) {
        assert!(tag.contains(" role=\"group\" aria-label=\"") && tag.ends_with(" tabindex=\"0\""), "{tag}");
    }
    assert!(tags.iter().any(|tag| tag.contains("machine")) && tags.iter().any(|tag| tag.contains("scroll")));
    assert!(!page.contains("url(") && !page.contains("@import"));
    assert!(!page.contains(['\0', '\u{1b}', '\u{202e}']), "what may not stand in a page is shown as a question");
    // The texts are there, as texts.
    let all = texts.join("");
    assert!(all.contains("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;") && all.contains("größer 大"));
    assert!(
        page.contains("default-src 'none'")
            && page.contains("prefers-color-scheme: dark")
            && page.contains("lang=\"en\"")
    );
    assert!(all.contains("✗ Somebody must look"), "the verdict is in words, not in colour alone");
}

#[test]
fn a_chart_has_a_line_for_each_stretch_and_a_table_under_it() {
    let page = dashboard().full_status().render(Format::Html, &charts());
    let (tags, _) = html(&page);
    let count = |name: &str| tags.iter().filter(|tag| tag.split_whitespace().next() == Some(name)).count();
    // Of the first: a line of two points, and a point alone. No values, no picture.
    assert_eq!((count("svg"), count("polyline"), count("circle"), count("details")), (5, 3, 3, 5));
    assert_eq!(page.matches("No values yet.").count(), 2);
    for tag in tags.iter().filter(|tag| tag.starts_with("polyline") || tag.starts_with("circle")) {
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
    }
    let line = tags.iter().find(|tag| tag.starts_with("polyline")).unwrap();
    // From the lowest left to the highest: 1.0 at the bottom, 5.0 at the top.
    assert_eq!(line, "polyline points=\"64.0,132.0 177.6,8.0\"/");
    assert!(tags.iter().filter(|tag| tag.starts_with("svg")).all(|tag| tag.contains("role=\"img\" aria-label=\"")));
}

#[test]
fn rule_5_an_export_is_whole_or_not_there() {
    let folder = Folder::new("dashboard", "export");
    let dashboard = dashboard();
    for format in [Format::Json, Format::Csv, Format::Prometheus, Format::Html] {
        let path = folder.path.join(format!("report.{}", format.extension()));
        fs::write(&path, "what was there").unwrap();
        dashboard.export(format, &path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().len() > 30);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o077, 0);
    }
    // A folder in its place: what is there stays, and nothing is left beside it.
    let taken = folder.path.join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    let error = dashboard.export(Format::Json, &taken).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && taken.join("inside").is_dir());
    assert!(matches!(dashboard.export(Format::Json, folder.path.join("nowhere/x.json")), Err(Error::Io { .. })));
    assert!(dashboard.export(Format::Json, "/").is_err());
    let left: Vec<_> = fs::read_dir(&folder.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}

#[test]
fn rule_6_it_collects_from_start_to_stop_and_no_panic_ends_it() {
    let dashboard = Dashboard::new(Config { interval: Duration::from_millis(100), ..Config::default() }).unwrap();
    let (reads, told) = (Arc::new(AtomicU64::new(0)), std::sync::mpsc::channel());
    let counted = Arc::clone(&reads);
    dashboard.watch("bad", || panic!("the caller's")).unwrap();
    dashboard
        .watch("reads", move || {
            let read = counted.fetch_add(1, Ordering::SeqCst);
            let _ = told.0.send(());
            Some(read as f64)
        })
        .unwrap();
    assert!(dashboard.start().unwrap() && !dashboard.start().unwrap() && dashboard.is_running());
    for _ in 0..3 {
        told.1.recv().unwrap();
    }
    assert!(dashboard.stop() && !dashboard.stop() && !dashboard.is_running());
    let after = reads.load(Ordering::SeqCst);
    // It may have read once more meanwhile, and does not any more.
    assert_eq!(3 + told.1.try_iter().count() as u64, after);
    assert!(after >= 3 && dashboard.collections() >= 3 && dashboard.panics() >= 3);
    // It can go on after it.
    assert!(dashboard.start().unwrap());
    told.1.recv().unwrap();
    drop(dashboard);
    assert_eq!(after + 1 + told.1.into_iter().count() as u64, reads.load(Ordering::SeqCst));
}

#[test]
fn what_is_collected_is_in_the_charts_of_a_report() {
    let folder = Folder::new("dashboard", "history");
    let history = Arc::new(History::open(folder.path.join("history.db"), history::Config::DEFAULT).unwrap());
    for charts in [Arc::new(Recent::default()) as Arc<dyn Charts>, Arc::clone(&history) as Arc<dyn Charts>] {
        let dashboard = Dashboard::with_charts(Config::default(), Arc::clone(&charts)).unwrap();
        let next = AtomicU64::new(0);
        dashboard.watch("cpu", move || Some(next.fetch_add(1, Ordering::SeqCst) as f64).filter(|n| *n != 2.0)).unwrap();
        dashboard.watch("odd", || Some(f64::NAN)).unwrap();
        for second in 0..5 {
            dashboard.collect(UnixTime::from_secs(NOW + second));
        }
        let names = ["cpu".to_owned(), "odd".to_owned()];
        let shown = charts.charts(&names, UnixTime::from_secs(NOW), UnixTime::from_secs(NOW + 5));
        assert_eq!(
            (shown[0].values.clone(), shown[0].t.len()),
            (vec![Some(0.0), Some(1.0), None, Some(3.0), Some(4.0)], 5)
        );
        assert!(shown[1].values.iter().all(Option::is_none));
    }
    // A history that keeps fewer series than are watched has charts of those it keeps.
    let few = history::Config { max_series: 1, ..history::Config::DEFAULT };
    let few = History::open(folder.path.join("few.db"), few).unwrap();
    Charts::append(&few, UnixTime::from_secs(NOW), &[("a".to_owned(), 1.0), ("b".to_owned(), 2.0)]);
    let names = ["b".to_owned(), "a".to_owned()];
    let shown = few.charts(&names, UnixTime::from_secs(NOW), UnixTime::from_secs(NOW + 1));
    assert_eq!(shown.iter().map(|chart| chart.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((&shown[0].values, &shown[1].values), (&vec![None], &vec![Some(1.0)]));
    // What is collected now is on the page.
    let dashboard = Dashboard::with_charts(Config::default(), history).unwrap();
    dashboard.watch("rps", || Some(12.5)).unwrap();
    dashboard.start().unwrap();
    while dashboard.collections() == 0 {
        std::thread::yield_now();
    }
    dashboard.stop();
    assert!(dashboard.render(Format::Html).contains("12.5 now"));
}

#[test]
fn recent_keeps_so_many_collections_of_so_many_series() {
    let recent = Recent::default();
    for second in 0..1_000 {
        let values: Vec<_> = (0..100).map(|series| (format!("{series:03}"), second as f64)).collect();
        recent.append(UnixTime::from_secs(NOW + second), &values);
    }
    let names: Vec<String> = (0..100).map(|series| format!("{series:03}")).collect();
    let shown = recent.charts(&names, UnixTime::from_secs(0), UnixTime::from_secs(NOW * 2));
    let full = shown.iter().filter(|chart| chart.t.len() == 720).count();
    assert_eq!((full, shown.iter().filter(|chart| chart.t.is_empty()).count()), (MAX_SERIES, 100 - MAX_SERIES));
    assert_eq!((shown[0].values[0], shown[0].values[719]), (Some(280.0), Some(999.0)));
}

#[test]
fn a_source_may_use_the_dashboard_that_asks_it() {
    let dashboard = Arc::new(dashboard());
    let weak = Arc::downgrade(&dashboard);
    dashboard
        .register("self", "self", move || {
            let dashboard = weak.upgrade().unwrap();
            dashboard.register("self", "other", || 1).unwrap();
            dashboard.collections()
        })
        .unwrap();
    assert_eq!(dashboard.full_status().sections["self"].len(), 1);
    assert_eq!(dashboard.full_status().sections["self"].len(), 2);
}

#[test]
fn there_is_one_for_all_and_a_config_that_cannot_be_is_named() {
    assert_eq!(monitoring_dashboard().full_status().title, "Daur");
    assert!(init(dashboard()).is_err());
    let field = |config: Config| match Dashboard::new(config) {
        Err(Error::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(Config { interval: Duration::ZERO, ..Config::default() }), "interval");
    assert_eq!(field(Config { charts: Duration::from_secs(1), ..Config::default() }), "charts");
}

proptest! {
    /// Whatever the names and texts, every format can be read, and CSV and JSON give back what went in.
    #[test]
    fn any_texts_can_be_exported_and_read(texts in prop::collection::vec(any::<String>(), 1..6), eighths in any::<i32>()) {
        // Exact in any writing.
        let figure = f64::from(eighths) / 8.0;
        let mut status = FullStatus { title: texts[0].clone(), ..FullStatus::default() };
        for text in &texts {
            let machines = status.sections.entry(text.clone()).or_default();
            machines.insert("m".into(), json!({ "text": text, "figure": figure }));
        }
        let read: Value = serde_json::from_str(&status.render(Format::Json, &[])).unwrap();
        prop_assert_eq!(&read, &serde_json::to_value(&status).unwrap());
        let records = csv(&status.render(Format::Csv, &[]));
        for text in &texts {
            let found = records.iter().any(|record| record[2] == "text" && record[3].trim_start_matches('\'') == text.trim_start_matches('\''));
            prop_assert!(found, "{:?}", text);
        }
        html(&status.render(Format::Html, &[Chart { name: texts[0].clone(), t: vec![1, 2], values: vec![Some(figure), Some(1.0)] }]));
        for line in status.render(Format::Prometheus, &[]).lines().filter(|line| !line.starts_with('#')) {
            prop_assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{}", line);
        }
    }
}

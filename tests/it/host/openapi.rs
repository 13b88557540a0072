use super::*;

use std::collections::BTreeSet;

use daur_host::monitor::ROUTES;
use daur_host::problem::Code;

/// The description as the server gives it.
fn document(host: &Host) -> Value {
    let reply = host.call("GET", "/openapi.json", &[], None);
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    reply.json()
}

/// Each operation: method, path and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(|(method, said)| (method.to_uppercase(), path.clone(), said)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn follow<'a>(document: &'a Value, said: &'a Value) -> &'a Value {
    let Some(name) = said["$ref"].as_str() else { return said };
    document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is nowhere"))
}

/// Calls `see` with everything in it.
fn walk(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Array(parts) => parts.iter().for_each(|part| walk(part, see)),
        Value::Object(parts) => parts.values().for_each(|part| walk(part, see)),
        _ => {}
    }
}

#[test]
fn what_is_described_is_what_is_routed_and_the_other_way_round() {
    let host = Host::start();
    let described: BTreeSet<String> =
        operations(&document(&host)).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let known: BTreeSet<String> =
        ROUTES.iter().map(|route| (*route).to_owned()).chain(["GET /assets/{part}".to_owned()]).collect();
    assert_eq!(described, known);
    // The router cannot be asked what it has; its source can.
    let source = include_str!("../../../host-example/src/routes.rs");
    let mut routed = BTreeSet::new();
    for route in source.split(".route(\"").skip(1) {
        let (path, handlers) = route.split_once("\", ").unwrap();
        let handlers = handlers.lines().next().unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(").{method}(")) {
                routed.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert_eq!(routed, known);
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let host = Host::start();
    let document = document(&host);
    assert_eq!(document["openapi"], "3.1.0");
    let mut named = BTreeSet::new();
    walk(&document, &mut |value| {
        if let Some(name) = value["$ref"].as_str() {
            follow(&document, value);
            named.insert(name.to_owned());
        }
    });
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            // A method that is not there has no operation to stand at.
            let used = named.contains(&format!("#/components/{kind}/{name}"));
            assert!(used || name == "MethodNotAllowed", "{kind}/{name} is not used");
        }
    }
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations.iter().map(|(.., said)| said["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for (method, path, said) in &operations {
        assert!(said["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{method} {path}");
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> =
            parameters.iter().filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
        let wanted: BTreeSet<&str> = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
        assert_eq!(in_path, wanted, "{method} {path}");
    }
}

#[test]
fn every_code_stands_in_it_with_its_status() {
    let host = Host::start();
    let document = document(&host);
    let told: BTreeSet<(u64, String)> = document["components"]["responses"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|answer| {
            let schema = &answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
            let status = schema["status"]["const"].as_u64().unwrap();
            let codes = schema["code"]["enum"].as_array().unwrap().clone();
            codes.into_iter().map(move |code| (status, code.as_str().unwrap().to_owned()))
        })
        .collect();
    let ours: BTreeSet<(u64, String)> =
        Code::ALL.iter().map(|code| (code.status().as_u16().into(), code.as_str().to_owned())).collect();
    assert_eq!(told, ours);
    for (method, path, said) in operations(&document) {
        for (status, answer) in said["responses"].as_object().unwrap() {
            let answer = follow(&document, answer);
            let schema = &answer["content"]["application/problem+json"]["schema"];
            if let Some(own) = schema["allOf"][1]["properties"]["status"]["const"].as_u64() {
                assert_eq!(own.to_string(), *status, "{method} {path}");
            }
        }
    }
}

#[test]
fn every_operation_answers_nobody_and_its_user_as_described() {
    let host = Host::start();
    let document = document(&host);
    for with_token in [false, true] {
        for (method, path, said) in operations(&document) {
            // A stream has no end to wait for, and these two end the session that asks.
            if ["/api/events", "/api/logout", "/api/token/refresh"].contains(&&*path) {
                continue;
            }
            let mut real = path.clone();
            for one in said["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path") {
                let example = one["example"].as_str().map_or_else(|| one["example"].to_string(), str::to_owned);
                real = real.replace(&format!("{{{}}}", one["name"].as_str().unwrap()), &example);
            }
            let body = said["requestBody"]["content"]["application/json"]["example"].clone();
            let body = (!body.is_null()).then(|| body.to_string());
            let bearer = format!("Bearer {}", if with_token { host.token("ada") } else { String::new() });
            let headers: &[(&str, &str)] = if with_token { &[("Authorization", &bearer)] } else { &[] };
            let reply = host.call(&method, &real, headers, body.as_deref());
            let answers = &said["responses"];
            let answer = follow(&document, &answers[reply.status.to_string()]);
            assert!(!answer.is_null(), "{method} {real} gives {}: {}", reply.status, reply.text);
            let kind = reply.header("content-type").split(';').next().unwrap();
            let kinds = answer["content"].as_object().cloned().unwrap_or_default();
            assert!(
                if kind.is_empty() { kinds.is_empty() } else { kinds.contains_key(kind) },
                "{method} {real}: {kind}"
            );
            let public = said["security"].as_array().is_some_and(|ways| ways.is_empty() || ways[0] == json!({}));
            if !with_token && !public {
                reply.is_problem(401, "unauthenticated");
            }
            for (name, header) in answer["headers"].as_object().into_iter().flatten() {
                if header["required"] == true {
                    assert!(!reply.header(name).is_empty(), "{method} {real} has no {name}");
                }
            }
        }
    }
}

//! The audit, for those who administer.

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use daur_core::security::audit::Entry;
use daur_core::security::permission::Permissions;
use daur_core::time::UnixTime;
use daur_std::security::keys;
use serde_json::{Value, json};

use super::query::{bad, number, pairs, unknown};
use super::{Answer, Id, Shared, as_json, named, unknown_device};
use crate::audit::{Wanted, head_text, kind_by_name};
use crate::problem::{Code, Problem};

/// Records in one answer.
const MOST: u32 = 1_000;

/// `limit`, `kind`, `actor`, `since` and `until`, the last two in milliseconds since 1970.
fn wanted(query: &str) -> Result<(u32, Wanted), Problem> {
    let (mut limit, mut wanted) = (100, Wanted::default());
    for pair in pairs(query) {
        let (name, value) = pair?;
        let bad = |what: &str| bad(name, what);
        let number = || number(name, &value);
        match name {
            "limit" => limit = number()?.min(MOST.into()) as u32,
            "kind" => wanted.kind = Some(kind_by_name(&value).ok_or_else(|| bad("a kind of event"))?),
            "actor" => wanted.actor = Some(value),
            "since" => wanted.since = Some(UnixTime::from_millis(number()?)),
            "until" => wanted.until = Some(UnixTime::from_millis(number()?)),
            _ => return Err(unknown("`limit`, `kind`, `actor`, `since` and `until`")),
        }
    }
    Ok((limit, wanted))
}

fn shown(entry: &Entry) -> Value {
    json!({
        "seq": entry.seq,
        "at_ms": entry.unix.map(UnixTime::as_millis),
        "boot": entry.boot.to_string(),
        "kind": entry.event.kind.name(),
        "outcome": entry.event.outcome,
        "actor": entry.event.actor.as_str(),
        "source": entry.event.source.as_str(),
        "detail": entry.event.detail.as_str(),
    })
}

pub(super) async fn list(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::ADMIN)?;
    let (limit, wanted) = wanted(request.uri().query().unwrap_or(""))?;
    let events: Vec<Value> = app.audit.recent(limit, wanted).await?.iter().map(shown).collect();
    as_json(&json!({ "total": app.audit.snapshot().records, "events": events }))
}

/// What a device has done in its present life, as far as this server still holds it in memory; the files have it all.
pub(super) async fn of_device(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::ADMIN)?;
    let id = named(id)?;
    let device = app.registry.device(&id).ok_or_else(unknown_device)?;
    let events: Vec<Value> = app.registry.audit(&id).iter().map(shown).collect();
    as_json(&json!({ "chain": device.audit, "events": events }))
}

pub(super) async fn verify(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::ADMIN)?;
    let key = keys::load(&app.dir.audit_key()).map_err(|_| {
        Problem::new(
            Code::NotConfigured,
            "The chain's first key is not in the data directory: verify where it is kept.",
        )
    })?;
    match app.audit.verify(key, &app.pool).await? {
        Ok(head) => as_json(&json!({ "intact": true, "records": head.seq, "head": head_text(&head) })),
        Err(error) => as_json(&json!({ "intact": false, "error": error })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daur_core::security::audit::Kind;

    #[test]
    fn a_query_is_read_strictly() {
        let (limit, asked) = wanted("limit=5000&kind=login&actor=J%C3%BCrgen+K%2e&since=1&until=2").unwrap();
        assert_eq!((limit, asked.kind, asked.actor.as_deref()), (MOST, Some(Kind::Login), Some("Jürgen K.")));
        assert_eq!((asked.since, asked.until), (Some(UnixTime::from_millis(1)), Some(UnixTime::from_millis(2))));
        assert_eq!(wanted("").unwrap().0, 100);
        for bad in ["limit=x", "limit=-1", "kind=no", "kind", "actor=%", "actor=%zz", "actor=%ff", "since=now", "a=b"] {
            assert_eq!(wanted(bad).unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }
}

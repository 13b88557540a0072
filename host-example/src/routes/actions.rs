//! What operators do by hand: all of it is for those who administer, and audited.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Request;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::text::Text;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Id, Shared, as_json, to_its_end};
use crate::app::{App, source};
use crate::body;
use crate::breakers::{self, Force};
use crate::jobs::{Act, Job};
use crate::logs::{LEVELS, level};
use crate::problem::{Code, Problem};

/// Lets those pass who may act: their name, and where they are.
fn admit(app: &App, request: &Request<Body>) -> Result<(String, String), Problem> {
    let caller = app.admit(request, Permissions::ADMIN)?.name().to_owned();
    Ok((caller, source(request)))
}

/// Does `work` to its end, if it can be audited. It says what came of it: for the audit, and for the client.
async fn act(
    app: Arc<App>,
    caller: String,
    from: String,
    kind: &'static str,
    what: String,
    work: impl Future<Output = Result<(String, Value), Problem>> + Send + 'static,
) -> Answer {
    to_its_end(async move {
        app.audit.ready().await?;
        let done = work.await;
        let (outcome, how) = match &done {
            Ok((how, _)) => (Outcome::Success, how.as_str()),
            Err(problem) => (Outcome::Failure, problem.code().as_str()),
        };
        app.usage.track("action", Some(&caller), kind, if done.is_ok() { "success" } else { how });
        let event = Event::new(Kind::ConfigChange, outcome, &caller, &from, &format!("{what}: {how}"));
        app.audit.record(event).await?;
        as_json(&done?.1)
    })
    .await?
}

/// As much of a name in a path as the audit shows.
fn shown(name: &Id) -> Text<64> {
    name.as_ref().map_or(Text::cut(""), |name| Text::cut(name))
}

async fn force(app: Arc<App>, name: Id, request: Request<Body>, how: Force) -> Answer {
    let (caller, from) = admit(&app, &request)?;
    let what = format!("breaker {}, {}", shown(&name), how.as_str());
    let of = Arc::clone(&app);
    let work = async move {
        let name = name.map(|Path(name)| name).unwrap_or_default();
        let state = breakers::force(&of, &name, how);
        let state = state.ok_or_else(|| Problem::new(Code::NotFound, "There is no such breaker."))?;
        Ok((state.to_owned(), json!({ "name": name, "state": state })))
    };
    act(app, caller, from, how.as_str(), what, work).await
}

pub(super) async fn reset(State(app): Shared, name: Id, request: Request<Body>) -> Answer {
    force(app, name, request, Force::Reset).await
}

pub(super) async fn force_open(State(app): Shared, name: Id, request: Request<Body>) -> Answer {
    force(app, name, request, Force::Open).await
}

pub(super) async fn force_close(State(app): Shared, name: Id, request: Request<Body>) -> Answer {
    force(app, name, request, Force::Closed).await
}

pub(super) async fn clear_cache(State(app): Shared, request: Request<Body>) -> Answer {
    let (caller, from) = admit(&app, &request)?;
    let of = Arc::clone(&app);
    let work = async move {
        let cleared = of.results.clear().await?;
        Ok((format!("{cleared} results"), json!({ "cleared": cleared })))
    };
    act(app, caller, from, "cache-clear", "cache cleared".to_owned(), work).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    level: String,
}

pub(super) async fn log_level(State(app): Shared, request: Request<Body>) -> Answer {
    let (caller, from) = admit(&app, &request)?;
    let Wanted { level: name } = body::json(request, app.config.policy.max_body).await?;
    let of = Arc::clone(&app);
    let what = format!("log level {}", Text::<16>::cut(&name));
    let work = async move {
        let wanted = level(&name);
        let wanted = wanted.ok_or_else(|| Problem::new(Code::InvalidInput, format!("A level is {LEVELS}.")))?;
        let logger = of.logs.0.as_ref();
        let logger = logger.ok_or_else(|| Problem::new(Code::NotConfigured, "This server keeps no log of its own."))?;
        let before = logger.level();
        logger.set_level(wanted);
        Ok((format!("was {before}"), json!({ "level": wanted })))
    };
    act(app, caller, from, "log-level", what, work).await
}

async fn act_on_job(app: Arc<App>, id: Id, request: Request<Body>, how: Act) -> Answer {
    let (caller, from) = admit(&app, &request)?;
    let what = format!("job {} {}", shown(&id), how.as_str());
    let of = Arc::clone(&app);
    let work = async move {
        let job = id.ok().and_then(|Path(id)| Job::by_id(&id));
        let job = job.ok_or_else(|| Problem::new(Code::NotFound, "There is no such job."))?;
        let state = of.jobs.act(job, how);
        let state = state.map_err(|error| Problem::new(Code::Conflict, format!("Nothing is done: {error}.")))?;
        Ok((state.to_owned(), json!({ "id": job.id(), "state": state })))
    };
    let kind = match how {
        Act::Run => "job-run",
        Act::Pause => "job-pause",
        Act::Resume => "job-resume",
        Act::Cancel => "job-cancel",
    };
    act(app, caller, from, kind, what, work).await
}

pub(super) async fn run_job(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    act_on_job(app, id, request, Act::Run).await
}

pub(super) async fn pause_job(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    act_on_job(app, id, request, Act::Pause).await
}

pub(super) async fn resume_job(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    act_on_job(app, id, request, Act::Resume).await
}

pub(super) async fn cancel_job(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    act_on_job(app, id, request, Act::Cancel).await
}

//! Users, for those who administer.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Shared, as_json, to_its_end};
use crate::app::source;
use crate::body;
use crate::problem::{Code, Problem};

type Name = Result<Path<String>, PathRejection>;

fn named(name: Name) -> Result<String, Problem> {
    name.map(|Path(name)| name).map_err(|_| Problem::new(Code::NotFound, "No user has that name."))
}

/// A list of names; one that is none is refused, not ignored.
fn permissions(names: &[String]) -> Result<Permissions, Problem> {
    names.iter().try_fold(Permissions::NONE, |all, name| {
        let one = Permissions::by_name(name)
            .ok_or_else(|| Problem::new(Code::InvalidInput, "A permission is one of `read`, `write`, `admin`."))?;
        Ok(all.with(one))
    })
}

pub(super) async fn list(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::ADMIN)?;
    let gate = app.gate.clone();
    as_json(&json!({ "users": app.pool.run(move || gate.people()).await?? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    password: String,
    permissions: Vec<String>,
}

pub(super) async fn add(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::ADMIN)?;
    let from = source(&request);
    let New { name, password, permissions: names } = body::secret_json(request, app.config.policy.max_body).await?;
    let granted = permissions(&names)?;
    app.audit.ready().await?;
    to_its_end(async move {
        let added = app.gate.add_user(name.clone(), password, granted).await;
        let event = |outcome, what: &str| {
            Event::new(Kind::UserChange, outcome, caller.name(), &from, &format!("{name}: {what}"))
        };
        match added {
            Ok(person) => {
                app.audit.record(event(Outcome::Success, &format!("added with {granted}"))).await?;
                Ok((StatusCode::CREATED, as_json(&person)?).into_response())
            }
            Err(problem) => {
                app.audit.record(event(Outcome::Failure, &format!("not added, {}", problem.code().as_str()))).await?;
                Err(problem)
            }
        }
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    permissions: Option<Vec<String>>,
    disabled: Option<bool>,
    password: Option<String>,
}

impl Wanted {
    /// What is asked for, without what is secret.
    fn told(&self, granted: Option<Permissions>) -> String {
        let mut told = Vec::new();
        told.extend(granted.map(|granted| format!("permissions {granted}")));
        told.extend(self.disabled.map(|disabled| if disabled { "disabled" } else { "enabled" }.to_owned()));
        told.extend(self.password.as_ref().map(|_| "another password".to_owned()));
        told.join(", ")
    }
}

pub(super) async fn change(State(app): Shared, name: Name, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::ADMIN)?;
    let (name, from) = (named(name)?, source(&request));
    let wanted: Wanted = body::secret_json(request, app.config.policy.max_body).await?;
    let granted = wanted.permissions.as_deref().map(permissions).transpose()?;
    app.audit.ready().await?;
    to_its_end(async move {
        let told = wanted.told(granted);
        let changed = app.gate.change_user(&name, granted, wanted.disabled, wanted.password).await;
        let event = |outcome, what: &str| {
            Event::new(Kind::UserChange, outcome, caller.name(), &from, &format!("{name}: {what}"))
        };
        match changed {
            Ok((person, ended)) => {
                if let Some(ended) = ended {
                    app.audit.record(event(Outcome::Success, &format!("{told}; {ended} sessions ended"))).await?;
                }
                as_json(&person)
            }
            Err(problem) => {
                let what = format!("{told}: refused, {}", problem.code().as_str());
                app.audit.record(event(Outcome::Failure, &what)).await?;
                Err(problem)
            }
        }
    })
    .await?
}

pub(super) async fn remove(State(app): Shared, name: Name, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::ADMIN)?;
    let (name, from) = (named(name)?, source(&request));
    app.audit.ready().await?;
    to_its_end(async move {
        let (gate, of) = (app.gate.clone(), name.clone());
        let removed = app.pool.run(move || gate.remove_user(&of)).await.flatten();
        let (outcome, what) = match &removed {
            Ok(()) => (Outcome::Success, "removed".to_owned()),
            Err(problem) => (Outcome::Failure, format!("not removed, {}", problem.code().as_str())),
        };
        app.audit
            .record(Event::new(Kind::UserChange, outcome, caller.name(), &from, &format!("{name}: {what}")))
            .await?;
        removed.map(|()| StatusCode::NO_CONTENT.into_response())
    })
    .await?
}

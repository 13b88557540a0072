//! Logins, tokens and sessions.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::time::Clock;
use daur_std::clock::StdClock;
use daur_std::security::sessions::Session;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Shared, as_json, to_its_end};
use crate::app::{App, read_only, source};
use crate::body;
use crate::gate::{COOKIE, Issued, Refused, check_origin};
use crate::http::Peer;
use crate::problem::{Code, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

pub(super) async fn login(State(app): Shared, request: Request<Body>) -> Answer {
    let from = source(&request);
    check_origin(request.method(), request.headers(), false)?;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let Login { user, password } = body::secret_json(request, app.config.policy.max_body).await?;
    // A body that cannot be read is no attempt to log in.
    if let Some(address) = peer
        && let Err(problem) = app.gate.admit_address(address)
    {
        app.note_refusal("", &from, "POST /api/login: rate limit");
        return Err(problem);
    }
    app.audit.ready().await?;
    // A client that hangs up before it hears that it was wrong has tried all the same.
    to_its_end(async move {
        let began = StdClock.now();
        let result = app.gate.login(&user, password, &from).await;
        let how = match &result {
            Ok(_) => "success",
            Err(refused) => refused.problem.code().as_str(),
        };
        // Who was refused is nobody, whatever name they gave.
        app.usage.track("login", result.is_ok().then_some(user.as_str()), "login", how);
        app.events.record("login", "login", how, StdClock.now().since(began));
        let issued = match result {
            Ok(issued) => issued,
            Err(refused) => return Err(told(&app, &user, &from, refused).await?),
        };
        let detail = format!("session {}, permissions {}", issued.session, issued.permissions);
        app.audit.record(Event::new(Kind::Login, Outcome::Success, &user, &from, &detail)).await?;
        if let Some(ended) = issued.ended {
            let detail = format!("session {ended} ended for session {}", issued.session);
            app.audit.record(Event::new(Kind::SessionChange, Outcome::Success, &user, &from, &detail)).await?;
        }
        with_token(&issued)
    })
    .await?
}

/// Audits a login that was refused; gives what the client is told.
async fn told(app: &App, user: &str, from: &str, refused: Refused) -> Result<Problem, Problem> {
    let outcome = if refused.problem.code() == Code::LockedOut { Outcome::Denied } else { Outcome::Failure };
    app.audit.record(Event::new(Kind::Login, outcome, user, from, refused.reason)).await?;
    if refused.locked {
        app.audit.record(Event::new(Kind::Lockout, Outcome::Denied, user, from, "too many wrong passwords")).await?;
    }
    Ok(refused.problem)
}

/// Another token for the session of this one, which ends with it. Nothing of it speaks for whoever asks but that token:
/// the lockout does not hear of it.
pub(super) async fn refresh(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::NONE)?;
    let from = source(&request);
    app.audit.ready().await?;
    to_its_end(async move {
        let (gate, asking) = (app.gate.clone(), caller.clone());
        let issued = app.pool.run(move || gate.refresh(&asking)).await??;
        let detail = format!("session {}, refreshed", issued.session);
        app.audit.record(Event::new(Kind::TokenIssued, Outcome::Success, caller.name(), &from, &detail)).await?;
        with_token(&issued)
    })
    .await?
}

pub(super) async fn logout(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::NONE)?;
    let from = source(&request);
    to_its_end(async move {
        let (gate, leaving) = (app.gate.clone(), caller.clone());
        app.pool.run(move || gate.logout(&leaving)).await??;
        let detail = format!("session {}", caller.session.number);
        app.audit.record(Event::new(Kind::Logout, Outcome::Success, caller.name(), &from, &detail)).await?;
        let mut response = StatusCode::NO_CONTENT.into_response();
        set_cookie(&mut response, &format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"))?;
        Ok(response)
    })
    .await?
}

/// A token to its owner, in the answer and in the browser's cookie.
fn with_token(issued: &Issued) -> Answer {
    let mut response = as_json(&json!({
        "token": issued.token,
        "expires_at": issued.expires_at,
        "permissions": issued.permissions,
        "session": issued.session,
    }))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let lifetime = issued.expires_at.saturating_sub(now);
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lifetime}", issued.token);
    set_cookie(&mut response, &cookie)?;
    Ok(response)
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) -> Result<(), Problem> {
    // Not the error itself, which might show what it was.
    let value = HeaderValue::from_str(cookie).map_err(|_| Problem::internal("a cookie cannot be set", &"not text"))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(())
}

/// Who the page's user is. Anybody may ask, so that a page can tell that nobody is logged in without
/// causing an error.
pub(super) async fn session(State(app): Shared, headers: HeaderMap) -> Answer {
    match app.gate.identify(&headers) {
        Ok(caller) => as_json(&json!({
            "user": caller.name(),
            "permissions": caller.permissions(),
            "expires_at": caller.expires_at(),
            "session": caller.session.number,
        })),
        Err(_) => as_json(&json!({ "user": null, "setup_needed": app.gate.users()? == 0 })),
    }
}

/// The caller's sessions; those of all to who administers.
pub(super) async fn sessions(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::NONE)?;
    let all = caller.permissions().contains(Permissions::ADMIN);
    let shown: Vec<Value> = listed(&app, (!all).then(|| caller.name()))
        .await?
        .iter()
        .map(|session| {
            json!({
                "number": session.number,
                "user": session.user,
                "permissions": session.permissions,
                "begun_ms": session.begun.as_millis(),
                "seen_ms": session.seen.as_millis(),
                "source": session.source,
                "current": session.number == caller.session.number,
            })
        })
        .collect();
    as_json(&json!({ "sessions": shown }))
}

/// The sessions of one user, or of all.
async fn listed(app: &App, of: Option<&str>) -> Result<Vec<Session>, Problem> {
    let (gate, of) = (app.gate.clone(), of.map(str::to_owned));
    app.pool.run(move || gate.sessions(of.as_deref())).await?
}

pub(super) async fn end_session(
    State(app): Shared,
    number: Result<Path<u64>, PathRejection>,
    request: Request<Body>,
) -> Answer {
    let caller = app.admit(&request, Permissions::NONE)?;
    let from = source(&request);
    // Somebody else's session is as unknown as none at all.
    let unknown = || Problem::new(Code::NotFound, "There is no such session.");
    let Path(number) = number.map_err(|_| unknown())?;
    let all = caller.permissions().contains(Permissions::ADMIN);
    let listed = listed(&app, (!all).then(|| caller.name())).await?;
    let Session { user, .. } = listed.into_iter().find(|session| session.number == number).ok_or_else(unknown)?;
    // One's own is a logout.
    if app.config.read_only && user != caller.name() {
        app.note_refusal(caller.name(), &from, &format!("session {number} of {user}: read-only"));
        return Err(read_only());
    }
    app.audit.ready().await?;
    to_its_end(async move {
        let gate = app.gate.clone();
        if !app.pool.run(move || gate.end_session(number)).await?? {
            return Err(unknown());
        }
        let detail = format!("session {number} of {user} ended");
        app.audit.record(Event::new(Kind::SessionChange, Outcome::Success, caller.name(), &from, &detail)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await?
}

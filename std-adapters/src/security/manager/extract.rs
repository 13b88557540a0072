//! Who is asking, for handlers of axum.
//!
//! A handler takes a [`Caller`], and runs only for a request with a token that verifies, is not revoked and comes from a
//! user who does not ask too often. What they may is asked by an attribute, or by [`RequireLayer`](super::layer).
//!
//! ```
//! use axum::Router;
//! use axum::routing::get;
//! use daur_std::security::manager::SecurityManager;
//! use daur_std::security::manager::extract::{Caller, Problem};
//!
//! #[daur_std::require_permission("admin")]
//! async fn restart(caller: Caller) -> Result<String, Problem> {
//!     Ok(format!("restarted for {}", caller.name()))
//! }
//!
//! # fn app(security: SecurityManager) -> Router {
//! Router::new().route("/restart", get(restart)).with_state(security)
//! # }
//! ```
//!
//! A state that holds more gives the manager by `FromRef`.

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use daur_core::security::audit::{Event, Kind as What, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::security::token::Claims;
use daur_core::time::{Duration, Instant};

use super::{Context, Denied, Identity, SecurityManager};

/// Says where a request comes from, for the audit: put it among a request's extensions. Without, the audit has no source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(pub String);

/// Knows who sent a request: an extractor.
///
/// # Errors
/// [`Problem`]: 401 without a right token, 429 where its user asks too often.
#[derive(Clone, Debug)]
pub struct Caller {
    claims: Claims,
    source: String,
    manager: SecurityManager,
}

impl Caller {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.claims.sub.as_str()
    }

    /// What they may.
    #[must_use]
    pub const fn permissions(&self) -> Permissions {
        self.claims.permissions
    }

    /// What the token says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Context for Caller {
    fn identity(&self) -> Option<Identity<'_>> {
        self.claims.identity()
    }

    /// Tells the audit.
    fn denied(&self, why: Denied) {
        let event = Event::new(What::AccessDenied, Outcome::Denied, self.name(), &self.source, why.code());
        self.manager.tell(&event);
    }
}

impl<S> FromRequestParts<S> for Caller
where
    SecurityManager: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let manager = SecurityManager::from_ref(state);
        let source = parts.extensions.get::<Source>().map_or("", |source| &source.0);
        let token = bearer(&parts.headers).unwrap_or_default();
        match manager.authorize(token, Permissions::NONE, source) {
            Ok(claims) => Ok(Self { claims, source: source.to_owned(), manager }),
            Err(denied) => Err(Problem::new(denied, manager.now())),
        }
    }
}

/// The token of `Authorization: Bearer ..`, if there is one such header and no other.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    // Two that differ would be understood one way here and another way elsewhere.
    if all.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Answers who was denied: an RFC 9457 problem document with a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    denied: Denied,
    /// How long to wait, where time alone mends it.
    wait: Option<Duration>,
}

impl Problem {
    /// The answer at the moment `now`, which is the manager's.
    #[must_use]
    pub fn new(denied: Denied, now: Instant) -> Self {
        Self { denied, wait: denied.retry_at().map(|retry_at| retry_at - now) }
    }

    /// What it answers.
    #[must_use]
    pub const fn denied(&self) -> Denied {
        self.denied
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.denied {
            Denied::Unauthenticated => StatusCode::UNAUTHORIZED,
            Denied::Forbidden | Denied::ForbiddenInput => StatusCode::FORBIDDEN,
            Denied::RateLimited { .. } | Denied::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
            Denied::InvalidInput => StatusCode::BAD_REQUEST,
            Denied::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Denied> for Problem {
    /// Without how long to wait.
    fn from(denied: Denied) -> Self {
        Self { denied, wait: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let (status, code) = (self.status(), self.denied.code());
        // Codes and texts are our own, and have nothing to escape.
        let body = format!(
            "{{\"type\":\"urn:daur:problem:{code}\",\"title\":\"{}\",\"status\":{},\"code\":\"{code}\"}}",
            self.denied,
            status.as_u16()
        );
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.denied {
            Denied::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"daur\""));
            }
            Denied::Forbidden => {
                let value = HeaderValue::from_static("Bearer realm=\"daur\", error=\"insufficient_scope\"");
                headers.insert(header::WWW_AUTHENTICATE, value);
            }
            _ => {}
        }
        if let Some(wait) = self.wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_ceil().max(1)));
        }
        response
    }
}

impl<B> super::Bearing for Request<B> {
    fn token(&self) -> Option<&str> {
        bearer(self.headers())
    }

    fn source(&self) -> &str {
        self.extensions().get::<Source>().map_or("", |source| &source.0)
    }

    /// Leaves the claims among the extensions.
    fn admitted(&mut self, claims: Claims) {
        self.extensions_mut().insert(claims);
    }
}

impl super::Answer for Response<Body> {
    fn denied(denied: Denied, now: Instant) -> Self {
        Problem::new(denied, now).into_response()
    }
}

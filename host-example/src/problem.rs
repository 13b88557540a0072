//! What a client is told when it is refused: RFC 9457 problem documents with stable codes.
//!
//! A client decides by `code`, never by the text: codes are append-only. A problem says what the
//! client can do about it and nothing of the server's inside.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use daur_core::time::Duration;

/// Names a kind of refusal for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be read: not JSON, a field that is missing or of the wrong type.
    BadRequest,
    /// The command is not a plain command line.
    InvalidCommand,
    /// No token, or none that is valid.
    Unauthenticated,
    /// The user lacks the permission, or the page that sent the change is not ours.
    Forbidden,
    /// The policy refuses this program or one of its arguments.
    ForbiddenCommand,
    /// There is nothing at this path.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body is longer than allowed.
    PayloadTooLarge,
    /// Too many requests of this user, or logins from this address.
    RateLimited,
    /// Too many wrong passwords.
    LockedOut,
    /// The breaker of this program is open.
    CircuitOpen,
    /// The server has as much work as it takes, or is stopping.
    Overloaded,
    /// The command, or the client's request, took longer than allowed.
    Timeout,
    /// What the request needs has not been set up.
    NotConfigured,
    /// Something failed that is not the client's fault.
    Internal,
    /// What is asked for does not go together with what there is.
    Conflict,
    /// A value cannot be: a name, a password, what a model's upstream refuses.
    InvalidInput,
    /// None of the servers behind this one gave an answer.
    UpstreamFailed,
    /// Path and query are longer than any of ours.
    UriTooLong,
    /// The headers are longer, or more, than allowed.
    HeadersTooLarge,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::InvalidCommand,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ForbiddenCommand,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::PayloadTooLarge,
        Self::RateLimited,
        Self::LockedOut,
        Self::CircuitOpen,
        Self::Overloaded,
        Self::Timeout,
        Self::NotConfigured,
        Self::Internal,
        Self::Conflict,
        Self::InvalidInput,
        Self::UpstreamFailed,
        Self::UriTooLong,
        Self::HeadersTooLarge,
    ];

    /// The code as it stands in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidCommand => "invalid_command",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ForbiddenCommand => "forbidden_command",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RateLimited => "rate_limited",
            Self::LockedOut => "locked_out",
            Self::CircuitOpen => "circuit_open",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::NotConfigured => "not_configured",
            Self::Internal => "internal",
            Self::Conflict => "conflict",
            Self::InvalidInput => "invalid_input",
            Self::UpstreamFailed => "upstream_failed",
            Self::UriTooLong => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::InvalidCommand | Self::InvalidInput => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ForbiddenCommand => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited | Self::LockedOut => StatusCode::TOO_MANY_REQUESTS,
            Self::CircuitOpen | Self::Overloaded | Self::NotConfigured => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Conflict => StatusCode::CONFLICT,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::InvalidCommand => "Not a plain command line",
            Self::Unauthenticated => "Not logged in",
            Self::Forbidden => "Not permitted",
            Self::ForbiddenCommand => "The policy refuses this command",
            Self::NotFound => "Nothing here",
            Self::MethodNotAllowed => "Not with this method",
            Self::PayloadTooLarge => "The body is too large",
            Self::RateLimited => "Too many requests",
            Self::LockedOut => "Locked for a while",
            Self::CircuitOpen => "The circuit is open",
            Self::Overloaded => "Too much work at the moment",
            Self::Timeout => "Out of time",
            Self::NotConfigured => "Not set up",
            Self::Internal => "An error of the server",
            Self::Conflict => "Not with what there is",
            Self::InvalidInput => "A value that cannot be",
            Self::UpstreamFailed => "No answer from behind",
            Self::UriTooLong => "The path is too long",
            Self::HeadersTooLarge => "The headers are too large",
        }
    }
}

/// Tells whoever looks at the answer on its way out what the client was told.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The code.
    pub code: Code,
    /// The explanation.
    pub detail: Cow<'static, str>,
    /// Whether the log has told more of it.
    pub logged: bool,
}

/// Refuses a request.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    close: bool,
    logged: bool,
}

impl Problem {
    /// A refusal that explains itself in `detail`.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, close: false, logged: false }
    }

    /// Adds when it is worth trying again: rounded up, at least one second.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Ends the connection after the answer, since the rest of the request was not read.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = serde_json::json!({
            "type": format!("urn:daur:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "code": self.code.as_str(),
            "detail": self.detail,
        });
        body.to_string()
    }

    /// An error inside, logged here and told to the client without what it was.
    pub fn internal(what: &str, error: &dyn fmt::Display) -> Self {
        tracing::error!(kind = Code::Internal.as_str(), %error, "{what}");
        Self { logged: true, ..Self::new(Code::Internal, "The server could not do this; its log says why.") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(Shown { code: self.code, detail: self.detail, logged: self.logged });
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_ceil().max(1)));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"daur\""));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

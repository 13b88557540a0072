//! The dashboard's page, compiled in: no file beside the binary, no request to anybody else.

use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;

/// What the page may load: our own script and style, nothing inline, nothing from elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page.
#[must_use]
pub fn index() -> Response<Body> {
    serve("text/html; charset=utf-8", include_str!("../page/index.html"))
}

/// Its style.
#[must_use]
pub fn style() -> Response<Body> {
    serve("text/css; charset=utf-8", include_str!("../page/app.css"))
}

/// Its script.
#[must_use]
pub fn script() -> Response<Body> {
    serve("text/javascript; charset=utf-8", include_str!("../page/app.js"))
}

fn serve(kind: &'static str, text: &'static str) -> Response<Body> {
    // Small and local: asking again each time means that a new binary never meets an old script.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

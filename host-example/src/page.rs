//! The dashboard's page, compiled in: no file beside the binary, no request to anybody else.

use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;

/// What the page may load: our own script and style, nothing inline, nothing from elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

macro_rules! assets {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../page/", $name)))),*] };
}

/// The page's style and the parts of its script.
const ASSETS: [(&str, &str); 11] = assets![
    "app.css",
    "app.js",
    "actions.js",
    "audit.js",
    "charts.js",
    "devices.js",
    "dom.js",
    "live.js",
    "logs.js",
    "notifications.js",
    "panels.js",
];

/// The page.
#[must_use]
pub fn index() -> Response<Body> {
    serve("text/html; charset=utf-8", include_str!("../page/index.html"))
}

/// Its style, or a part of its script; `None` if it has no such part.
#[must_use]
pub fn asset(name: &str) -> Option<Response<Body>> {
    let (name, text) = ASSETS.iter().find(|(known, _)| *known == name)?;
    let kind = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    Some(serve(kind, text))
}

fn serve(kind: &'static str, text: &'static str) -> Response<Body> {
    // Small and local: asking again each time means that a new binary never meets an old script.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_the_page_names_is_served_and_nothing_else() {
        let texts = ASSETS.iter().map(|(_, text)| *text).chain([include_str!("../page/index.html")]);
        let mut named = 0;
        for text in texts {
            let imported = text.split("from \"./").skip(1);
            for part in imported.chain(text.split("\"/assets/").skip(1)) {
                let name = part.split('"').next().unwrap();
                assert!(asset(name).is_some(), "{name}");
                named += 1;
            }
        }
        assert!(named > ASSETS.len());
        for name in ["", "app", "../page.rs", "APP.JS", "index.html"] {
            assert!(asset(name).is_none(), "{name}");
        }
    }

    #[test]
    fn nothing_in_the_page_is_inline_or_comes_from_elsewhere() {
        let page = include_str!("../page/index.html");
        for inline in ["<style", "style=", " onclick", " onload", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/assets/").count());
        for (name, text) in ASSETS {
            for (at, _) in text.match_indices("http") {
                assert!(text[at..].starts_with("http://www.w3.org/"), "{name}: {}", &text[at..at + 40]);
            }
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(sink), "{name}: {sink}");
            }
        }
    }
}

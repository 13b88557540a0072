//! The files that are compiled in, the dashboard's page and the API's description: no file beside the binary, no request
//! to anybody else.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use sha2::{Digest, Sha256};

/// What the page may load: our own script and style, nothing inline, nothing from elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A file as it is served.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        [$(File { name: $name, kind: $kind, text: include_str!(concat!("../page/", $name)) }),*]
    };
}

const DESCRIPTION: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The description first, then the page, its style and the parts of its script.
static FILES: [File; 13] = files![
    "openapi.json" DESCRIPTION,
    "index.html" HTML,
    "app.css" STYLE,
    "app.js" SCRIPT,
    "actions.js" SCRIPT,
    "audit.js" SCRIPT,
    "charts.js" SCRIPT,
    "devices.js" SCRIPT,
    "dom.js" SCRIPT,
    "live.js" SCRIPT,
    "logs.js" SCRIPT,
    "notifications.js" SCRIPT,
    "panels.js" SCRIPT,
];
const PAGES: usize = 2;

/// The files' tags: what is the same has the same, and only that.
static TAGS: LazyLock<[HeaderValue; FILES.len()]> = LazyLock::new(|| {
    std::array::from_fn(|place| {
        let mut tag = String::from('"');
        for byte in &Sha256::digest(FILES[place].text)[..16] {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
    })
});

/// What the API can be asked, for programs: OpenAPI 3.1.
#[must_use]
pub fn openapi(asked: &HeaderMap) -> Response<Body> {
    serve(0, asked)
}

/// The page.
#[must_use]
pub fn index(asked: &HeaderMap) -> Response<Body> {
    serve(1, asked)
}

/// Its style, or a part of its script; `None` if it has no such part.
#[must_use]
pub fn asset(name: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let place = FILES.iter().skip(PAGES).position(|file| file.name == name)?;
    Some(serve(PAGES + place, asked))
}

fn serve(place: usize, asked: &HeaderMap) -> Response<Body> {
    let (file, tag) = (&FILES[place], &TAGS[place]);
    // Small and local: asking again each time means that a new binary never meets an old script.
    let always = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if has(asked, tag) {
        return (StatusCode::NOT_MODIFIED, always).into_response();
    }
    (always, [(header::CONTENT_TYPE, file.kind)], file.text).into_response()
}

/// Whether whoever asks has it already: any of the tags of `If-None-Match`, weak or not, is the file's.
fn has(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH);
    let mut tags = lists.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_the_page_names_is_served_and_nothing_else() {
        let none = HeaderMap::new();
        let texts = FILES[1..].iter().map(|file| file.text);
        let mut named = 0;
        for text in texts {
            let imported = text.split("from \"./").skip(1);
            for part in imported.chain(text.split("\"/assets/").skip(1)) {
                let name = part.split('"').next().unwrap();
                assert!(asset(name, &none).is_some(), "{name}");
                named += 1;
            }
        }
        assert!(named > FILES.len());
        for name in ["", "app", "../page.rs", "APP.JS", "index.html", "openapi.json"] {
            assert!(asset(name, &none).is_none(), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let asked =
            |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]);
        let first = index(&HeaderMap::new());
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"a\" , {tag}"), "*".to_owned()] {
            let again = index(&asked(&known));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers()[header::ETAG], tag.as_str());
            assert!(!again.headers().contains_key(header::CONTENT_TYPE));
        }
        for other in ["\"a\"", "", tag.trim_matches('"')] {
            assert_eq!(index(&asked(other)).status(), StatusCode::OK, "{other}");
        }
        let tags: std::collections::BTreeSet<_> = TAGS.iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(tags.len(), FILES.len());
    }

    #[test]
    fn nothing_in_the_page_is_inline_or_comes_from_elsewhere() {
        let page = include_str!("../page/index.html");
        for inline in ["<style", "style=", " onclick", " onload", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/assets/").count());
        for File { name, text, .. } in &FILES[PAGES..] {
            for (at, _) in text.match_indices("http") {
                assert!(text[at..].starts_with("http://www.w3.org/"), "{name}: {}", &text[at..at + 40]);
            }
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(sink), "{name}: {sink}");
            }
        }
    }
}

//! The security manager as a service has it: users and audit in SQLite, extractors, the layer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::get;
use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Kind, Outcome};
use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::token::Claims;
use daur_core::time::UnixTime;
use daur_std::security::audit::AuditLog;
use daur_std::security::keys;
use daur_std::security::manager::extract::{Caller, Problem, Source, bearer};
use daur_std::security::manager::layer::RequireLayer;
use daur_std::security::manager::{Denied, MemoryUsers, Recent, SecurityManager};
use daur_std::security::users::{User, Users};
use tower::ServiceExt;

const POLICY: Policy<'static> = Policy { iterations: 1_000, api_rate: 1, api_burst: 6, ..Policy::DEFAULT };

fn service() -> (SecurityManager, Recent) {
    let (users, audit) = (MemoryUsers::new(), Recent::new(100));
    users.add("alice", "correct horse", 1_000, Permissions::READ).unwrap();
    users.add("root", "battery staple", 1_000, Permissions::ALL).unwrap();
    (SecurityManager::builder(POLICY, &[7; 32], users, audit.clone()).build().unwrap(), audit)
}

#[daur_std::require_permission("admin")]
async fn restart(caller: Caller) -> Result<String, Problem> {
    Ok(format!("restarted for {}", caller.name()))
}

fn app(security: &SecurityManager) -> Router {
    let layered = Router::new()
        .route(
            "/layered",
            get(async |request: Request<Body>| request.extensions().get::<Claims>().unwrap().sub.to_string()),
        )
        .layer(RequireLayer::new(security.clone(), Permissions::WRITE));
    Router::new()
        .route("/whoami", get(async |caller: Caller| caller.name().to_owned()))
        .route("/restart", get(restart))
        .merge(layered)
        .with_state(security.clone())
}

async fn ask(app: &Router, target: &str, authorization: &[&str]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(target).extension(Source("10.0.0.7".to_owned()));
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 10_000).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_handler_takes_the_caller_or_does_not_run() {
    let (security, audit) = service();
    let app = app(&security);
    let issued = security.login("alice", "correct horse".to_owned(), "10.0.0.7").await.unwrap();
    let right = format!("Bearer {}", issued.token);
    let (status, _, body) = ask(&app, "/whoami", &[&right]).await;
    assert_eq!((status, &*body), (StatusCode::OK, "alice"));
    let (status, ..) = ask(&app, "/whoami", &[&right.replace("Bearer", "bEARER ")]).await;
    assert_eq!(status, StatusCode::OK, "the scheme's case says nothing");

    let wrong: [&[&str]; 7] =
        [&[], &[""], &["Bearer"], &["Bearer "], &["Basic YTpi"], &[&right, &right], &[&issued.token]];
    for authorization in wrong {
        let (status, headers, body) = ask(&app, "/whoami", authorization).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer realm=\"daur\"");
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"unauthenticated".into(), &401.into()));
        let (last, ..) = audit.events().pop().unwrap();
        assert_eq!((last.kind, last.outcome, last.source.as_str()), (Kind::AccessDenied, Outcome::Denied, "10.0.0.7"));
    }
}

#[tokio::test]
async fn a_permission_is_asked_by_attribute_and_by_layer() {
    let (security, audit) = service();
    let app = app(&security);
    let [alice, root] = [("alice", "correct horse"), ("root", "battery staple")]
        .map(|(name, password)| format!("Bearer {}", security.login_blocking(name, password, "").unwrap().token));
    for (target, body) in [("/restart", "restarted for root"), ("/layered", "root")] {
        let (status, headers, text) = ask(&app, target, &[&alice]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{target} {text}");
        assert!(headers[header::WWW_AUTHENTICATE].to_str().unwrap().contains("insufficient_scope"));
        let (last, ..) = audit.events().pop().unwrap();
        assert_eq!((last.kind, last.actor.as_str()), (Kind::AccessDenied, "alice"), "{target}");
        let (status, _, text) = ask(&app, target, &[&root]).await;
        assert_eq!((status, &*text), (StatusCode::OK, body));
        let (status, ..) = ask(&app, target, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let (security, _) = service();
    let app = app(&security);
    let alice = format!("Bearer {}", security.login_blocking("alice", "correct horse", "").unwrap().token);
    // 6 at once, and one more for each second that passes meanwhile.
    let (headers, body) = loop {
        let (status, headers, body) = ask(&app, "/whoami", &[&alice]).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break (headers, body);
        }
    };
    assert_eq!(headers[header::RETRY_AFTER], "1");
    assert!(body.contains("\"code\":\"rate_limited\""), "{body}");
}

#[test]
fn each_refusal_has_its_status() {
    for (denied, status) in [
        (Denied::Unauthenticated, 401),
        (Denied::Forbidden, 403),
        (Denied::ForbiddenInput, 403),
        (Denied::InvalidInput, 400),
        (Denied::Overloaded, 503),
        (Denied::NoClock, 500),
        (Denied::Internal, 500),
    ] {
        assert_eq!(Problem::from(denied).status().as_u16(), status, "{denied:?}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, header::HeaderValue::from_bytes(b"Bearer \xFF").unwrap());
    assert_eq!(bearer(&headers), None);
}

/// Removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let number = u64::from_ne_bytes(keys::random().unwrap());
        let path = std::env::current_exe().unwrap().with_file_name(format!("daur-manager-{number:016x}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn with_users_and_audit_in_sqlite_every_decision_is_in_a_chain_that_verifies() {
    let dir = Dir::new();
    let path = dir.0.join("daur.db");
    let mut users = Users::open(&path).unwrap();
    let phc = password::hash("correct horse", &[1; 16], 1_000).unwrap().as_str().to_owned();
    let created = UnixTime::from_secs(1_800_000_000);
    users.add(&User { name: "alice".into(), phc, permissions: Permissions::READ, created }).unwrap();
    let (log, key) = AuditLog::open(&path, DeviceId::new("host").unwrap(), BootId(1)).unwrap();
    let log = Arc::new(Mutex::new(log));
    let builder = SecurityManager::builder(POLICY, &[7; 32], Mutex::new(users), Arc::clone(&log));
    let security = builder.build().unwrap();

    let issued = security.login("alice", "correct horse".to_owned(), "10.0.0.7").await.unwrap();
    assert_eq!(security.login("alice", "wrong".to_owned(), "10.0.0.8").await, Err(Denied::Unauthenticated));
    security.authorize(&issued.token, Permissions::READ, "10.0.0.7").unwrap();
    assert_eq!(security.authorize(&issued.token, Permissions::WRITE, "10.0.0.7"), Err(Denied::Forbidden));
    let renewed = security.refresh(&issued.token, "10.0.0.7").unwrap();
    security.logout(&renewed.token, "10.0.0.7").unwrap();

    let log = log.lock().unwrap();
    assert_eq!(log.verify(key.unwrap(), Some(log.head())).unwrap(), log.head());
    let mut kinds: Vec<_> = log.recent(100).unwrap().iter().map(|entry| entry.event.kind).collect();
    kinds.reverse();
    let expected = [
        Kind::Login,
        Kind::TokenIssued,
        Kind::Login,
        Kind::Access,
        Kind::AccessDenied,
        Kind::TokenRevoked,
        Kind::TokenIssued,
        Kind::Logout,
        Kind::TokenRevoked,
    ];
    assert_eq!(kinds, expected);
}

//! The names of operations.

use axum::http::Method;

/// Every route but the page's own files: its method and its path.
pub const ROUTES: [&str; 40] = [
    "GET /",
    "GET /openapi.json",
    "POST /api/login",
    "POST /api/logout",
    "POST /api/token/refresh",
    "GET /api/session",
    "GET /api/sessions",
    "DELETE /api/sessions/{number}",
    "GET /api/users",
    "POST /api/users",
    "PATCH /api/users/{name}",
    "DELETE /api/users/{name}",
    "POST /api/command",
    "POST /api/model",
    "GET /api/status",
    "GET /api/events",
    "GET /api/notifications",
    "GET /api/history",
    "GET /api/logs",
    "PUT /api/log-level",
    "GET /api/reports/{format}",
    "GET /api/analytics",
    "POST /api/breakers/{name}/reset",
    "POST /api/breakers/{name}/force-open",
    "POST /api/breakers/{name}/force-close",
    "POST /api/cache/clear",
    "POST /api/jobs/{id}/run",
    "POST /api/jobs/{id}/pause",
    "POST /api/jobs/{id}/resume",
    "POST /api/jobs/{id}/cancel",
    "GET /api/devices",
    "GET /api/devices/{id}",
    "POST /api/devices/{id}/commands",
    "GET /api/devices/{id}/audit",
    "GET /api/audit",
    "GET /api/audit/verify",
    "GET /metrics",
    "GET /livez",
    "GET /readyz",
    "GET /startupz",
];

/// The name of an operation in the tables: its method and its route, never what a client made up.
#[must_use]
pub fn operation(method: &Method, route: Option<&str>) -> &'static str {
    let Some(route) = route else { return "unknown route" };
    if route.starts_with("/assets/") {
        return "GET /assets";
    }
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let named = |known: &str| {
        // Most are told apart by their length.
        known.len() == method.len() + 1 + route.len() && known.ends_with(route) && known.starts_with(method)
    };
    ROUTES.into_iter().find(|known| named(known)).unwrap_or("wrong method")
}

/// The methods that a route has, as `Allow` names them.
#[must_use]
pub fn allowed(route: &str) -> String {
    let files = route.starts_with("/assets/").then_some("GET");
    let known = ROUTES.iter().filter_map(|known| known.split_once(' ')).filter(|(_, path)| *path == route);
    let mut all = String::new();
    for method in files.into_iter().chain(known.map(|(method, _)| method)) {
        all.push_str(method);
        all.push_str(if method == "GET" { ", HEAD, " } else { ", " });
    }
    all + "OPTIONS"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_a_route_or_one_of_three_others() {
        assert_eq!(operation(&Method::GET, Some("/api/status")), "GET /api/status");
        assert_eq!(operation(&Method::HEAD, Some("/api/status")), "GET /api/status");
        assert_eq!(operation(&Method::POST, Some("/api/status")), "wrong method");
        assert_eq!(operation(&Method::GET, Some("/assets/app.js")), "GET /assets");
        assert_eq!(operation(&Method::GET, None), "unknown route");
    }

    #[test]
    fn a_route_names_its_methods() {
        assert_eq!(allowed("/api/users"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(allowed("/api/users/{name}"), "PATCH, DELETE, OPTIONS");
        assert_eq!(allowed("/assets/{part}"), "GET, HEAD, OPTIONS");
    }
}

//! What the headers of a request say of who sent it.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

use super::COOKIE;
use crate::problem::{Code, Problem};

/// Refuses a change that another site's page may have sent.
///
/// A browser names the page's origin with every change. A cookie alone proves nothing about who
/// wrote the request, so with it the origin must be there and be ours; with a bearer token, which no
/// page can send unasked, a foreign origin is refused all the same.
///
/// # Errors
/// `forbidden`.
pub fn check_origin(method: &Method, headers: &HeaderMap, by_cookie: bool) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let foreign = || Problem::new(Code::Forbidden, "The change comes from another site's page.");
    // Of two, whoever stands between may have looked at the other one.
    let twice = |name| headers.get_all(name).iter().nth(1).is_some();
    if twice(header::HOST) || twice(header::ORIGIN) {
        return Err(foreign());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match headers.get(header::ORIGIN) {
        None if by_cookie => Err(foreign()),
        None => Ok(()),
        Some(origin) => {
            let origin = origin.to_str().map_err(|_| foreign())?;
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if authority.is_some() && authority == host { Ok(()) } else { Err(foreign()) }
        }
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or("");
    // Another scheme is an attempt to authenticate too: it must not fall back to the cookie.
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The network that counts as one address: a v6 host has 2^64 addresses to choose from.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_change_by_cookie_needs_our_own_origin() {
        let ours = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "http://h:1")]);
        let foreign = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "http://evil:1")]);
        let null = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "null")]);
        let none = headers(&[(header::HOST, "h:1")]);
        assert!(check_origin(&Method::POST, &ours, true).is_ok());
        assert!(check_origin(&Method::POST, &none, false).is_ok());
        assert!(check_origin(&Method::GET, &foreign, true).is_ok());
        for (headers, by_cookie) in [(&foreign, true), (&foreign, false), (&null, true), (&none, true)] {
            assert!(check_origin(&Method::POST, headers, by_cookie).is_err());
        }
    }

    #[test]
    fn two_origins_or_hosts_are_none_of_ours() {
        for name in [header::ORIGIN, header::HOST] {
            let mut twice = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "http://h:1")]);
            assert!(check_origin(&Method::POST, &twice, true).is_ok());
            twice.append(name, HeaderValue::from_static("http://evil:1"));
            assert!([true, false].iter().all(|by_cookie| check_origin(&Method::POST, &twice, *by_cookie).is_err()));
        }
    }

    #[test]
    fn another_scheme_does_not_fall_back_to_the_cookie() {
        let both = headers(&[(header::AUTHORIZATION, "Basic abc"), (header::COOKIE, "a=b; daur_session=t")]);
        assert_eq!(bearer(&both), Some(""));
        assert_eq!(cookie(&both), Some("t"));
        assert_eq!(bearer(&headers(&[(header::AUTHORIZATION, "bearer x.y.z")])), Some("x.y.z"));
    }

    #[test]
    fn a_v6_network_is_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3:4:5:6"), parse("2001:db8:1:2::1"));
        assert_ne!(parse("2001:db8:1:3::1"), parse("2001:db8:1:2::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }
}

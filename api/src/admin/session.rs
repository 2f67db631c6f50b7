//! Sessions of operators: a cookie that says until when, under a signature that only the token makes.
//!
//! Nothing is kept of them, so any process knows one of any other; another token ends them all. The page itself never has the token again: no
//! script can read the cookie, and no other site can send it.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, HOST},
};

use super::Admin;

const NAME: &str = "errand_admin";
/// What is signed is for this and nothing else.
const PURPOSE: &str = "errand admin session until ";
/// How long one lasts: a shift.
const LASTS: TimeDelta = TimeDelta::hours(12);
/// A Max-Age that is 0 takes a cookie away.
const GONE: TimeDelta = TimeDelta::zero();

impl Admin {
    /// The cookie of a new session.
    pub(crate) fn begin(&self, headers: &HeaderMap, now: DateTime<Utc>) -> HeaderValue {
        let until = (now + LASTS).timestamp();
        let signature = hmac::sign(&self.key, signed(until).as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        cookie(headers, &format!("{until}.{signature}"), LASTS)
    }

    /// Whether the request is of a session that is not over.
    pub(crate) fn is_signed_in(&self, headers: &HeaderMap, now: DateTime<Utc>) -> bool {
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))
            .any(|session| self.is_session(session, now))
    }

    fn is_session(&self, session: &str, now: DateTime<Utc>) -> bool {
        let Some((until, signature)) = session.split_once('.') else {
            return false;
        };
        let (Ok(until), Ok(signature)) = (until.parse(), URL_SAFE_NO_PAD.decode(signature)) else {
            return false;
        };
        // In constant time.
        let verified = hmac::verify(&self.key, signed(until).as_bytes(), &signature);
        verified.is_ok() && now.timestamp() < until
    }
}

/// What ends a session in its browser.
pub(crate) fn end(headers: &HeaderMap) -> HeaderValue {
    cookie(headers, "", GONE)
}

fn signed(until: i64) -> String {
    format!("{PURPOSE}{until}")
}

/// Only over TLS, but for a browser on this machine: what is in front may speak plain HTTP to us, so it is the address that tells.
fn cookie(headers: &HeaderMap, value: &str, lasts: TimeDelta) -> HeaderValue {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let secure = match is_loopback(host) {
        true => "",
        false => "; Secure",
    };
    let lasts = lasts.num_seconds();
    let cookie =
        format!("{NAME}={value}; Path=/admin; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

/// Whether a request that changes something comes from the page itself. A browser says so; what is no browser has no cookies of one.
pub(crate) fn is_from_the_page(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    match (said("sec-fetch-site"), said("origin")) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => {
            let host = headers.get(HOST).map(HeaderValue::as_bytes);
            let origin = [b"https://".as_slice(), b"http://"]
                .iter()
                .find_map(|scheme| origin.strip_prefix(*scheme));
            origin.is_some() && origin == host
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_session_lasts_for_a_shift_and_under_its_token() {
        let now = Utc::now();
        let admin = Admin::new(&"0123456789abcdef".into());
        let cookie = admin.begin(&headers(&[("host", "errand.example.com")]), now);
        let cookie = cookie.to_str().expect("text");
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
            "{cookie}"
        );
        let sent = format!("other=1; {}", cookie.split(';').next().expect("a pair"));
        let sent = headers(&[("cookie", &sent)]);
        assert!(admin.is_signed_in(&sent, now));
        assert!(!admin.is_signed_in(&sent, now + LASTS));
        assert!(!Admin::new(&"0123456789abcdeg".into()).is_signed_in(&sent, now));
        let until = (now + LASTS + LASTS).timestamp();
        for forged in [
            "errand_admin=".to_owned(),
            "errand_admin=.".to_owned(),
            format!("errand_admin={until}."),
            format!(
                "errand_admin={until}.{}",
                cookie.split(['.', ';']).nth(1).expect("a signature")
            ),
        ] {
            let sent = headers(&[("cookie", &forged)]);
            assert!(!admin.is_signed_in(&sent, now), "{forged}");
        }
    }

    #[test]
    fn only_this_machine_goes_without_tls() {
        let admin = Admin::new(&"0123456789abcdef".into());
        for (host, secure) in [
            ("localhost:8080", false),
            ("127.0.0.1", false),
            ("[::1]:8080", false),
            ("errand-api:8080", true),
            ("localhost.example.com", true),
        ] {
            let cookie = admin.begin(&headers(&[("host", host)]), Utc::now());
            let is_secure = cookie.to_str().expect("text").contains("Secure");
            assert_eq!(is_secure, secure, "{host}");
        }
    }

    #[test]
    fn no_other_site_acts() {
        for (pairs, is_own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[("origin", "https://a.example"), ("host", "a.example")],
                true,
            ),
            (
                &[("origin", "https://b.example"), ("host", "a.example")],
                false,
            ),
            (&[("origin", "null"), ("host", "a.example")], false),
            (&[], true),
        ] {
            assert_eq!(is_from_the_page(&headers(pairs)), is_own, "{pairs:?}");
        }
    }
}

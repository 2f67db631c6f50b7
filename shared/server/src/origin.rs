//! Whose pages talk to a server: a browser says where a page is from, and what is no browser says nothing.

use http::{HeaderMap, HeaderValue, Uri, header::HOST, uri::Authority};

/// The one host, and perhaps port, that a request is addressed to; none if it names none, or several.
pub fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        // As HTTP/2 has it.
        (None, _) => uri.authority().cloned(),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a page of this origin comes from the very host and port that it talks to. Which scheme it was fetched by is not known
/// behind a router that ends TLS.
pub fn is_own(origin: &HeaderValue, host: &Authority) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && authority == host.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed(hosts: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        let host = host(&Uri::from_static("http://in.the.line/mcp"), &headers)?;
        Some(host.to_string())
    }

    #[test]
    fn a_request_is_addressed_to_one_host() {
        assert_eq!(addressed(&[]).as_deref(), Some("in.the.line"));
        assert_eq!(
            addressed(&["app.example:8080"]).as_deref(),
            Some("app.example:8080")
        );
        assert_eq!(addressed(&["a", "a"]), None);
        assert_eq!(addressed(&["a/b"]), None);
        assert_eq!(addressed(&[""]), None);
    }

    #[test]
    fn its_own_page_is_from_the_same_host_and_port() {
        let host = Authority::from_static("app.example:8080");
        for (origin, own) in [
            ("http://app.example:8080", true),
            ("https://app.example:8080", true),
            ("http://app.example", false),
            ("http://app.example:8080.evil.example", false),
            ("ftp://app.example:8080", false),
            ("null", false),
            ("app.example:8080", false),
        ] {
            assert_eq!(
                is_own(&HeaderValue::from_static(origin), &host),
                own,
                "{origin}"
            );
        }
    }
}

//! `/mcp` over HTTP, of errand-mcp and of the API: who is let in, and what is refused at the door.

use errand_devkit::identity::{Signature, TokenSpec};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::system::{
    Answer, PATIENCE,
    mcp::{Mcp, Server, of_both_servers},
};

of_both_servers!(
    without_a_good_token_it_is_401_and_told_where_to_get_one,
    hostile_requests_get_clean_answers,
    a_connection_that_says_nothing_is_closed,
    a_token_for_the_named_resource_is_as_good_as_one_for_the_audience
);

async fn without_a_good_token_it_is_401_and_told_where_to_get_one(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let none = Answer::of(mcp.post(&ping)).await;
    none.assert_error(401, "unauthorized");
    let server = mcp.url.strip_suffix("/mcp").unwrap();
    let metadata = format!("{server}/.well-known/oauth-protected-resource/mcp");
    let challenge = format!("Bearer resource_metadata=\"{metadata}\"");
    assert_eq!(none.header("www-authenticate"), challenge);
    let base = || TokenSpec {
        user: "ada".to_owned(),
        ..TokenSpec::default()
    };
    for spec in [
        TokenSpec {
            expires_in: -60,
            ..base()
        },
        TokenSpec {
            claims: json!({"aud": "somebody else"}),
            ..base()
        },
        TokenSpec {
            claims: json!({"iss": "https://elsewhere.example"}),
            ..base()
        },
        TokenSpec {
            signature: Signature::ForeignKey,
            ..base()
        },
        TokenSpec {
            signature: Signature::Unsigned,
            ..base()
        },
        TokenSpec {
            signature: Signature::Hs256WithPublicKey,
            ..base()
        },
    ] {
        let token = mcp.identity.token_with(&spec).unwrap();
        let answer = Answer::of(mcp.post(&ping).bearer_auth(token)).await;
        answer.assert_error(401, "unauthorized");
        assert_eq!(
            answer.header("www-authenticate"),
            format!("{challenge}, error=\"invalid_token\"")
        );
    }
    // Also before anything else of the request is looked at.
    let get = Answer::of(mcp.bare(Method::GET, "/mcp")).await;
    get.assert_error(401, "unauthorized");
    for path in ["/mcp", ""] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let answer = Answer::of(mcp.bare(Method::GET, &path)).await;
        let document = answer.assert_ok();
        assert_eq!(document["resource"], mcp.url);
        assert_eq!(
            document["authorization_servers"],
            json!([mcp.identity.issuer()])
        );
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    mcp.identity.set_down(true);
    let fresh = Mcp::on(&mcp.database_url, &[]).await;
    fresh.identity.set_down(true);
    let answer = fresh.ask("ada", "ping", json!({})).await;
    answer.assert_error(503, "unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_public_name_that_name_is_told() {
    let url = "https://mcp.example.com/mcp";
    let mcp = Mcp::with(&["--mcp-url", url, "--mcp-allowed-hosts", "mcp.internal:8443"]).await;
    for (host, is_served) in [
        ("mcp.example.com", true),
        ("MCP.example.com:443", true),
        ("mcp.internal:8443", true),
        ("mcp.internal", false),
        ("mcp.example.com.evil.example", false),
        ("mcp.example.com@evil.example", false),
        ("evil.example", false),
    ] {
        let path = "/.well-known/oauth-protected-resource/mcp";
        let answer = Answer::of(mcp.bare(Method::GET, path).header("host", host)).await;
        if is_served {
            assert_eq!(answer.assert_ok()["resource"], url, "{host}");
        } else {
            answer.assert_error(403, "forbidden");
        }
    }
}

/// RFC 8707: a client that has read the metadata asks for a token for the resource that it names.
async fn a_token_for_the_named_resource_is_as_good_as_one_for_the_audience(server: Server) {
    let url = "https://MCP.example.com/mcp";
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let named = Mcp::by(server, &["--mcp-url", url]).await;
    let unnamed = Mcp::by(server, &[]).await;
    let send = async |mcp: &Mcp, audience: serde_json::Value| {
        let spec = TokenSpec {
            user: "ada".to_owned(),
            claims: json!({"aud": audience}),
            ..TokenSpec::default()
        };
        let token = mcp.identity.token_with(&spec).unwrap();
        Answer::of(mcp.post(&ping).bearer_auth(token)).await
    };
    let issuer = json!(named.identity.issuer());
    for audience in [
        json!(url),
        // As a URL is written by whoever has parsed it.
        json!("https://mcp.example.com/mcp"),
        json!("https://mcp.example.com/mcp/"),
        json!(["https://other.example", "https://mcp.example.com/mcp"]),
        issuer,
    ] {
        let answer = send(&named, audience.clone()).await;
        assert_eq!(answer.status, 200, "{audience}: {}", answer.body);
    }
    for audience in [
        "https://mcp.example.com",
        "https://mcp.example.com/",
        "https://mcp.example.com/mcp2",
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:8443/mcp",
        // What the request is addressed to is the sender's word, and no name of ours.
        named.url.as_str(),
    ] {
        let answer = send(&named, json!(audience)).await;
        answer.assert_error(401, "unauthorized");
    }
    // Without MCP_URL the document repeats the request's host, and a token for that could be anybody's.
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    let told = Answer::of(unnamed.bare(Method::GET, metadata)).await;
    let resource = told.assert_ok()["resource"].clone();
    let answer = send(&unnamed, resource).await;
    answer.assert_error(401, "unauthorized");
    let issuer = json!(unnamed.identity.issuer());
    assert_eq!(send(&unnamed, issuer).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_origins_are_refused() {
    let mcp = Mcp::start().await;
    let listed = Mcp::with(&["--allowed-origins", "https://app.example.com"]).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let send = |mcp: &Mcp, name: &'static str, value: &'static str| {
        let token = mcp.identity.token("ada");
        Answer::of(mcp.post(&ping).bearer_auth(token).header(name, value))
    };
    for host in [
        "evil.example",
        "localhost.evil.example",
        "user@localhost",
        "",
    ] {
        let answer = send(&mcp, "host", host).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 403),
            "{host}: {}",
            answer.body
        );
        assert!(
            answer.body["error"]["code"].is_string(),
            "{host}: {}",
            answer.body
        );
    }
    for (origin, by_default, by_list) in [
        ("http://localhost:6274", true, false),
        ("http://127.0.0.1:6274", true, false),
        ("http://[::1]:6274", true, false),
        ("https://app.example.com", false, true),
        ("https://app.example.com:8443", false, false),
        ("http://localhost.evil.example", false, false),
        ("https://evil.example", false, false),
        ("null", false, false),
    ] {
        for (mcp, allowed) in [(&mcp, by_default), (&listed, by_list)] {
            let answer = send(mcp, "origin", origin).await;
            if allowed {
                answer.assert_ok();
                assert_eq!(answer.header("access-control-allow-origin"), origin);
                assert!(
                    answer
                        .header("access-control-expose-headers")
                        .contains("www-authenticate")
                );
            } else {
                answer.assert_error(403, "forbidden");
            }
        }
    }
}

async fn hostile_requests_get_clean_answers(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let token = mcp.identity.token("ada");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"add_task","arguments":{{"title":{deep}}}}}}}"#
    );
    let huge = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#,
        "x".repeat(300_000)
    );
    for (body, status, code) in [
        (String::new(), 400, "invalid_request"),
        ("not json".to_owned(), 400, "invalid_request"),
        ("{}".to_owned(), 400, "invalid_request"),
        ("[]".to_owned(), 400, "invalid_request"),
        ("\"\0\"".to_owned(), 400, "invalid_request"),
        (deep, 400, "invalid_request"),
        (nested, 400, "invalid_request"),
        (huge, 413, "payload_too_large"),
    ] {
        let shown: String = body.chars().take(60).collect();
        let request = mcp.bare(Method::POST, "/mcp").bearer_auth(&token);
        let request = request
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        let answer = Answer::of(request.body(body)).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.body);
        answer.assert_error(status, code);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let post = || mcp.bare(Method::POST, "/mcp").bearer_auth(&token);
    let only_json = post().header("accept", "application/json").json(&ping);
    Answer::of(only_json)
        .await
        .assert_error(406, "invalid_request");
    let text = post()
        .header("accept", "application/json, text/event-stream")
        .body(ping.to_string());
    Answer::of(text)
        .await
        .assert_error(415, "unsupported_media_type");
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let answer = Answer::of(mcp.bare(method, "/mcp").bearer_auth(&token)).await;
        answer.assert_error(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "POST");
    }
    Answer::of(mcp.bare(Method::GET, "/elsewhere"))
        .await
        .assert_error(404, "not_found");
    assert!(mcp.recorded().await.is_empty());
    mcp.ask("ada", "ping", json!({})).await.assert_ok();
}

async fn a_connection_that_says_nothing_is_closed(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let address = mcp
        .url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/mcp")
        .unwrap();
    let mut silent = Vec::new();
    // Nothing, the beginning of either protocol, and half a head.
    for head in [
        "",
        "P",
        "PRI * HTTP/2",
        "POST /mcp HTTP/1.1\r\nhost: localh",
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        silent.push(async move {
            let mut rest = Vec::new();
            let closed = timeout(PATIENCE * 2, socket.read_to_end(&mut rest)).await;
            closed.is_ok_and(|closed| closed.is_ok())
        });
    }
    assert_eq!(futures::future::join_all(silent).await, [true; 4]);
}

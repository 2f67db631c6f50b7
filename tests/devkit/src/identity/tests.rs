//! What a verifier sees of the provider, through the token library the back end uses.

use std::os::unix::fs::PermissionsExt;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use super::*;

async fn key_set(provider: &IdentityProvider) -> Result<JwkSet> {
    let url = format!("{}/api/auth/jwks", provider.issuer());
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

/// The `sub` of a token that is valid under the published keys.
async fn verify(provider: &IdentityProvider, token: &str) -> Result<String> {
    let keys = key_set(provider).await?;
    let kid = decode_header(token)?.kid.context("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).context("unknown kid")?)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[provider.issuer()]);
    validation.set_audience(&[provider.issuer()]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Value>(token, &key, &validation)?.claims;
    Ok(claims["sub"]
        .as_str()
        .context("sub is no string")?
        .to_owned())
}

#[tokio::test]
async fn an_honest_token_verifies_and_a_forged_one_does_not() -> Result<()> {
    let provider = IdentityProvider::start(IdentityOptions::default()).await?;
    let token = provider.token("ada");
    assert_eq!(verify(&provider, &token).await?, "ada");
    assert_eq!(decode_header(&token)?.typ, None);

    let forged = [
        TokenSpec {
            expires_in: -3600,
            ..TokenSpec::default()
        },
        TokenSpec {
            claims: json!({"aud": "elsewhere"}),
            ..TokenSpec::default()
        },
        TokenSpec {
            claims: json!({"iss": "elsewhere"}),
            ..TokenSpec::default()
        },
        TokenSpec {
            claims: json!({"sub": null}),
            ..TokenSpec::default()
        },
        TokenSpec {
            kid: Some("unknown".into()),
            ..TokenSpec::default()
        },
        TokenSpec {
            signature: Signature::ForeignKey,
            ..TokenSpec::default()
        },
        TokenSpec {
            signature: Signature::Hs256WithPublicKey,
            ..TokenSpec::default()
        },
        TokenSpec {
            signature: Signature::Unsigned,
            ..TokenSpec::default()
        },
    ];
    for spec in forged {
        let token = provider.token_with(&spec)?;
        assert!(verify(&provider, &token).await.is_err(), "{spec:?}");
    }
    let honest = provider.token_with(&TokenSpec::default())?;
    assert_eq!(verify(&provider, &honest).await?, "demo");
    Ok(())
}

#[tokio::test]
async fn keys_rotate_are_withdrawn_and_can_be_unreachable() -> Result<()> {
    let provider = IdentityProvider::start(IdentityOptions::default()).await?;
    let old = provider.token("ada");
    provider.rotate()?;
    let new = provider.token("ada");
    assert_eq!(verify(&provider, &old).await?, "ada");
    assert_eq!(verify(&provider, &new).await?, "ada");
    provider.withdraw_old_keys();
    assert!(verify(&provider, &old).await.is_err());
    assert_eq!(verify(&provider, &new).await?, "ada");
    provider.set_down(true);
    assert!(key_set(&provider).await.is_err());
    assert_eq!(provider.jwks_fetches(), 5);
    Ok(())
}

#[tokio::test]
async fn a_kept_key_is_private_and_survives() -> Result<()> {
    let path = std::env::temp_dir().join(format!("errand-key-{}", uuid::Uuid::now_v7()));
    let options = IdentityOptions {
        key_file: Some(path.clone()),
        port: None,
    };
    let first = key_set(&IdentityProvider::start(options.clone()).await?).await?;
    let second = key_set(&IdentityProvider::start(options).await?).await?;
    assert_eq!(first, second);
    assert_eq!(
        std::fs::metadata(&path)?.permissions().mode() & 0o777,
        0o600
    );
    std::fs::remove_file(path)?;
    Ok(())
}

#[tokio::test]
async fn a_page_elsewhere_may_ask_for_a_token_by_name() -> Result<()> {
    let provider = IdentityProvider::start(IdentityOptions::default()).await?;
    let url = format!("{}/api/auth/token", provider.issuer());
    let http = reqwest::Client::new();
    let requests = [
        (http.get(&url), Some("demo")),
        (http.post(&url), Some("demo")),
        (http.get(&url).query_user("ada"), Some("ada")),
        (http.post(&url).json(&json!({"user": "ada"})), Some("ada")),
        (http.post(&url).json(&json!({"user": 7})), None),
        (http.post(&url).body("{"), None),
        (http.get(&url).query_user("a%20b"), None),
        (http.get(&url).query_user(""), None),
        (http.get(&url).query_user(&"a".repeat(65)), None),
    ];
    for (request, expected) in requests {
        let response = request.send().await?;
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let status = response.status();
        let body: Value = response.json().await?;
        if let Some(user) = expected {
            let token = body["token"].as_str().context("no token")?;
            assert_eq!(verify(&provider, token).await?, user);
        } else {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            assert!(body["message"].is_string());
        }
    }
    let preflight = http.request(Method::OPTIONS, &url).send().await?;
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    let keys = reqwest::get(format!("{}/api/auth/jwks", provider.issuer())).await?;
    assert!(!keys.headers().contains_key("cache-control"));
    Ok(())
}

/// `reqwest`'s own `query` is behind a feature nothing else needs.
trait QueryUser {
    fn query_user(self, user: &str) -> Self;
}

impl QueryUser for reqwest::RequestBuilder {
    fn query_user(self, user: &str) -> Self {
        let (client, request) = self.build_split();
        let mut request = request.expect("a valid request");
        request.url_mut().set_query(Some(&format!("user={user}")));
        Self::from_parts(client, request)
    }
}

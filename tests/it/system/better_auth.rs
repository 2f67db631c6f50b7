//! A real Better Auth (`tests/better-auth/`) as a process of its own, on a database of the test cluster and on one port
//! across its restarts. Also what a thief of its private key could do.

use std::{path::PathBuf, process::Stdio};

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use errand_devkit::process::{Process, free_port};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::process::Command;

use super::{Answer, PATIENCE, empty_database};

/// What every account here is opened with.
pub(crate) const PASSWORD: &str = "correct horse";

/// A provider. It goes when this is dropped.
pub(crate) struct BetterAuth {
    url: String,
    port: u16,
    database_url: String,
    db: PgPool,
    http: reqwest::Client,
    process: Option<Process>,
}

/// A signing key as the provider keeps it.
pub(crate) struct StolenKey {
    kid: String,
    pair: Ed25519KeyPair,
    /// The public half as it is published.
    jwk: Value,
}

impl BetterAuth {
    /// A provider that has an address and does not run yet. None where it is not installed, and then says so.
    pub(crate) async fn prepare() -> Option<Self> {
        if let Some(missing) = missing() {
            #[expect(
                clippy::print_stderr,
                reason = "a test that proves nothing must say so"
            )]
            {
                eprintln!("skipped: {missing}");
            }
            return None;
        }
        let port = free_port();
        let database_url = empty_database().await;
        Some(Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            db: PgPool::connect_lazy(&database_url).expect("a URL"),
            database_url,
            http: reqwest::Client::new(),
            process: None,
        })
    }

    /// One that runs.
    pub(crate) async fn start() -> Option<Self> {
        let mut provider = Self::prepare().await?;
        provider.run(&[]).await;
        Some(provider)
    }

    /// Starts the process, for the first time or again, with these variables in its environment.
    pub(crate) async fn run(&mut self, environment: &[(&str, &str)]) {
        let mut node = Command::new("node");
        node.current_dir(folder())
            .args(["server.mjs", &self.port.to_string()])
            .env("DATABASE_URL", &self.database_url)
            .env_remove("NODE_ENV")
            .envs(environment.iter().copied())
            // It ends when this pipe does, so also when the tests are killed.
            .stdin(Stdio::piped());
        let mut process = Process::start_heard("Better Auth", &mut node, |_| ()).expect("starts");
        let ready = process.until_says(&self.url, PATIENCE).await;
        ready.unwrap_or_else(|error| panic!("{error:#}"));
        self.process = Some(process);
    }

    /// Takes it down. Sessions, users and keys stay in its database.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().await.expect("dies");
    }

    /// The issuer.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/auth/{path}", self.url);
        self.http.request(method, url)
    }

    /// Opens an account.
    pub(crate) async fn sign_up(&self, name: &str) -> Answer {
        let body = json!({"name": name, "email": email(name), "password": PASSWORD});
        Answer::of(self.request(Method::POST, "sign-up/email").json(&body)).await
    }

    /// Signs in; the session token.
    pub(crate) async fn sign_in(&self, name: &str) -> String {
        let body = json!({"email": email(name), "password": PASSWORD});
        let answer = Answer::of(self.request(Method::POST, "sign-in/email").json(&body)).await;
        text(&answer.assert_ok()["token"])
    }

    /// A JWT for a session.
    pub(crate) async fn token(&self, session: &str) -> String {
        let answer = Answer::of(self.request(Method::GET, "token").bearer_auth(session)).await;
        text(&answer.assert_ok()["token"])
    }

    /// A new account, signed in: the user's id and a session token.
    pub(crate) async fn member(&self, name: &str) -> (String, String) {
        let made = self.sign_up(name).await;
        let id = text(&made.assert_ok()["user"]["id"]);
        (id, self.sign_in(name).await)
    }

    /// Better Auth rotates by age: a key whose time is over signs nothing more, the next token makes a new one, and
    /// the old one stays published for 30 days.
    pub(crate) async fn rotate(&self) {
        let age = r#"update jwks set "expiresAt" = now() where "expiresAt" is null"#;
        let aged = sqlx::query(age).execute(&self.db).await.expect("keys");
        assert_eq!(aged.rows_affected(), 1, "one key was in use");
    }

    /// Sessions that are open.
    pub(crate) async fn sessions(&self) -> i64 {
        let count = sqlx::query_scalar("select count(*) from session").fetch_one(&self.db);
        count.await.expect("sessions")
    }

    /// How often a path of it was asked for since it runs.
    pub(crate) async fn requests(&self, path: &str) -> u64 {
        let answer = self.http.get(format!("{}/requests", self.url)).send().await;
        let counts: Value = answer.expect("an answer").json().await.expect("counts");
        counts[format!("/api/auth/{path}")].as_u64().unwrap_or(0)
    }

    /// The only key it has.
    pub(crate) async fn steal_key(&self) -> StolenKey {
        let select = r#"select id, "publicKey", "privateKey" from jwks"#;
        let row = sqlx::query_as::<_, (String, String, String)>(select).fetch_one(&self.db);
        let (kid, public, private) = row.await.expect("one key");
        let jwk: Value = serde_json::from_str(&public).expect("a JWK");
        let private: Value = serde_json::from_str(&private).expect("a readable JWK");
        let bytes = |jwk: &Value, member: &str| decode(jwk[member].as_str().expect("a member"));
        let pair =
            Ed25519KeyPair::from_seed_and_public_key(&bytes(&private, "d"), &bytes(&jwk, "x"));
        let pair = pair.expect("a key pair");
        StolenKey { kid, pair, jwk }
    }
}

impl StolenKey {
    /// The header that Better Auth would write.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": "EdDSA", "kid": self.kid})
    }

    /// A token of any header and claims, with the signature of the provider's own key.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        seal(header, claims, |message| self.pair.sign(message))
    }

    /// HS256 tokens under the key's own name, whose secret is the public key in each form in which a verifier may hold it.
    pub(crate) fn confuse(&self, claims: &Value) -> Vec<String> {
        let raw = self.pair.public_key().as_ref();
        let x = self.jwk["x"].as_str().expect("a coordinate");
        // The only structure that a PEM of Ed25519 has in front of its 32 bytes.
        let prefix = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];
        let der = [&prefix[..], raw].concat();
        let base64 = base64::prelude::BASE64_STANDARD.encode(&der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        let header = json!({"alg": "HS256", "kid": self.kid});
        let secrets = [
            raw.to_vec(),
            x.into(),
            self.jwk.to_string().into(),
            der,
            pem.into(),
        ];
        let with = |secret: Vec<u8>| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            seal(&header, claims, |message| hmac::sign(&key, message))
        };
        secrets.into_iter().map(with).collect()
    }

    /// A token that says that it needs no signature, in a spelling of its own.
    pub(crate) fn unsigned(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": self.kid});
        seal(&header, claims, |_| [])
    }
}

/// What a token claims.
pub(crate) fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a token");
    serde_json::from_slice(&decode(claims)).expect("claims")
}

/// The name of a token's key.
pub(crate) fn kid(token: &str) -> String {
    let header = token.split('.').next().expect("a token");
    let header: Value = serde_json::from_slice(&decode(header)).expect("a header");
    text(&header["kid"])
}

pub(crate) fn email(name: &str) -> String {
    format!("{name}@example.com")
}

fn seal<S: AsRef<[u8]>>(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> S) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(header.to_string().as_bytes());
    let message = format!("{header}.{}", encode(claims.to_string().as_bytes()));
    let signature = encode(sign(message.as_bytes()).as_ref());
    format!("{message}.{signature}")
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("better-auth")
}

/// What a machine lacks to run Better Auth.
fn missing() -> Option<&'static str> {
    let node = std::process::Command::new("node").arg("--version").output();
    if node.is_err() {
        return Some("no Node on this machine");
    }
    let installed = folder().join("node_modules/better-auth/package.json");
    (!installed.exists())
        .then_some("Better Auth is not installed; run `npm ci` in tests/better-auth")
}

//! The provider's Ed25519 keys: making, keeping and publishing them. Knows nothing of claims.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use aws_lc_rs::{digest, hmac};
use serde_json::{Value, json};

use super::encode;

/// A key pair and the id it is published under.
#[derive(Debug)]
pub(super) struct SigningKey {
    id: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key, in memory only.
    pub(super) fn generate() -> Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("cannot generate a key"))?;
        Ok(Self::new(pair))
    }

    /// The key in the file (PKCS#8), which is created with mode 0600 if it does not exist.
    pub(super) fn load_or_create(path: &Path) -> Result<Self> {
        let at = || format!("the key file {}", path.display());
        match fs::read(path) {
            Ok(der) => {
                let pair = Ed25519KeyPair::from_pkcs8(&der)
                    .map_err(|error| anyhow!("no Ed25519 key ({error}); remove it for a new one"))
                    .with_context(at)?;
                return Ok(Self::new(pair));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(at),
        }
        let key = Self::generate()?;
        let der = key
            .pair
            .to_pkcs8()
            .map_err(|_| anyhow!("cannot encode the key"))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(der.as_ref()))
            .with_context(at)?;
        Ok(key)
    }

    fn new(pair: Ed25519KeyPair) -> Self {
        // Derived from the key, so that a kept key keeps its id.
        let id = encode(digest::digest(&digest::SHA256, pair.public_key().as_ref()));
        Self { id, pair }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// HMAC-SHA256 keyed with the public key's bytes.
    pub(super) fn confuse(&self, message: &[u8]) -> Vec<u8> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        hmac::sign(&secret, message).as_ref().to_vec()
    }

    /// The public half, with the members Better Auth publishes (no `use`).
    pub(super) fn to_jwk(&self) -> Value {
        json!({
            "alg": "EdDSA",
            "crv": "Ed25519",
            "x": encode(self.pair.public_key()),
            "kty": "OKP",
            "kid": self.id,
        })
    }
}

//! The page itself: `index.html` with the addresses of its files, and what it has to know of its server.

use bytes::Bytes;
use serde_json::json;

use super::assets::{self, Asset};

/// Where `index.html` says what is filled in here.
const MODULES: &str = "<!-- modules -->";
const CONFIGURATION: &str = "{configuration}";

/// What the page has to know of its server.
#[derive(Debug)]
pub(super) struct Configuration {
    /// The identity provider.
    pub(super) auth_url: String,
    /// Sign in by picking a name, at a stand-in that trusts everybody.
    pub(super) stand_in: bool,
}

/// The page for this configuration, with the files of this version.
pub(super) fn of(configuration: &Configuration, version: &str) -> Asset {
    let at = format!("/ui/{version}/");
    let modules = assets::modules("app.js");
    let modules = modules
        .iter()
        .map(|path| format!("<link rel=\"modulepreload\" href=\"{at}{path}\">"));
    let modules = modules.collect::<Vec<_>>().join("\n  ");
    let configuration =
        json!({"auth_url": configuration.auth_url, "stand_in": configuration.stand_in});
    let page = assets::text("index.html")
        .replace("\"/ui/", &format!("\"{at}"))
        .replace(MODULES, &modules)
        .replace(CONFIGURATION, &escaped(&configuration.to_string()));
    Asset::new("text/html; charset=utf-8", Bytes::from(page))
}

/// As an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

//! The page itself: `index.html` with the addresses of its files, what it has to know of its server, and its modules and styles packed.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::json;

use super::{
    assets::{self, Asset},
    pack::{self, PackError},
};

/// The module that the page begins with, and the one that it goes on with when somebody is signed in.
const START: &str = "app.js";
const SIGNED_IN: &str = "signed-in.js";
/// The module of the operator's page.
const ADMIN: &str = "admin.js";
/// All styles of a page in one; beside the single ones, so that what these say of other files holds.
const STYLES: &str = "css/all.css";
const ADMIN_STYLES: &str = "css/all-admin.css";

/// Where `index.html` says what is filled in here.
const MODULES: &str = "<!-- modules -->";
const CONFIGURATION: &str = "{configuration}";
/// Around the path of a style in `index.html`.
const STYLE: (&str, &str) = ("<link rel=\"stylesheet\" href=\"/ui/", "\">");

/// What the page has to know of its server.
#[derive(Debug)]
pub(super) struct Configuration {
    /// The identity provider.
    pub(super) auth_url: String,
    /// Sign in by picking a name, at a stand-in that trusts everybody.
    pub(super) stand_in: bool,
}

/// What is made of all files together.
#[derive(Debug)]
pub(super) struct Built {
    /// The name of all files as they are.
    pub(super) version: String,
    /// `index.html`.
    pub(super) page: Asset,
    /// `admin.html`.
    pub(super) admin: Asset,
    /// By path, within the version.
    pub(super) packed: HashMap<&'static str, Asset>,
}

/// Builds the page. Modules that cannot be packed are served one by one, as they are.
pub(super) fn build(configuration: &Configuration) -> Built {
    let version = assets::version();
    let at = format!("/ui/{version}/");
    let index = assets::text("index.html").unwrap_or_default();
    let (index, all_styles) = styles(&index, STYLES);
    let admin = assets::text("admin.html").unwrap_or_default();
    let (admin, admin_styles) = styles(&admin, ADMIN_STYLES);
    let (mut packed, preloads) = modules(&at).unwrap_or_else(|error| {
        tracing::error!(%error, "the page's modules are not packed");
        Default::default()
    });
    packed.insert(STYLES, asset("text/css; charset=utf-8", all_styles));
    packed.insert(ADMIN_STYLES, asset("text/css; charset=utf-8", admin_styles));
    let configuration =
        json!({"auth_url": configuration.auth_url, "stand_in": configuration.stand_in});
    let page = index
        .replace("\"/ui/", &format!("\"{at}"))
        .replace(MODULES, &preloads)
        .replace(CONFIGURATION, &escaped(&configuration.to_string()));
    Built {
        version,
        page: asset("text/html; charset=utf-8", page),
        admin: asset(
            "text/html; charset=utf-8",
            admin.replace("\"/ui/", &format!("\"{at}")),
        ),
        packed,
    }
}

/// The packs by their paths, and what has them fetched before they are asked for.
fn modules(at: &str) -> Result<(HashMap<&'static str, Asset>, String), PackError> {
    let first = pack::pack(START, None)?;
    let second = pack::pack(SIGNED_IN, Some((START, &first)))?;
    let admin = pack::pack(ADMIN, None)?;
    let later = [SIGNED_IN.to_owned()].into_iter().chain(second.vendored);
    let preload = |path: String| {
        format!("<link rel=\"modulepreload\" href=\"{at}{path}\" fetchpriority=\"low\">")
    };
    let preloads: Vec<String> = later.map(preload).collect();
    let script = |text| asset("text/javascript; charset=utf-8", text);
    let packed = [
        (START, script(first.text)),
        (SIGNED_IN, script(second.text)),
        (ADMIN, script(admin.text)),
    ];
    Ok((packed.into(), preloads.join("\n  ")))
}

/// A page with one style in place of all, and that one, in their order.
fn styles(index: &str, together: &str) -> (String, String) {
    let (mut page, mut all) = (String::new(), String::new());
    for line in index.lines() {
        let path = line
            .trim()
            .strip_prefix(STYLE.0)
            .and_then(|rest| rest.strip_suffix(STYLE.1));
        let Some(path) = path else {
            page.push_str(line);
            page.push('\n');
            continue;
        };
        if all.is_empty() {
            page.push_str(&format!("  {}{together}{}\n", STYLE.0, STYLE.1));
        }
        all.push_str(&assets::text(path).unwrap_or_default());
        all.push('\n');
    }
    (page, all)
}

fn asset(kind: &'static str, text: String) -> Asset {
    Asset::new(kind, Bytes::from(text))
}

/// As an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

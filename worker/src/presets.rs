//! What is known beforehand of providers and models: `presets.toml`, which is data, and how a request's URL follows from it.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

/// The preset of whoever is not known.
const UNKNOWN: &str = "compatible";
/// Where the model's name goes in a path.
const MODEL: &str = "{model}";

static PRESETS: LazyLock<Presets> =
    LazyLock::new(|| toml::from_str(include_str!("presets.toml")).expect("a test reads it"));

/// `reasoning_effort` of a request, by the names that providers have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    /// No reasoning at all.
    None,
    /// As little as the model can.
    Minimal,
    /// Little.
    Low,
    /// The default of most models that reason.
    Medium,
    /// Much.
    High,
    /// More than that.
    Xhigh,
    /// All that the model can.
    Max,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Presets {
    provider: Vec<Preset>,
    model: Vec<ModelPreset>,
}

/// What one provider takes. The fields are explained in `presets.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preset {
    pub(crate) name: String,
    pub(crate) system: String,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    under: String,
    pub(crate) base_url: Option<String>,
    #[serde(default = "chat_completions")]
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default = "authorization")]
    pub(crate) key_header: String,
    #[serde(default)]
    pub(crate) needs_key: bool,
    pub(crate) default_model: Option<String>,
    #[serde(default)]
    efforts: Vec<ReasoningEffort>,
    #[serde(default = "yes")]
    pub(crate) stream_options: bool,
}

/// What models of one family need.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelPreset {
    family: String,
    since: String,
    effort: Option<ReasoningEffort>,
    unsigned_call: Option<Map<String, Value>>,
}

fn chat_completions() -> String {
    "/chat/completions".to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn yes() -> bool {
    true
}

impl Preset {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.provider.iter().find(|preset| preset.name == name)
    }

    /// The names that there are.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.provider.iter().map(|preset| preset.name.as_str())
    }

    /// Whoever is at this base URL.
    pub(crate) fn at(base_url: &str) -> &'static Self {
        let url = Url::parse(base_url).ok();
        let known = url.and_then(|url| PRESETS.provider.iter().find(|preset| preset.is_at(&url)));
        known.unwrap_or_else(Self::unknown)
    }

    fn unknown() -> &'static Self {
        Self::named(UNKNOWN).unwrap_or(&PRESETS.provider[0])
    }

    fn is_at(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let with_port = url.port().map(|port| format!("{host}:{port}"));
        let is_host = |known: &String| match known.starts_with(['.', '-']) {
            true => host.ends_with(known.as_str()),
            false => host == known || with_port.as_ref() == Some(known),
        };
        self.hosts.iter().any(is_host) && url.path().starts_with(&self.under)
    }

    /// Whether it knows this effort.
    pub(crate) fn knows(&self, effort: ReasoningEffort) -> bool {
        self.efforts.is_empty() || self.efforts.contains(&effort)
    }

    /// The names of the efforts that it knows, if it does not know all of them.
    pub(crate) fn efforts(&self) -> &[ReasoningEffort] {
        &self.efforts
    }

    /// The deployment that a base URL names in its path, where models are in paths.
    pub(crate) fn deployment<'a>(&self, base_url: &'a str) -> Option<&'a str> {
        let (before, _) = self.path.split_once(MODEL)?;
        let (_, rest) = base_url.split_once(before)?;
        let name = rest.split(['/', '?', '#']).next()?;
        (!name.is_empty()).then_some(name)
    }

    /// Where requests for this model go. `api_version` takes the place of the preset's, if it has one. None if the base URL is none.
    ///
    /// A base URL that has the path behind it already, in part or as a whole, is taken as it is: consoles offer such URLs to be copied.
    pub(crate) fn url(
        &self,
        base_url: &str,
        model: &str,
        api_version: Option<&str>,
    ) -> Option<Url> {
        let mut url = Url::parse(base_url).ok()?;
        let base = url.path().trim_end_matches('/').to_owned();
        let (before, after) = self.path.split_once(MODEL).unwrap_or(("", &self.path));
        let base = match base.strip_suffix(after) {
            Some(base) => base,
            None => &base,
        };
        // A deployment in the base URL is that of its own model; another one's takes its place.
        let base = match before.is_empty() {
            true => base,
            false => base.split_once(before).map_or(base, |(base, _)| base),
        };
        url.set_path(base);
        {
            let mut segments = url.path_segments_mut().ok()?;
            segments.pop_if_empty();
            let own = match before.is_empty() {
                true => after,
                false => &self.path,
            };
            for segment in own.split('/').filter(|segment| !segment.is_empty()) {
                segments.push(&segment.replace(MODEL, model));
            }
        }
        let given: Vec<String> = url
            .query_pairs()
            .map(|(name, _)| name.into_owned())
            .collect();
        for (name, value) in &self.query {
            if !given.contains(name) {
                let value = match (name.as_str(), api_version) {
                    ("api-version", Some(version)) => version,
                    _ => value,
                };
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Some(url)
    }
}

/// The effort that a model needs when it is given tools; none if that is not known.
pub(crate) fn needed_effort(model: &str) -> Option<ReasoningEffort> {
    of_model(model).find_map(|preset| preset.effort)
}

/// Fields for the first call of an answer of the turn that this model has not given; none if it takes such an answer without.
pub(crate) fn unsigned_call(model: &str) -> Option<&'static Map<String, Value>> {
    of_model(model).find_map(|preset| preset.unsigned_call.as_ref())
}

fn of_model(model: &str) -> impl Iterator<Item = &'static ModelPreset> {
    // Gateways put the maker in front: `openai/gpt-6-luna`.
    let name = model
        .rsplit('/')
        .next()
        .unwrap_or(model)
        .to_ascii_lowercase();
    PRESETS.model.iter().filter(move |preset| {
        let version = name.strip_prefix(&preset.family).and_then(version);
        version.is_some_and(|version| Some(version) >= self::version(&preset.since))
    })
}

/// The version at the beginning of a text: `5.6-luna` is (5, 6), `6-luna` is (6, 0), `4o` is (4, 0).
fn version(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let (major, rest) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let minor = rest.strip_prefix('.').and_then(number).unwrap_or(0);
    Some((number(major)?, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_names_nobody_twice() {
        let mut names: Vec<&str> = Preset::names().collect();
        assert!(names.len() > 10 && Preset::named(UNKNOWN).is_some());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PRESETS.provider.len());
        for preset in &PRESETS.provider {
            if let Some(base_url) = &preset.base_url {
                assert!(Url::parse(base_url).is_ok(), "{base_url}");
                // Where a provider is, it is known by; a port of this machine tells nothing.
                let at = Preset::at(base_url);
                assert!(
                    at.name == preset.name || preset.hosts.is_empty(),
                    "{}",
                    preset.name
                );
            }
        }
        for preset in &PRESETS.model {
            assert!(version(&preset.since).is_some(), "{}", preset.family);
        }
    }

    #[test]
    fn a_provider_is_known_by_where_it_is() {
        for (base_url, name) in [
            ("https://api.openai.com/v1", "openai"),
            (
                "https://generativelanguage.googleapis.com/v1beta/openai",
                "gemini",
            ),
            ("https://us-central1-aiplatform.googleapis.com/v1", "vertex"),
            ("https://x.openai.azure.com/openai/v1", "azure"),
            ("https://x.openai.azure.com", "azure-deployments"),
            (
                "https://x.services.ai.azure.com/openai/deployments/d",
                "azure-deployments",
            ),
            ("http://127.0.0.1:11434/v1", "ollama"),
            ("http://127.0.0.1:8000/v1", "compatible"),
            ("https://api.openai.com.example.com/v1", "compatible"),
            ("https://openai.azure.com.example.com/", "compatible"),
            ("nonsense", "compatible"),
        ] {
            assert_eq!(Preset::at(base_url).name, name, "{base_url}");
        }
    }

    #[test]
    fn a_url_follows_from_base_and_model() {
        let azure = "azure-deployments";
        let version = "api-version=2024-10-21";
        for (name, base_url, model, url) in [
            (
                "openai",
                "https://h/v1/",
                "m",
                "https://h/v1/chat/completions".to_owned(),
            ),
            (
                "openai",
                "https://h",
                "m",
                "https://h/chat/completions".to_owned(),
            ),
            (
                "openai",
                "https://h/v1?team=a",
                "m",
                "https://h/v1/chat/completions?team=a".to_owned(),
            ),
            (
                "openai",
                "https://h/v1/chat/completions",
                "m",
                "https://h/v1/chat/completions".to_owned(),
            ),
            (
                "azure",
                "https://h/openai/v1",
                "m",
                "https://h/openai/v1/chat/completions".to_owned(),
            ),
            (
                azure,
                "https://h",
                "my d/e",
                format!("https://h/openai/deployments/my%20d%2Fe/chat/completions?{version}"),
            ),
            (
                azure,
                "https://h/gate",
                "d",
                format!("https://h/gate/openai/deployments/d/chat/completions?{version}"),
            ),
            (
                azure,
                "https://h/openai/deployments/d/",
                "d",
                format!("https://h/openai/deployments/d/chat/completions?{version}"),
            ),
            (
                azure,
                "https://h/openai/deployments/d",
                "e",
                format!("https://h/openai/deployments/e/chat/completions?{version}"),
            ),
            (
                azure,
                "https://h/openai/deployments/d/chat/completions?api-version=2099-01-01",
                "d",
                "https://h/openai/deployments/d/chat/completions?api-version=2099-01-01".to_owned(),
            ),
        ] {
            let preset = Preset::named(name).expect("a preset");
            let found = preset.url(base_url, model, None).expect("a URL");
            assert_eq!(found.as_str(), url, "{base_url}");
        }
        let preset = Preset::named(azure).expect("a preset");
        let url = preset
            .url("https://h", "d", Some("2030-01-01"))
            .expect("a URL");
        assert_eq!(url.query(), Some("api-version=2030-01-01"));
        let deployment = |url| preset.deployment(url);
        assert_eq!(deployment("https://h/openai/deployments/d?x=1"), Some("d"));
        assert_eq!(deployment("https://h/"), None);
    }

    #[test]
    fn what_models_need_is_known_by_family_and_version() {
        let none = Some(ReasoningEffort::None);
        for model in [
            "gpt-5.6",
            "gpt-5.6-luna",
            "gpt-6-luna",
            "openai/gpt-6-sol",
            "GPT-10",
        ] {
            assert_eq!(needed_effort(model), none, "{model}");
        }
        for model in [
            "gpt-4.1-mini",
            "gpt-4o",
            "gpt-5",
            "gpt-5.4-mini",
            "gemini-3.5-flash-lite",
            "gpt-oss-120b",
            "",
        ] {
            assert_eq!(needed_effort(model), None, "{model}");
        }
        assert!(unsigned_call("gemini-3.5-flash-lite").is_some());
        assert!(unsigned_call("google/gemini-4-pro").is_some());
        assert!(unsigned_call("gemini-2.5-flash").is_none());
        assert!(unsigned_call("gpt-6-luna").is_none());
    }
}

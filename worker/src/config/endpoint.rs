//! The models of a configuration: each with all that a request to it needs.

use clap::ValueEnum;
use errand_server::config::Invalid;
use secrecy::SecretString;
use url::Url;

use super::{ModelConfig, exposed, given, is_set};
use crate::presets::{Preset, ReasoningEffort};

/// Fallbacks that can be named.
const MAX_FALLBACKS: usize = 8;

/// One model at one provider.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// What is known of the provider.
    pub(crate) preset: &'static Preset,
    /// Where requests go, path and query included.
    pub(crate) url: Url,
    /// Empty for a provider that wants none.
    pub(crate) key: SecretString,
    /// As the provider knows it.
    pub(crate) model: String,
    /// The effort that is configured.
    pub(crate) effort: Option<ReasoningEffort>,
}

impl ModelConfig {
    /// The configured model, and behind it its fallbacks, in order.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, Invalid> {
        let mut endpoints = vec![self.first()?];
        endpoints.extend(self.fallbacks()?);
        Ok(endpoints)
    }

    fn first(&self) -> Result<Endpoint, Invalid> {
        let names = || Preset::names().collect::<Vec<_>>().join(", ");
        let preset = self.preset().ok_or_else(|| {
            Invalid::new("OPENAI_PROVIDER", format!("expected one of {}", names()))
        })?;
        if self.base_url().is_empty() {
            let why = format!(
                "missing; where {} is differs from one to the other",
                preset.name
            );
            return Err(Invalid::new("OPENAI_BASE_URL", why));
        }
        // A deployment that the base URL names is meant, whatever the model is called.
        let deployment = preset.deployment(self.base_url());
        let url = self
            .url(preset, self.base_url(), deployment.unwrap_or(self.model()))
            .ok_or_else(|| Invalid::new("OPENAI_BASE_URL", "expected an http or https URL"))?;
        let has_url = given(&self.openai_base_url).is_some();
        if !has_url && preset.needs_key && self.api_key().is_empty() {
            return Err(Invalid::new(
                "OPENAI_API_KEY",
                "missing; set it, or GEMINI_API_KEY, or OPENAI_BASE_URL for a provider that wants no key",
            ));
        }
        if self.model().is_empty() {
            let why = format!("missing; there is no default for {}", preset.name);
            return Err(Invalid::new("OPENAI_MODEL", why));
        }
        Ok(Endpoint {
            preset,
            url,
            key: self.api_key().into(),
            model: self.model().to_owned(),
            effort: self.effort(preset)?,
        })
    }

    fn effort(&self, preset: &Preset) -> Result<Option<ReasoningEffort>, Invalid> {
        if given(&self.openai_reasoning_effort).is_none() {
            return Ok(None);
        }
        let effort = self
            .reasoning_effort()
            .filter(|effort| preset.knows(*effort));
        if effort.is_some() {
            return Ok(effort);
        }
        let known = match preset.efforts() {
            [] => ReasoningEffort::value_variants(),
            known => known,
        };
        let names = known.iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
        let names = format!("expected one of {}", names.join(", "));
        Err(Invalid::new("OPENAI_REASONING_EFFORT", names))
    }

    fn fallbacks(&self) -> Result<Vec<Endpoint>, Invalid> {
        const VARIABLE: &str = "OPENAI_FALLBACK_MODELS";
        let entries = given(&self.openai_fallback_models)
            .unwrap_or_default()
            .split(',');
        let entries: Vec<&str> = entries
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .collect();
        if entries.len() > MAX_FALLBACKS {
            return Err(Invalid::new(
                VARIABLE,
                format!("expected {MAX_FALLBACKS} at most"),
            ));
        }
        let keys = exposed(&self.openai_fallback_api_keys);
        let mut keys = keys.split(',').map(str::trim);
        let fallbacks: Result<Vec<Endpoint>, Invalid> = entries
            .into_iter()
            .map(|entry| {
                let (model, place) = place(entry);
                let (preset, base_url, key) = match place {
                    None => (self.preset(), self.base_url(), self.api_key()),
                    Some(place) => {
                        let preset = Preset::named(place).unwrap_or_else(|| Preset::at(place));
                        let is_name = preset.name == place;
                        let base_url = if is_name {
                            preset.base_url.as_deref()
                        } else {
                            Some(place)
                        };
                        let key = keys.next().unwrap_or_default();
                        let is_gemini = preset.name == "gemini" && key.is_empty();
                        let key = if is_gemini {
                            exposed(&self.gemini_api_key)
                        } else {
                            key
                        };
                        if is_name && preset.needs_key && key.is_empty() {
                            let why = format!("missing the key of {model}@{}", preset.name);
                            return Err(Invalid::new("OPENAI_FALLBACK_API_KEYS", why));
                        }
                        (Some(preset), base_url.unwrap_or_default(), key)
                    }
                };
                let endpoint = preset.and_then(|preset| {
                    Some(Endpoint {
                        preset,
                        url: self.url(preset, base_url, model)?,
                        key: key.into(),
                        model: model.to_owned(),
                        // What is configured is for the model that is: another may refuse it.
                        effort: None,
                    })
                });
                let expected =
                    "expected names of models, NAME@PRESET or NAME@URL, separated by commas";
                endpoint
                    .filter(|endpoint| !endpoint.model.is_empty())
                    .ok_or_else(|| Invalid::new(VARIABLE, expected))
            })
            .collect();
        let fallbacks = fallbacks?;
        if keys.any(|key| !key.is_empty()) && is_set(&self.openai_fallback_api_keys) {
            let why = "more than there are fallbacks that name a provider";
            return Err(Invalid::new("OPENAI_FALLBACK_API_KEYS", why));
        }
        Ok(fallbacks)
    }

    fn url(&self, preset: &Preset, base_url: &str, model: &str) -> Option<Url> {
        let url = preset.url(base_url, model, given(&self.openai_api_version))?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    }
}

/// A model and the provider that an entry names: behind the last `@`, since names of models can have one (`@cf/meta/llama`), or before a
/// URL, which can have one, too.
fn place(entry: &str) -> (&str, Option<&str>) {
    let url = entry.find("@http://").or_else(|| entry.find("@https://"));
    if let Some(at) = url {
        return (&entry[..at], Some(&entry[at + 1..]));
    }
    match entry.rsplit_once('@') {
        Some((model, name)) if Preset::named(name).is_some() => (model, Some(name)),
        _ => (entry, None),
    }
}

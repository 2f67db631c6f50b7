//! Who answers, as traces name it.

use url::Url;

use crate::presets::Preset;

/// A provider by its name in OpenTelemetry's conventions, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provider {
    /// That of the protocol, if the host is nobody's that has a name.
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl Provider {
    /// Who is at this URL.
    pub(super) fn of(preset: &'static Preset, url: &Url) -> Self {
        Self {
            name: &preset.system,
            address: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(443),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_named_after_its_preset() {
        let of = |url: &str| Provider::of(Preset::at(url), &Url::parse(url).expect("a URL"));
        let gemini = of("https://generativelanguage.googleapis.com/v1beta/openai");
        assert_eq!((gemini.name, gemini.port), ("gcp.gemini", 443));
        let local = of("http://key:secret@localhost:8081/v1");
        assert_eq!(
            (local.name, local.address.as_str(), local.port),
            ("openai", "localhost", 8081)
        );
    }
}

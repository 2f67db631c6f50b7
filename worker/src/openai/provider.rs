//! Who answers, as traces name it.

/// A provider by its name in OpenTelemetry's conventions, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provider {
    /// That of the protocol, if the host is nobody's that has a name.
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// Hosts, or the ends of hosts, and the names of who is there.
const KNOWN: [(&str, &str); 8] = [
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".openai.azure.com", "azure.ai.openai"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
];

impl Provider {
    /// The one at this URL.
    pub(super) fn at(base_url: &str) -> Self {
        let url = url::Url::parse(base_url).ok();
        let address = url.as_ref().and_then(url::Url::host_str).unwrap_or("");
        let port = url.as_ref().and_then(url::Url::port_or_known_default);
        let known = KNOWN.iter().find(|(host, _)| address.ends_with(host));
        Self {
            name: known.map_or("openai", |(_, name)| name),
            address: address.to_owned(),
            port: port.unwrap_or(443),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_host() {
        let gemini = Provider::at("https://generativelanguage.googleapis.com/v1beta/openai");
        assert_eq!((gemini.name, gemini.port), ("gcp.gemini", 443));
        let local = Provider::at("http://key:secret@localhost:8081/v1");
        assert_eq!(
            (local.name, local.address.as_str(), local.port),
            ("openai", "localhost", 8081)
        );
    }
}

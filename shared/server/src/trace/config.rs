//! What configures traces, under the names that OpenTelemetry has for it
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). The rest of them, such as
//! `OTEL_RESOURCE_ATTRIBUTES`, are read by its own library.

use std::{collections::HashMap, time::Duration};

use clap::ValueEnum;
use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, trace::Sampler};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Invalid, http_url};

/// Where traces go, and of which turns.
#[derive(Debug, Clone, clap::Args)]
pub struct TraceConfig {
    /// Where traces go: the base URL of a collector that takes OTLP over HTTP, such as http://localhost:4318 [default: none, and
    /// nothing is traced]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// Headers for the collector, as name=value separated by commas, values percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true)]
    pub otel_exporter_otlp_headers: Option<SecretString>,

    /// The protocol: http/protobuf is the only one
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf"
    )]
    pub otel_exporter_otlp_protocol: String,

    /// Milliseconds that the collector may take for a batch
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub otel_exporter_otlp_timeout: u64,

    /// The name under which this program is seen in traces [default: the program's]
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    pub otel_service_name: Option<String>,

    /// Which turns are traced: always_on, always_off, traceidratio, or parentbased_ and one of these, which goes by what the client
    /// has decided
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_always_on"
    )]
    pub otel_traces_sampler: String,

    /// The share of turns that traceidratio traces, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG")]
    pub otel_traces_sampler_arg: Option<String>,
}

/// What `OTEL_TRACES_SAMPLER` may be.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum SamplerName {
    AlwaysOn,
    AlwaysOff,
    #[value(name = "traceidratio")]
    Ratio,
    #[value(name = "parentbased_always_on")]
    ParentOrOn,
    #[value(name = "parentbased_always_off")]
    ParentOrOff,
    #[value(name = "parentbased_traceidratio")]
    ParentOrRatio,
}

impl TraceConfig {
    /// Checks what the parser could not.
    ///
    /// # Errors
    /// Names the variable. Nothing is wrong with what is not used.
    pub fn check(&self) -> Result<(), Invalid> {
        let Some(endpoint) = self.endpoint() else {
            return Ok(());
        };
        http_url("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)?;
        if !matches!(
            self.otel_exporter_otlp_protocol.as_str(),
            "" | "http/protobuf"
        ) {
            return Err(Invalid::new(
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "expected http/protobuf, and the endpoint of a collector that takes it (port 4318 as a rule)",
            ));
        }
        self.headers()?;
        self.sampler_name()?;
        self.ratio()?;
        Ok(())
    }

    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.otel_exporter_otlp_endpoint.as_deref().map(str::trim);
        endpoint.filter(|endpoint| !endpoint.is_empty())
    }

    /// Where spans go, if anywhere.
    pub(super) fn url(&self) -> Option<String> {
        let endpoint = self.endpoint()?;
        Some(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.otel_exporter_otlp_timeout)
    }

    /// The headers, their values still percent-encoded.
    pub(super) fn headers(&self) -> Result<HashMap<String, String>, Invalid> {
        let given = self.otel_exporter_otlp_headers.as_ref();
        let given = given.map_or("", |headers| headers.expose_secret());
        let pairs = given.split(',').filter(|pair| !pair.trim().is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let name = http::HeaderName::try_from(name.trim()).ok()?;
                Some((name.to_string(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| {
                Invalid::new(
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "expected name=value, separated by commas",
                )
            })
    }

    fn sampler_name(&self) -> Result<SamplerName, Invalid> {
        let name = match self.otel_traces_sampler.as_str() {
            "" => "parentbased_always_on",
            name => name,
        };
        SamplerName::from_str(name, false).map_err(|_| {
            Invalid::new(
                "OTEL_TRACES_SAMPLER",
                "expected always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                 parentbased_traceidratio",
            )
        })
    }

    fn ratio(&self) -> Result<f64, Invalid> {
        let given = self.otel_traces_sampler_arg.as_deref().unwrap_or_default();
        if given.is_empty() {
            return Ok(1.0);
        }
        let ratio = given.parse().ok();
        ratio
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| Invalid::new("OTEL_TRACES_SAMPLER_ARG", "expected a number from 0 to 1"))
    }

    pub(super) fn sampler(&self) -> Sampler {
        let ratio = Sampler::TraceIdRatioBased(self.ratio().unwrap_or(1.0));
        let by_parent = |root| Sampler::ParentBased(Box::new(root));
        match self.sampler_name().unwrap_or(SamplerName::ParentOrOn) {
            SamplerName::AlwaysOn => Sampler::AlwaysOn,
            SamplerName::AlwaysOff => Sampler::AlwaysOff,
            SamplerName::Ratio => ratio,
            SamplerName::ParentOrOn => by_parent(Sampler::AlwaysOn),
            SamplerName::ParentOrOff => by_parent(Sampler::AlwaysOff),
            SamplerName::ParentOrRatio => by_parent(ratio),
        }
    }

    /// Who speaks.
    pub(super) fn resource(&self, program: &'static str) -> Resource {
        let name = self.otel_service_name.as_deref();
        let name = name.filter(|name| !name.is_empty()).unwrap_or(program);
        Resource::builder()
            .with_service_name(name.to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

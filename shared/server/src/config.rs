//! Configuration that several programs share, and how a program reads its own.
//!
//! Values come from the environment (and `.env`), once, at the start. A missing or malformed value names itself
//! and ends the program with status 2; a secret is never echoed.

use std::{process::ExitCode, time::Duration};

use secrecy::{ExposeSecret, SecretString};

/// How to reach Postgres.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseConfig {
    /// Postgres for queries; a transaction pooler is fine for the API
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Postgres without a pooler: LISTEN, workers, migrations [default: DATABASE_URL]
    #[arg(long, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<SecretString>,
}

impl DatabaseConfig {
    /// The URL for what a transaction pooler cannot do: LISTEN, workers, migrations.
    pub fn direct_url(&self) -> &SecretString {
        match &self.database_direct_url {
            Some(url) if !url.expose_secret().is_empty() => url,
            _ => &self.database_url,
        }
    }

    /// Checks what the parser could not without printing a password.
    pub fn check(&self) -> Result<(), Invalid> {
        postgres_url("DATABASE_URL", &self.database_url)?;
        if let Some(url) = &self.database_direct_url
            && !url.expose_secret().is_empty()
        {
            postgres_url("DATABASE_DIRECT_URL", url)?;
        }
        Ok(())
    }
}

fn postgres_url(variable: &'static str, url: &SecretString) -> Result<(), Invalid> {
    let url = url.expose_secret();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Invalid::new(
            variable,
            "expected postgres://user:password@host/database",
        ));
    }
    url.parse::<sqlx::postgres::PgConnectOptions>()
        .map(|_| ())
        .map_err(|_| Invalid::new(variable, "not a valid Postgres URL"))
}

/// Whether the database may sleep when nobody has anything to do.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SleepConfig {
    /// Time without work after which the process asks the database nothing more, so that it can be suspended [default: never]
    #[arg(long, env = "SLEEP_AFTER", value_parser = duration)]
    pub sleep_after: Option<Duration>,
}

/// Who is to be woken when there is work, because it may sleep.
#[derive(Debug, Clone, clap::Args)]
pub struct WakeConfig {
    /// URLs, separated by commas, at which workers that sleep are woken: http://worker:9091/wake (METRICS_PORT)
    #[arg(long, env = "WAKE_URLS", value_delimiter = ',')]
    pub wake_urls: Vec<String>,
}

impl WakeConfig {
    /// Checks that each is a URL.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
        self.urls().map(|_| ())
    }

    /// The URLs, without what an empty variable or a trailing comma leaves behind.
    ///
    /// # Errors
    /// Names the variable.
    pub fn urls(&self) -> Result<Vec<url::Url>, Invalid> {
        let given = self.wake_urls.iter().map(|url| url.trim());
        given
            .filter(|url| !url.is_empty())
            .map(|url| http_url("WAKE_URLS", url))
            .collect()
    }
}

/// The identity provider: any that signs EdDSA tokens and publishes its keys, as Better Auth does.
#[derive(Debug, Clone, clap::Args)]
pub struct AuthConfig {
    /// The issuer of tokens; its keys are at /api/auth/jwks
    #[arg(long, env = "BETTER_AUTH_URL", hide_env_values = true)]
    pub better_auth_url: String,

    /// Where the issuer's keys are, if elsewhere
    #[arg(long, env = "AUTH_JWKS_URL", hide_env_values = true)]
    pub auth_jwks_url: Option<String>,

    /// The audience that tokens must name [default: the issuer]
    #[arg(long, env = "AUTH_AUDIENCE")]
    pub auth_audience: Option<String>,

    /// The provider is a stand-in that trusts everybody: the web UI signs in by name. Never outside development
    #[arg(long, hide = true)]
    pub stand_in_sign_in: bool,
}

impl AuthConfig {
    /// Checks what the parser could not.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
        http_url("BETTER_AUTH_URL", &self.better_auth_url)?;
        if let Some(url) = self.given_jwks_url() {
            http_url("AUTH_JWKS_URL", url)?;
        }
        Ok(())
    }

    fn given_jwks_url(&self) -> Option<&str> {
        self.auth_jwks_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The issuer without a trailing slash.
    pub fn issuer(&self) -> &str {
        self.better_auth_url.trim_end_matches('/')
    }

    /// The audience that tokens must name.
    pub fn audience(&self) -> &str {
        self.auth_audience
            .as_deref()
            .filter(|audience| !audience.is_empty())
            .unwrap_or(self.issuer())
    }

    /// Where the issuer's keys are.
    pub fn jwks_url(&self) -> String {
        self.given_jwks_url()
            .map_or_else(|| format!("{}/api/auth/jwks", self.issuer()), str::to_owned)
    }
}

/// Whose pages may talk to a server from a browser.
#[derive(Debug, Clone, clap::Args)]
pub struct OriginsConfig {
    /// Exact origins, separated by commas, whose pages may connect from a browser
    #[arg(long, env = "ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
}

impl OriginsConfig {
    /// Checks that each is an origin and no more.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
        for origin in self.given() {
            let url = http_url("ALLOWED_ORIGINS", origin)?;
            if url.origin().ascii_serialization() != origin {
                return Err(Invalid::new(
                    "ALLOWED_ORIGINS",
                    "expected exact origins such as https://app.example.com, without a path, separated by commas",
                ));
            }
        }
        Ok(())
    }

    /// The origins, without what an empty variable or a trailing comma leaves behind.
    pub fn given(&self) -> impl Iterator<Item = &str> {
        self.allowed_origins
            .iter()
            .map(|origin| origin.trim())
            .filter(|origin| !origin.is_empty())
    }
}

/// A URL that names a server.
///
/// # Errors
/// Names the variable.
pub fn http_url(variable: &'static str, text: &str) -> Result<url::Url, Invalid> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Invalid::new(variable, "expected an http or https URL")),
    }
}

/// What is logged if nobody says.
pub(crate) const DEFAULT_LOG: &str = "info";

/// How a process logs.
#[derive(Debug, Clone, clap::Args)]
pub struct LogConfig {
    /// Log lines for people (text) or for machines (json)
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What to log, as tracing directives
    #[arg(long, env = "RUST_LOG", default_value = DEFAULT_LOG)]
    pub rust_log: String,

    /// How log lines and traces name users: by their ids (plain), or by a hash of them (hashed)
    #[arg(long, env = "LOG_USER_IDS", value_enum, default_value = "plain")]
    pub log_user_ids: UserIds,
}

/// How users are named where operators read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UserIds {
    /// By their ids, as the identity provider gives them.
    Plain,
    /// By a hash: the same for the same user, so that lines can be told apart and searched for.
    Hashed,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// A value that is present but unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid value for {variable}: {reason}")]
pub struct Invalid {
    variable: &'static str,
    reason: String,
}

impl Invalid {
    /// Names the variable and says what would be valid; never repeats a secret.
    pub fn new(variable: &'static str, reason: impl Into<String>) -> Self {
        Self {
            variable,
            reason: reason.into(),
        }
    }
}

/// Reads `.env` into the environment, parses environment and command line, then runs the value's own check.
///
/// # Errors
/// The exit code: 2 for a missing or malformed value (said on standard error), 0 after `--help`.
pub fn load<C>(
    parse: impl FnOnce() -> Result<C, clap::Error>,
    check: impl FnOnce(&C) -> Result<(), Invalid>,
) -> Result<C, ExitCode> {
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return Err(refuse(&Invalid::new(".env", unreadable(&error))));
    }
    load_from_environment(parse, check)
}

/// As [`load`], of the environment as it is: for a program that others start in a folder of their choice, whose `.env` could point it to
/// another database, or take the encryption from its connection.
///
/// # Errors
/// As [`load`].
pub fn load_from_environment<C>(
    parse: impl FnOnce() -> Result<C, clap::Error>,
    check: impl FnOnce(&C) -> Result<(), Invalid>,
) -> Result<C, ExitCode> {
    let config = parse().map_err(|error| {
        // clap writes help to standard output and errors to standard error.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })?;
    check(&config).map_err(|invalid| refuse(&invalid))?;
    Ok(config)
}

/// Why `.env` cannot be read; a line is named by its place, as it may hold a secret.
fn unreadable(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(_, place) => {
            format!("a line cannot be parsed, at its character {place}")
        }
        error => error.to_string(),
    }
}

/// Says on standard error what is wrong with the configuration; the exit code is 2.
#[expect(
    clippy::print_stderr,
    reason = "no log exists before the configuration does"
)]
pub fn refuse(invalid: &Invalid) -> ExitCode {
    eprintln!("error: {invalid}");
    ExitCode::from(2)
}

/// A duration: a plain number is seconds, otherwise a unit is named (`90`, `90s`, `2m`, `500ms`).
///
/// # Errors
/// Says what would be valid.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|_| {
            "expected seconds, or a number with a unit such as 90s or 2m".to_owned()
        })?,
    };
    if duration.is_zero() || duration > Duration::from_secs(24 * 3600) {
        return Err("expected more than 0 and at most a day".to_owned());
    }
    Ok(duration)
}

/// How long something is kept: as [`duration`], but up to ten years.
///
/// # Errors
/// Says what would be valid.
pub fn retention(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let retention = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|_| {
            "expected seconds, or a number with a unit such as 90s or 30d".to_owned()
        })?,
    };
    if retention.is_zero() || retention > Duration::from_secs(3650 * 24 * 3600) {
        return Err("expected more than 0 and at most 3650 days".to_owned());
    }
    Ok(retention)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_may_be_kept_for_years() {
        assert_eq!(retention("30d"), Ok(Duration::from_secs(30 * 24 * 3600)));
        assert_eq!(retention("3600"), Ok(Duration::from_secs(3600)));
        assert!(retention("0").is_err());
        assert!(retention("11y").is_err());
    }

    #[test]
    fn a_plain_number_is_seconds() {
        assert_eq!(duration("120"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("soon").is_err());
        assert!(duration("0").is_err());
        assert!(duration("2d").is_err());
    }

    #[test]
    fn a_bad_url_is_named_without_its_password() {
        let error = postgres_url("DATABASE_URL", &"mysql://me:hunter2@host/db".into()).unwrap_err();
        assert!(error.to_string().contains("DATABASE_URL"));
        assert!(!error.to_string().contains("hunter2"));
    }
}

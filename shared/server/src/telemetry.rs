//! Logs: one subscriber for the process, as text or JSON.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    borrow::Cow,
    io::IsTerminal,
    panic::PanicHookInfo,
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};
use url::form_urlencoded;

use crate::{
    config::{DEFAULT_LOG, Invalid, LogConfig, LogFormat, UserIds},
    metrics,
    supervise::what_is_safe_to_tell,
};

/// Directives that always hold: below these levels rmcp and apalis log arguments, tungstenite and h2 log frames, and so
/// people's texts and tokens.
const QUIET: [&str; 8] = [
    "rmcp=warn",
    "apalis_core=warn",
    "async_openai=off",
    "tungstenite=warn",
    "tokio_tungstenite=warn",
    "h2=warn",
    "sqlx::query=warn",
    "sqlx::postgres::notice=warn",
];

/// How users are named; by their ids as long as nobody has said.
static USER_IDS: OnceLock<UserIds> = OnceLock::new();

/// A user as log lines and traces name them: the id, or `u-` and 16 digits of its SHA-256. That keeps ids out of logs; it does not hide who
/// somebody is from those who know the ids.
#[must_use]
pub fn user(id: &str) -> Cow<'_, str> {
    match USER_IDS.get() {
        Some(UserIds::Hashed) => Cow::Owned(hashed(id)),
        _ => Cow::Borrowed(id),
    }
}

/// A path as log lines have it: with the user in it as [`user`] says.
#[must_use]
pub fn path(path: &str) -> Cow<'_, str> {
    if USER_IDS.get() != Some(&UserIds::Hashed) {
        return Cow::Borrowed(path);
    }
    let Some(below) = path.strip_prefix("/api/") else {
        return Cow::Borrowed(path);
    };
    let (id, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
    // What means something in a form is in a path as it is.
    let id = id
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let id = form_urlencoded::parse(id.as_bytes()).next();
    let id = id.map_or_else(String::new, |(id, _)| id.into_owned());
    Cow::Owned(format!("/api/{}{rest}", hashed(&id)))
}

fn hashed(id: &str) -> String {
    let digits = Sha256::digest(id);
    let digits = digits.iter().take(8).map(|byte| format!("{byte:02x}"));
    format!("u-{}", digits.collect::<String>())
}

/// Starts logging for the whole process. A second call in one process changes nothing.
///
/// # Errors
/// `RUST_LOG` is no list of tracing directives.
pub fn start(config: &LogConfig) -> Result<(), Invalid> {
    // An empty variable is one that is not set.
    let directives = match config.rust_log.trim() {
        "" => DEFAULT_LOG,
        directives => directives,
    };
    let mut filter = EnvFilter::try_new(directives)
        .map_err(|error| Invalid::new("RUST_LOG", error.to_string()))?;
    for directive in QUIET {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let _ = USER_IDS.set(config.log_user_ids);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.log_format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(())
}

/// A panic is a line of the log like any other, and tells no more than others: where it was, and what is written there.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    metrics::count_panic();
    let reason = what_is_safe_to_tell(panic.payload());
    let place = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    tracing::error!(reason, place, backtrace, "a panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_a_hash_where_that_is_asked_for() {
        assert_eq!(
            (user("ada"), path("/api/ada/chat")),
            ("ada".into(), "/api/ada/chat".into())
        );
        let _ = USER_IDS.set(UserIds::Hashed);
        // The first 16 digits of `printf a | sha256sum`.
        assert_eq!(hashed("a"), "u-ca978112ca1bbdca");
        for (given, told) in [
            ("/api/a/chat", "/api/u-ca978112ca1bbdca/chat"),
            (
                "/api/%61/runs/1/events",
                "/api/u-ca978112ca1bbdca/runs/1/events",
            ),
            ("/api/a", "/api/u-ca978112ca1bbdca"),
            ("/metrics", "/metrics"),
        ] {
            assert_eq!(path(given), told);
        }
        assert_eq!(user("a"), "u-ca978112ca1bbdca");
        // Two that a form would read as one.
        assert_ne!(path("/api/a+b"), path("/api/a%20b"));
    }
}

//! Logs: one subscriber for the process, as text or JSON.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::IsTerminal,
    panic::PanicHookInfo,
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Invalid, LogConfig, LogFormat},
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

/// Starts logging for the whole process. A second call in one process changes nothing.
///
/// # Errors
/// `RUST_LOG` is no list of tracing directives.
pub fn start(config: &LogConfig) -> Result<(), Invalid> {
    let mut filter = EnvFilter::try_new(&config.rust_log)
        .map_err(|error| Invalid::new("RUST_LOG", error.to_string()))?;
    for directive in QUIET {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
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

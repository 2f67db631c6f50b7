//! What `cargo dev` says to the person in front of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a banner is for the terminal"
)]

use std::net::SocketAddr;

use super::{DevConfig, Parts};

pub(super) fn started(config: &DevConfig, parts: &Parts, api: SocketAddr) {
    let url = format!("http://localhost:{}", api.port());
    println!("\n  Errand is up: open {url} and chat   (API documents: {url}/docs)\n");
    match &parts.cluster {
        Some(cluster) => println!(
            "  database   private PostgreSQL, data in {}",
            cluster.data_dir().display()
        ),
        None => println!("  database   the one of DATABASE_URL"),
    }
    match &parts.model {
        Some(_) => println!(
            "  model      A STAND-IN that understands plain requests only; no OPENAI_API_KEY, OPENAI_BASE_URL or GEMINI_API_KEY is set"
        ),
        None => println!("  model      the provider from the environment"),
    }
    match &parts.identity {
        Some(identity) => println!(
            "  identity   A STAND-IN that gives anybody a token: {}/api/auth/token?user=demo",
            identity.issuer()
        ),
        None => println!(
            "  identity   {}",
            config.better_auth_url.as_deref().unwrap_or_default()
        ),
    }
    if let Some(identity) = &parts.identity {
        println!("\n  Say something (the token is good for 15 minutes):\n");
        println!("  curl -s {url}/api/demo/chat -H 'Content-Type: application/json' \\");
        println!(
            "    -H 'Authorization: Bearer {}' \\",
            identity.token("demo")
        );
        println!("    -d '{{\"message\":\"add buy milk and call Ann\"}}'");
    }
    println!("\n  Ctrl-C stops everything; the data stays.\n");
}

pub(super) fn failed(error: &anyhow::Error) {
    eprintln!("\nerror: {error:#}\n");
}

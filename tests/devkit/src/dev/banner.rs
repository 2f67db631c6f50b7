//! What `cargo dev` says to the person in front of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a banner is for the terminal"
)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{DevConfig, Parts};

pub(super) fn started(config: &DevConfig, parts: &Parts, api: SocketAddr) {
    let url = format!("http://localhost:{}", api.port());
    println!("\n  Errand is up: open {url} and chat   (API documents: {url}/docs)\n");
    match parts.database.server() {
        Ok(cluster) => {
            println!(
                "  database   private PostgreSQL, data in {}",
                cluster.data_dir().display()
            );
            println!("             DATABASE_URL={}", parts.database.url());
        }
        Err(_) => println!("  database   the one of DATABASE_URL"),
    }
    match &parts.model {
        Some(_) => println!(
            "  model      A STAND-IN that understands plain requests only; no OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_PROVIDER or GEMINI_API_KEY is set"
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
    println!("  tools      for other agents, by MCP: {url}/mcp");
    if let Some(identity) = &parts.identity {
        let token = identity.token("demo");
        println!("\n  Say something (the token is good for 15 minutes):\n");
        println!("  curl -s {url}/api/demo/chat -H 'Content-Type: application/json' \\");
        println!("    -H 'Authorization: Bearer {token}' \\");
        println!("    -d '{{\"message\":\"add buy milk and call Ann\"}}'");
        println!("\n  Give another agent the tools, over HTTP with that token:\n");
        show(&over_http(&url, &token));
    }
    let program = beside_this_program("errand-mcp");
    let missing = match program.exists() {
        true => "",
        false => "; `cargo build` makes the program",
    };
    println!(
        "\n  Or on this machine while this runs, without a token (claude_desktop_config.json and its like{missing}):\n"
    );
    // One from the environment may hold a password, and is known to who has set it.
    let database_url = match parts.database.server() {
        Ok(_) => parts.database.url(),
        Err(_) => "(that of DATABASE_URL)",
    };
    show(&on_a_desktop(&program, database_url));
    println!("\n  Ctrl-C stops everything; the data stays.\n");
}

/// A client's entry for the server of the API.
fn over_http(url: &str, token: &str) -> Value {
    json!({"mcpServers": {"errand": {
        "type": "http",
        "url": format!("{url}/mcp"),
        "headers": {"Authorization": format!("Bearer {token}")},
    }}})
}

/// A desktop client's entry for the program that it starts itself.
fn on_a_desktop(program: &Path, database_url: &str) -> Value {
    json!({"mcpServers": {"errand": {
        "command": program.display().to_string(),
        "args": ["--stdio", "--user", "demo"],
        "env": {"DATABASE_URL": database_url},
    }}})
}

/// To be copied, so as it stands in a file.
fn show(entry: &Value) {
    for line in format!("{entry:#}").lines() {
        println!("  {line}");
    }
}

/// Where cargo puts it, whatever folder that is.
fn beside_this_program(name: &str) -> PathBuf {
    let folder = std::env::current_exe().ok();
    let folder = folder.as_deref().and_then(Path::parent);
    folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

pub(super) fn failed(error: &anyhow::Error) {
    eprintln!("\nerror: {error:#}\n");
}

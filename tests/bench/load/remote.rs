//! Load on a system that runs somewhere already.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    case::{Case, prefix},
    check,
    figures::Row,
    run,
    turn::User,
    used::Gauges,
};

/// Where it runs.
#[derive(Args)]
pub(crate) struct Remote {
    /// Load on the API at this URL, instead of a system of its own; its model has to take "add …" for a wish to add a task
    #[arg(long, requires = "identity")]
    pub(crate) url: Option<String>,
    /// Gives tokens to anybody at /api/auth/token, as that of `cargo dev` does on the port after the API's
    #[arg(long)]
    identity: Option<String>,
    /// The API's database, to check what has become of the turns
    #[arg(long)]
    database_url: Option<String>,
}

impl Remote {
    pub(crate) async fn load(&self, url: &str, case: &Case) -> Result<Row> {
        let prefix = prefix();
        let target = Arc::new(case.target(vec![url.trim_end_matches('/').to_owned()]));
        let identity = self.identity.as_deref().unwrap_or_default();
        let mut users = Vec::new();
        for nth in 0..case.users {
            let id = format!("{prefix}{nth}");
            let token = token(&target.http, identity, &id).await?;
            users.push(Arc::new(User { id, token }));
        }
        let seats = case.seats_of(&users, &prefix);
        let mut gauges = Gauges::default();
        let outcome = run::run(&target, &seats, &case.load, &mut gauges).await?;
        let mut row = case.row(&target, &outcome);
        if let Some(database) = &self.database_url {
            row.verdict = Some(check::check(database, &prefix, &outcome.all).await?);
        }
        Ok(row)
    }
}

async fn token(http: &reqwest::Client, identity: &str, user: &str) -> Result<String> {
    let url = format!("{identity}/api/auth/token?user={user}");
    let answer: Value = http
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let token = answer["token"].as_str().context("no token")?;
    Ok(token.to_owned())
}

//! Another stack that speaks the same API, under the same load on the same Postgres and model.
//!
//! Its folder has a `run.sh`, which starts it and is told where everything is by its environment: `PORT` to listen on,
//! `DATABASE_URL` of an empty database, `OPENAI_BASE_URL` and `OPENAI_MODEL`, `JWKS_PATH` with the keys of the tokens, and their
//! `JWT_ISS` and `JWT_AUD`; the rest of our environment is its, too. It answers `GET /health` with 200, and its table `task` has `user_id` and `title`.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use errand_devkit::process::{self, Process};
use tokio::process::Command;

use crate::{
    case::prefix,
    ceiling, check,
    figures::Report,
    print, run,
    system::{STOP, System},
    table::TableOptions,
    used::Gauges,
};

const DATABASE: &str = "peer";
/// For it to get ready.
const START: Duration = Duration::from_secs(20);

/// Measures and prints the same rows for it; a line that says so if it does not start.
pub(crate) async fn print(
    folder: &Path,
    options: &TableOptions,
    system: &System,
    report: &mut Report,
) -> Result<()> {
    println!("\nthe stack in {}", folder.display());
    let (process, url) = match start(folder, system).await {
        Ok(started) => started,
        Err(error) => {
            println!("left out: {error:#}");
            return Ok(());
        }
    };
    print::head();
    for mut case in options.cases() {
        case.past = Vec::new();
        let prefix = prefix();
        let target = Arc::new(case.target(vec![url.clone()]));
        let seats = case.seats(&prefix, |user| system.identity.token(user));
        let mut gauges = Gauges::of_process(system, process.pid(), DATABASE).await?;
        let outcome = run::run(&target, &seats, &case.load, &mut gauges).await?;
        let mut row = case.row(&target, &outcome);
        row.name = format!("peer, {}", row.name);
        row.memory = None;
        let database = system.other_database(DATABASE).await?;
        row.verdict = Some(check::tasks(&database, "task", &prefix, &outcome.all).await?);
        row.ceiling = Some(ceiling::of(system, options.time() / 3).await?);
        print::line(&row);
        if let Some(own) = report.rows.iter().find(|own| own.name == case.name) {
            let times = own.turns_per_second / row.turns_per_second;
            println!("  Errand does {times:.1} times as many");
        }
        report.rows.push(row);
    }
    process.stop(STOP).await?;
    Ok(())
}

async fn start(folder: &Path, system: &System) -> Result<(Process, String)> {
    let keys = format!("{}/api/auth/jwks", system.identity.issuer());
    let keys = reqwest::get(keys).await?.bytes().await?;
    let jwks = system.state().join("jwks.json");
    std::fs::write(&jwks, keys)?;
    let port = process::free_port();
    let mut command = Command::new(folder.join("run.sh"));
    command
        .env("PORT", port.to_string())
        .env("DATABASE_URL", system.other_database(DATABASE).await?)
        .env("OPENAI_BASE_URL", system.model_url())
        .env("OPENAI_MODEL", errand_bench::model::Pace::default().name())
        .env("OPENAI_API_KEY", "x")
        .env("JWKS_PATH", jwks)
        .env("JWT_ISS", system.identity.issuer())
        .env("JWT_AUD", system.identity.issuer())
        .stdin(Stdio::null());
    process::log_to(&mut command, &system.state().join("peer.log"))?;
    let mut process = Process::start("the other stack", &mut command)?;
    let url = format!("http://127.0.0.1:{port}");
    let runs = || process.check().context("see run.sh");
    process::until_ready(&format!("{url}/health"), START, runs).await?;
    Ok((process, url))
}

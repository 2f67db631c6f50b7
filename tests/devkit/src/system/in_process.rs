//! APIs, workers and MCP servers in this process: the same code, without a process to suffer.

use std::time::Duration;

use anyhow::{Context, Result};
use errand_api::Api;
use errand_worker::{Worker, mcp::HttpServer};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Arguments;

/// Those that were started here. They are asked to stop when this is dropped.
#[derive(Debug, Default)]
pub struct InProcess {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl InProcess {
    /// Starts an API on a port that is free; its base URL.
    ///
    /// # Errors
    /// The arguments are wrong, or it does not start.
    pub async fn api(&mut self, arguments: &Arguments) -> Result<String> {
        let config = arguments.clone().with("--port", 0).api_config()?;
        let api = Api::build(&config, self.stop.clone()).await?;
        let url = format!("http://{}", api.address()?);
        self.run(async move { Ok(api.serve().await?) });
        Ok(url)
    }

    /// Starts a worker; what stops it alone.
    ///
    /// # Errors
    /// The arguments are wrong, or it does not start.
    pub async fn worker(&mut self, arguments: &Arguments) -> Result<CancellationToken> {
        self.worker_as(&arguments.worker_config()?).await
    }

    /// Starts a worker that is configured so; what stops it alone.
    ///
    /// # Errors
    /// It does not start.
    pub async fn worker_as(&mut self, config: &errand_worker::Config) -> Result<CancellationToken> {
        let worker = Worker::build(config).await?;
        let stop = self.stop.child_token();
        let run = worker.run(stop.clone());
        self.run(async move { Ok(run.await?) });
        Ok(stop)
    }

    /// Starts what `errand-mcp` is, on a port that is free; its base URL.
    ///
    /// # Errors
    /// The arguments are wrong, or it does not start.
    pub async fn mcp(&mut self, arguments: &Arguments) -> Result<String> {
        let config = arguments.clone().with("--port", 0).mcp_config()?;
        let server = HttpServer::build(&config, self.stop.clone()).await?;
        let url = format!("http://{}", server.address()?);
        self.run(async move { Ok(server.serve().await?) });
        Ok(url)
    }

    /// As SIGTERM does, without a wait.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    fn run(&mut self, program: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.push(tokio::spawn(program));
    }

    /// Stops all of them in good order, as SIGTERM would.
    ///
    /// # Errors
    /// One has failed before, or takes longer than this.
    pub async fn stop(mut self, within: Duration) -> Result<()> {
        self.ask_to_stop();
        for task in std::mem::take(&mut self.tasks) {
            timeout(within, task)
                .await
                .context("it does not stop in time")???;
        }
        Ok(())
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

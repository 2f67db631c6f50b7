//! The arguments of the programs, as a command line has them.

use anyhow::Result;
use clap::Parser;

/// Those of one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of `errand-api` or `errand-mcp`, for this machine alone.
    pub fn server(database_url: &str, issuer: &str) -> Self {
        Self::new()
            .with("--database-url", database_url)
            .with("--better-auth-url", issuer)
            .with("--host", "127.0.0.1")
    }

    /// Of `errand-worker`.
    pub fn worker(database_url: &str) -> Self {
        Self::new().with("--database-url", database_url)
    }

    /// Where a worker's model is, and the key that it is sent.
    #[must_use]
    pub fn model(self, base_url: &str, key: &str) -> Self {
        self.with("--openai-base-url", base_url)
            .with("--openai-api-key", key)
    }

    /// An API that limits no user's runs, where the limits are not what is looked at.
    #[must_use]
    pub fn unlimited(self) -> Self {
        self.with("--rate-runs-per-minute", 0)
            .with("--max-active-runs", 0)
    }

    /// And this one, which must not be there yet.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// And these.
    #[must_use]
    pub fn and(mut self, more: &[&str]) -> Self {
        self.0.extend(more.iter().map(|&one| one.to_owned()));
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What an API makes of them; what they leave out comes from the environment.
    ///
    /// # Errors
    /// As on the command line.
    pub fn api_config(&self) -> Result<errand_api::Config> {
        Ok(errand_api::Config::from_arguments(self.iter())?)
    }

    /// What `errand-mcp` makes of them; what they leave out comes from the environment.
    ///
    /// # Errors
    /// As on the command line.
    pub fn mcp_config(&self) -> Result<errand_worker::mcp::Config> {
        let arguments = std::iter::once("errand-mcp").chain(self.iter());
        let config = errand_worker::mcp::Config::from_arguments(arguments)?;
        config.check()?;
        Ok(config)
    }

    /// What a worker makes of them; what they leave out comes from the environment.
    ///
    /// # Errors
    /// As on the command line.
    pub fn worker_config(&self) -> Result<errand_worker::Config> {
        let arguments = std::iter::once("errand-worker").chain(self.iter());
        let config = errand_worker::Config::try_parse_from(arguments)?;
        config.check()?;
        Ok(config)
    }
}

//! The configuration of errand-mcp.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr},
};

use clap::{CommandFactory, FromArgMatches, builder::ArgPredicate};
use errand_server::{
    config::{AuthConfig, DatabaseConfig, Invalid, LogConfig, OriginsConfig},
    trace::TraceConfig,
};
use errand_tools::McpConfig;

/// Characters of a user's id, as in tokens.
const MAX_USER: usize = 255;

/// Serves the five tools to MCP clients from outside: over HTTP with a bearer token, or with --stdio to one desktop client
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "errand-mcp", version)]
pub struct Config {
    /// Speak MCP over standard input and output with one desktop client, instead of HTTP
    #[arg(long, requires = "user")]
    pub stdio: bool,

    /// With --stdio: whose list it is. Whoever can start this program with the database's URL is trusted
    #[arg(long, value_name = "ID", requires = "stdio")]
    pub user: Option<String>,

    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Where traces go.
    #[command(flatten)]
    pub trace: TraceConfig,

    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8090)]
    pub port: u16,

    /// Address to listen on
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub host: IpAddr,

    /// Who the users are; not needed with `--stdio`.
    #[command(flatten)]
    pub auth: AuthConfig,

    /// Where it is for clients from outside, and how much they may ask of it.
    #[command(flatten)]
    pub mcp: McpConfig,

    /// Whose pages may connect; if nothing is given, those of this machine.
    #[command(flatten)]
    pub origins: OriginsConfig,
}

impl Config {
    /// A configuration from arguments, the program's name first; what they leave out comes from the environment.
    ///
    /// # Errors
    /// As on the command line.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        // A desktop client's user is on the command line, so nobody has to issue tokens.
        let command = Self::command().mut_arg("better_auth_url", |url| {
            url.required(false)
                .required_unless_present("stdio")
                .default_value_if("stdio", ArgPredicate::IsPresent, "")
        });
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    /// Checks what the parser could not.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
        self.database.check()?;
        self.trace.check()?;
        if let Some(user) = &self.user {
            return check_user(user);
        }
        self.auth.check()?;
        self.mcp.check()?;
        self.origins.check()
    }
}

fn check_user(user: &str) -> Result<(), Invalid> {
    if user.is_empty() || user.chars().count() > MAX_USER || user.chars().any(char::is_control) {
        return Err(Invalid::new(
            "--user",
            "expected the id of a user: 1 to 255 characters",
        ));
    }
    Ok(())
}

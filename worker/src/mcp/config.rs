//! The configuration of errand-mcp.

use std::{
    borrow::Cow,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr},
};

use clap::{CommandFactory, FromArgMatches, builder::ArgPredicate};
use errand_shared::config::{
    AuthConfig, DatabaseConfig, Invalid, LogConfig, OriginsConfig, http_url,
};
use url::Url;

/// The path that MCP clients are given.
pub(super) const PATH: &str = "/mcp";
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

    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8090)]
    pub port: u16,

    /// Address to listen on
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub host: IpAddr,

    /// Who the users are; not needed with `--stdio`.
    #[command(flatten)]
    pub auth: AuthConfig,

    /// The URL of /mcp as clients reach it, https and all [default: the host of each request, which then must be this machine]
    #[arg(long, env = "MCP_URL")]
    pub mcp_url: Option<String>,

    /// Further host names, separated by commas, with or without a port, that requests may be addressed to
    #[arg(long, env = "MCP_ALLOWED_HOSTS", value_delimiter = ',')]
    pub mcp_allowed_hosts: Vec<String>,

    /// Whose pages may connect; if nothing is given, those of this machine.
    #[command(flatten)]
    pub origins: OriginsConfig,

    /// Tool calls a user may make in a minute from outside; 0: any number
    #[arg(long, env = "RATE_CALLS_PER_MINUTE", default_value_t = 120)]
    pub rate_calls_per_minute: u32,
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
        if let Some(user) = &self.user {
            return check_user(user);
        }
        self.auth.check()?;
        if let Some(url) = self.public_url() {
            let url = http_url("MCP_URL", url)?;
            if url.path() != PATH || url.query().is_some() || url.fragment().is_some() {
                return Err(Invalid::new(
                    "MCP_URL",
                    "expected the URL of /mcp as clients reach it, such as https://mcp.example.com/mcp",
                ));
            }
        }
        for host in self.given_hosts() {
            if !host
                .parse::<http::uri::Authority>()
                .is_ok_and(|host| !host.as_str().contains('@'))
            {
                return Err(Invalid::new(
                    "MCP_ALLOWED_HOSTS",
                    "expected host names such as mcp.example.com or mcp.example.com:8443, separated by commas",
                ));
            }
        }
        self.origins.check()
    }

    /// `MCP_URL`, if it is set.
    pub(super) fn public_url(&self) -> Option<&str> {
        self.mcp_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The resource that tokens may be for besides `AUTH_AUDIENCE` (RFC 8707): what the metadata names, as it is configured and
    /// as clients write it that have parsed it. None without `MCP_URL`: then the metadata repeats the host that a request says
    /// it is addressed to, and whoever has got a token for another server by that name could make it say so.
    pub(super) fn resource(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let given = self.public_url();
        let parsed = given.and_then(|url| Url::parse(url).ok());
        let given = given.map(Cow::Borrowed);
        given
            .into_iter()
            .chain(parsed.map(|url| Cow::Owned(url.into())))
    }

    /// `MCP_ALLOWED_HOSTS`, without what an empty variable or a trailing comma leaves behind.
    pub(super) fn given_hosts(&self) -> impl Iterator<Item = &str> {
        let hosts = self.mcp_allowed_hosts.iter().map(|host| host.trim());
        hosts.filter(|host| !host.is_empty())
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

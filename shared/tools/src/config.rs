//! How the MCP server is reached, for each program that serves it.

use std::borrow::Cow;

use errand_server::config::{Invalid, http_url};
use url::Url;

use crate::http::PATH;

/// Where the MCP server is for clients from outside, and how much they may ask of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct McpConfig {
    /// The URL of /mcp as clients from outside reach it, https and all; tokens for it are taken there, too [default: what each
    /// request is addressed to]
    #[arg(long, env = "MCP_URL")]
    pub mcp_url: Option<String>,

    /// Host names, separated by commas, with or without a port, that requests to /mcp may be addressed to besides that of MCP_URL
    /// and this machine's
    #[arg(long, env = "MCP_ALLOWED_HOSTS", value_delimiter = ',')]
    pub mcp_allowed_hosts: Vec<String>,

    /// Tool calls a user may make in a minute from outside; 0: any number
    #[arg(long, env = "RATE_CALLS_PER_MINUTE", default_value_t = 120)]
    pub rate_calls_per_minute: u32,
}

impl McpConfig {
    /// Checks what the parser could not.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
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
        Ok(())
    }

    /// `MCP_URL`, if it is set.
    pub fn public_url(&self) -> Option<&str> {
        self.mcp_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The resource that tokens may be for besides `AUTH_AUDIENCE` (RFC 8707): what the metadata names, as it is configured and
    /// as clients write it that have parsed it. None without `MCP_URL`: then the metadata repeats the host that a request says
    /// it is addressed to, and whoever has got a token for another server by that name could make it say so.
    pub(crate) fn resource(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let given = self.public_url();
        let parsed = given.and_then(|url| Url::parse(url).ok());
        let given = given.map(Cow::Borrowed);
        given
            .into_iter()
            .chain(parsed.map(|url| Cow::Owned(url.into())))
    }

    /// `MCP_ALLOWED_HOSTS`, without what an empty variable or a trailing comma leaves behind.
    pub(crate) fn given_hosts(&self) -> impl Iterator<Item = &str> {
        let hosts = self.mcp_allowed_hosts.iter().map(|host| host.trim());
        hosts.filter(|host| !host.is_empty())
    }
}

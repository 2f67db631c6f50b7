//! Waking workers: a request to each that may sleep, when there may be work for it.
//!
//! A worker that sleeps asks the database nothing, and the connection by which it would hear of a job goes when the database does. So whoever
//! makes work says so to the workers themselves.

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use reqwest::{Client, RequestBuilder, redirect::Policy};
use url::Url;

/// One request. A worker answers at once, whatever its database does.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Tries for a worker that does not answer, such as one that is being replaced, and the pause before the second; it doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// Workers behind one name, at most.
const MAX_ADDRESSES: usize = 100;

/// The workers that can be woken.
#[derive(Debug, Clone)]
pub struct Wakes {
    http: Client,
    urls: Vec<Url>,
}

impl Wakes {
    /// By these URLs: all addresses of the name in each, which may be that of many workers; of one with TLS, whichever answers.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn new(urls: Vec<Url>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, urls })
    }

    /// Whether there is anybody to wake.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// Wakes all. One that cannot be reached is tried a few times, and told of in the log.
    pub async fn wake_all(&self) {
        join_all(self.urls.iter().map(|url| self.wake(url))).await;
    }

    async fn wake(&self, url: &Url) {
        let mut pause = PAUSE;
        for nth in 1..=TRIES {
            let Err(error) = self.try_to_wake(url).await else {
                return;
            };
            let host = url.host_str().unwrap_or_default();
            if nth == TRIES {
                tracing::warn!(host, %error, "cannot wake the workers at a URL of WAKE_URLS; one that sleeps finds work only when it looks by itself");
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn try_to_wake(&self, url: &Url) -> Result<(), String> {
        let requests = self.requests(url).await?;
        let sent = requests.into_iter().map(|request| async {
            let answer = request
                .send()
                .await
                .and_then(reqwest::Response::error_for_status);
            answer.map_err(|error| error.without_url().to_string())
        });
        let failed = join_all(sent).await.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), Err)
    }

    /// One for each address.
    async fn requests(&self, url: &Url) -> Result<Vec<RequestBuilder>, String> {
        let (Some(host), "http") = (url.host_str(), url.scheme()) else {
            return Ok(vec![self.http.post(url.clone())]);
        };
        let port = url.port_or_known_default().unwrap_or(80);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((bare, port))).await;
        let found = found
            .map_err(|_| "the name is not resolved in time".to_owned())?
            .map_err(|error| error.to_string())?;
        let requests = found.take(MAX_ADDRESSES).map(|address: SocketAddr| {
            let mut to = url.clone();
            let _ = to.set_ip_host(address.ip());
            self.http
                .post(to)
                .header(http::header::HOST, format!("{host}:{port}"))
        });
        Ok(requests.collect())
    }
}

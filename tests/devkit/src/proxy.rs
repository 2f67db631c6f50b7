//! A TCP proxy between a program and its server on this machine, which can cut, close, silence, delay and freeze what goes through it,
//! cut at the moment of a commit, and count what Postgres answers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

mod commits;
mod counts;
mod pump;
#[cfg(test)]
mod tests;

pub use commits::Cut;
use commits::Trap;
pub use counts::Counts;
use counts::Meter;
use pump::Pump;

/// What happens to connections and to the bytes on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Open,
    /// New connections are refused, and the others were cut.
    Closed,
    /// New connections are made and say nothing, and the others fell silent.
    Silent,
    /// Every piece is late by this.
    Slow(Duration),
    /// What arrives is lost, and nobody is told. A connection that has lost something stays silent until it ends.
    Lossy,
}

#[derive(Debug, Clone, Copy)]
struct State {
    link: Link,
    /// How often everything fell silent: a connection from before that stays so.
    silences: u32,
    /// How often all connections were cut.
    cuts: u32,
    /// What clients send is kept, and reaches the server later.
    is_frozen: bool,
}

/// A proxy on a port of its own. Cheap to clone; with the last one all its connections end.
#[derive(Debug, Clone)]
pub struct Proxy {
    url: String,
    state: Arc<watch::Sender<State>>,
    trap: Option<Arc<Trap>>,
    meter: Option<Arc<Meter>>,
}

impl Proxy {
    /// A way to the server of this URL, which names 127.0.0.1 and a port.
    ///
    /// # Errors
    /// It does not, or there is no port left.
    pub async fn open(url: &str) -> Result<Self> {
        Self::to(url, "", None, None).await
    }

    /// As [`Self::open`] to Postgres, for [`Self::cut_commit`].
    ///
    /// # Errors
    /// As there.
    pub async fn with_trap(url: &str) -> Result<Self> {
        Self::to(url, "", Some(Arc::default()), None).await
    }

    /// As [`Self::open`] to Postgres, and counts what it answers. That takes time: measure none meanwhile.
    ///
    /// # Errors
    /// As there.
    pub async fn counting(url: &str) -> Result<Self> {
        // Nobody but the client could read what is encrypted.
        Self::to(url, "?sslmode=disable", None, Some(Arc::default())).await
    }

    async fn to(
        url: &str,
        options: &str,
        trap: Option<Arc<Trap>>,
        meter: Option<Arc<Meter>>,
    ) -> Result<Self> {
        let (head, rest) = url
            .split_once("127.0.0.1:")
            .context("not on this machine")?;
        let (server, path) = rest.split_once('/').context("no path")?;
        let server: u16 = server.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let state = watch::Sender::new(State {
            link: Link::Open,
            silences: 0,
            cuts: 0,
            is_frozen: false,
        });
        let proxy = Self {
            url: format!("{head}127.0.0.1:{port}/{path}{options}"),
            state: Arc::new(state),
            trap,
            meter,
        };
        let way = Way {
            server,
            state: proxy.state.subscribe(),
            trap: proxy.trap.clone(),
            meter: proxy.meter.clone(),
        };
        tokio::spawn(way.serve(listener));
        Ok(proxy)
    }

    /// The URL that leads through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn set(&self, link: Link) {
        self.state.send_modify(|state| state.link = link);
    }

    /// Ends all connections. New ones go through.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Ends all connections and refuses new ones at once, until [`Self::reopen`].
    pub fn close(&self) {
        self.set(Link::Closed);
    }

    /// Makes a black hole of every connection there is, and of new ones until [`Self::reopen`]: bytes vanish in both directions, without
    /// a reset, and neither side is told if the other one leaves.
    pub fn silence(&self) {
        self.state.send_modify(|state| {
            state.link = Link::Silent;
            state.silences += 1;
        });
    }

    /// Loses what is sent, until [`Self::reopen`]. A connection that has lost something stays silent after that until one of its sides
    /// leaves; one on which nothing was sent goes on.
    pub fn lose(&self) {
        self.set(Link::Lossy);
    }

    /// Delays every piece by this, until [`Self::reopen`].
    pub fn slow_down(&self, by: Duration) {
        self.set(Link::Slow(by));
    }

    /// Lets everything through again. Connections that are silent stay silent.
    pub fn reopen(&self) {
        self.set(Link::Open);
    }

    /// Keeps what clients send until [`Self::thaw`], even if they hang up meanwhile, as the sockets of a server do that is frozen.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.is_frozen = true);
    }

    /// The server gets what was kept for it.
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.is_frozen = false);
    }

    /// Cuts the connection that makes the `nth` commit from now. Only of a proxy [`Self::with_trap`].
    pub fn cut_commit(&self, nth: usize, cut: Cut) {
        if let Some(trap) = &self.trap {
            trap.set(nth, cut);
        }
    }

    /// Whether the commit to cut has come.
    pub fn has_cut(&self) -> bool {
        self.trap.as_ref().is_some_and(|trap| trap.has_sprung())
    }

    /// What was counted so far; nothing if it is not [`Self::counting`].
    pub fn counts(&self) -> Counts {
        let meter = self.meter.as_ref();
        meter.map_or_else(Counts::default, |meter| meter.read())
    }
}

/// What serves the connections. It holds no end that sends: they are to end with the last [`Proxy`].
#[derive(Clone)]
struct Way {
    server: u16,
    state: watch::Receiver<State>,
    trap: Option<Arc<Trap>>,
    meter: Option<Arc<Meter>>,
}

impl Way {
    async fn serve(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(self.clone().carry(client));
        }
    }

    /// One connection, for as long as the proxy lets it be.
    async fn carry(mut self, client: TcpStream) {
        let born = *self.state.borrow_and_update();
        let upstream = match born.link {
            Link::Closed => return,
            Link::Silent => return std::future::pending().await,
            _ => TcpStream::connect(("127.0.0.1", self.server)).await,
        };
        let Ok(upstream) = upstream else { return };
        let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
        // They stay with us: a connection that falls silent keeps its sockets.
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = upstream.into_split();
        let pump = Pump::new(self.state.clone());
        let fell_silent = |state: &State| state.silences > born.silences;
        let is_over = |state: &State| {
            fell_silent(state) || state.link == Link::Closed || state.cuts > born.cuts
        };
        let changed = tokio::select! {
            _ = pump.requests(&mut from_client, &mut to_server, self.trap.as_deref()) => return,
            _ = pump.answers(&mut from_server, &mut to_client, self.meter.as_deref()) => return,
            changed = self.state.wait_for(is_over) => changed.map(|state| *state),
        };
        if changed.is_ok_and(|state| fell_silent(&state)) {
            // Both sockets stay open, and nobody reads.
            std::future::pending::<()>().await;
        }
    }
}

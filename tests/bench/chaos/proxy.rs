//! A TCP proxy between one process and Postgres that can cut, slow down and swallow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    /// Every piece is late by this.
    Slow(Duration),
    /// Nothing arrives and nobody is told. A connection that lost bytes stays silent for ever.
    Silent,
}

/// The way to one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    link: Arc<watch::Sender<Link>>,
    /// Counts cuts; each ends all connections there are.
    cuts: Arc<watch::Sender<u64>>,
}

impl Proxy {
    /// A proxy to a server on this machine.
    pub(crate) async fn to(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            link: Arc::new(watch::Sender::new(Link::Up)),
            cuts: Arc::default(),
        };
        tokio::spawn(proxy.clone().serve(listener, server));
        Ok(proxy)
    }

    /// A database URL of the server, through the proxy.
    pub(crate) fn url(&self, direct: &str, server: u16) -> Result<String> {
        let through = direct.replace(&format!(":{server}/"), &format!(":{}/", self.port));
        (through != direct)
            .then_some(through)
            .context("the URL does not name the server's port")
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Delays every piece for a while.
    pub(crate) async fn slow(&self, by: Duration, time: Duration) {
        self.link.send_replace(Link::Slow(by));
        sleep(time).await;
        self.heal();
    }

    /// Swallows everything for a while.
    pub(crate) async fn silent(&self, time: Duration) {
        self.link.send_replace(Link::Silent);
        sleep(time).await;
        self.heal();
    }

    pub(crate) fn heal(&self) {
        self.link.send_replace(Link::Up);
    }

    async fn serve(self, listener: TcpListener, server: u16) {
        while let Ok((client, _)) = listener.accept().await {
            let proxy = self.clone();
            tokio::spawn(async move {
                let mut cuts = proxy.cuts.subscribe();
                cuts.mark_unchanged();
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else {
                    return;
                };
                let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
                let dead = AtomicBool::new(false);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                tokio::select! {
                    () = proxy.pump(from_client, to_server, &dead) => {}
                    () = proxy.pump(from_server, to_client, &dead) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    }

    /// Carries bytes until one side ends. A connection that has lost some ends with a cut only, or with this program.
    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        dead: &AtomicBool,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            let link = *self.link.borrow();
            match link {
                Link::Up => {}
                Link::Slow(by) => sleep(by).await,
                Link::Silent => dead.store(true, Ordering::Relaxed),
            }
            if dead.load(Ordering::Relaxed) {
                continue;
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

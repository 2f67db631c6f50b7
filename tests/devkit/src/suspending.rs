//! A server that is suspended when nobody asks it anything, and started by the next connection, as serverless Postgres does it (Neon).
//!
//! What counts is what clients send: a connection that is only there keeps nothing awake, and is closed by the suspension.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep},
};

use crate::postgres::{Cluster, Shutdown};

/// How often it is looked whether the time is over.
const LOOK: Duration = Duration::from_millis(100);

/// What has become of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub is_up: bool,
    /// How often it was started since the first time.
    pub starts: usize,
    /// When it last accepted connections again, or was suspended.
    pub since: Instant,
}

/// The way to a server that is suspended and started again. Cheap to clone; the server goes with the last one.
#[derive(Clone)]
pub struct Suspending(Arc<Inner>);

struct Inner {
    cluster: AsyncMutex<Cluster>,
    port: u16,
    upstream: u16,
    asked: Mutex<Instant>,
    seen: watch::Sender<Seen>,
    open: AtomicUsize,
}

impl Suspending {
    /// Puts this server behind a port of its own, and suspends it whenever nothing was sent to it for this long.
    ///
    /// # Errors
    /// There is no port left.
    pub async fn after(idle: Duration, cluster: Cluster) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = cluster.url("postgres");
        let upstream = url
            .rsplit_once(':')
            .and_then(|(_, rest)| rest.split_once('/'));
        let (upstream, _) = upstream.context("no port")?;
        let seen = Seen {
            is_up: true,
            starts: 0,
            since: Instant::now(),
        };
        let suspending = Self(Arc::new(Inner {
            port: listener.local_addr()?.port(),
            upstream: upstream.parse()?,
            cluster: AsyncMutex::new(cluster),
            asked: Mutex::new(Instant::now()),
            seen: watch::Sender::new(seen),
            open: AtomicUsize::new(0),
        }));
        let inner = Arc::downgrade(&suspending.0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(inner) = inner.upgrade() else { return };
                tokio::spawn(inner.carry(client));
            }
        });
        let inner = Arc::downgrade(&suspending.0);
        tokio::spawn(async move {
            loop {
                sleep(LOOK).await;
                let Some(inner) = inner.upgrade() else { return };
                if inner.idle() >= idle {
                    inner.suspend().await.expect("a server that stops");
                }
            }
        });
        Ok(suspending)
    }

    /// The URL of a database that leads through here.
    pub fn url(&self, login: &str, database: &str) -> String {
        format!(
            "postgres://{login}@127.0.0.1:{}/{database}?sslmode=disable",
            self.0.port
        )
    }

    /// What has become of the server so far.
    pub fn seen(&self) -> Seen {
        *self.0.seen.borrow()
    }

    /// Waits until the server is suspended, or is not.
    ///
    /// # Errors
    /// It is not within this time.
    pub async fn until(&self, is_up: bool, within: Duration) -> Result<Seen> {
        let mut seen = self.0.seen.subscribe();
        let is_so = seen.wait_for(|seen| seen.is_up == is_up);
        let seen = tokio::time::timeout(within, is_so).await;
        let seen = seen.with_context(|| format!("still {:?}", self.seen()))??;
        Ok(*seen)
    }

    /// Connections that clients have open.
    pub fn connections(&self) -> usize {
        self.0.open.load(Relaxed)
    }
}

impl Inner {
    fn asks(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.elapsed()
    }

    async fn suspend(&self) -> Result<()> {
        let mut cluster = self.cluster.lock().await;
        if self.seen.borrow().is_up {
            cluster.shut_down(Shutdown::Fast).await?;
            self.became(false);
        }
        Ok(())
    }

    async fn start(&self) -> Result<()> {
        let mut cluster = self.cluster.lock().await;
        if !self.seen.borrow().is_up {
            cluster.start_again().await?;
            self.asks();
            self.became(true);
        }
        Ok(())
    }

    fn became(&self, is_up: bool) {
        self.seen.send_modify(|seen| {
            seen.is_up = is_up;
            seen.starts += usize::from(is_up);
            seen.since = Instant::now();
        });
    }

    async fn carry(self: Arc<Self>, client: TcpStream) {
        self.asks();
        self.open.fetch_add(1, Relaxed);
        if self.start().await.is_ok()
            && let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)).await
        {
            self.pump(client, server).await;
        }
        self.open.fetch_sub(1, Relaxed);
    }

    async fn pump(&self, client: TcpStream, server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let requests = async {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                self.asks();
                if to_server.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = requests => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
    }
}

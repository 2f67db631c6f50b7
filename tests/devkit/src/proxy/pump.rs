//! How the bytes of one connection are carried, in both directions.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    time::sleep,
};

use super::{
    Link, State,
    commits::{Commits, Cut, Trap},
    counts::{Answers, Meter},
};

const PIECE: usize = 16 * 1024;

pub(super) struct Pump {
    state: watch::Receiver<State>,
    /// Whether anything of this connection was lost.
    has_lost: AtomicBool,
}

impl Pump {
    pub(super) fn new(state: watch::Receiver<State>) -> Self {
        let has_lost = AtomicBool::new(false);
        Self { state, has_lost }
    }

    /// Whether what has come may go on; at the time when it may.
    async fn passes(&self) -> bool {
        let link = self.state.borrow().link;
        match link {
            Link::Slow(by) => sleep(by).await,
            Link::Lossy => self.has_lost.store(true, Ordering::Relaxed),
            Link::Open | Link::Closed | Link::Silent => {}
        }
        !self.has_lost.load(Ordering::Relaxed)
    }

    /// Carries what the client sends. Ends when the connection is to be cut.
    pub(super) async fn requests(
        &self,
        client: &mut OwnedReadHalf,
        server: &mut OwnedWriteHalf,
        trap: Option<&Trap>,
    ) -> io::Result<()> {
        let mut state = self.state.clone();
        let mut commits = Commits::default();
        let mut bytes = vec![0; PIECE];
        loop {
            let read = client.read(&mut bytes).await?;
            if read == 0 || state.wait_for(|state| !state.is_frozen).await.is_err() {
                return Ok(());
            }
            if !self.passes().await {
                continue;
            }
            let Some(trap) = trap.filter(|_| commits.speaks_postgres(bytes[0])) else {
                server.write_all(&bytes[..read]).await?;
                continue;
            };
            let mut sent = &bytes[..read];
            loop {
                let (before, commit) = commits.next(sent);
                server.write_all(&before).await?;
                let Some(commit) = commit else { break };
                match trap.springs() {
                    None => server.write_all(&commit).await?,
                    Some(Cut::Before) => return Ok(()),
                    // Cut at once: the server may still be committing when the client looks for the outcome.
                    Some(Cut::After) => return server.write_all(&commit).await,
                }
                sent = &[];
            }
        }
    }

    /// Carries what the server sends.
    pub(super) async fn answers(
        &self,
        server: &mut OwnedReadHalf,
        client: &mut OwnedWriteHalf,
        meter: Option<&Meter>,
    ) -> io::Result<()> {
        let mut answers = meter.map(Answers::new);
        let mut bytes = vec![0; PIECE];
        loop {
            let read = server.read(&mut bytes).await?;
            if read == 0 {
                return Ok(());
            }
            if let Some(answers) = &mut answers {
                answers.read(&bytes[..read]);
            }
            if self.passes().await {
                client.write_all(&bytes[..read]).await?;
            }
        }
    }
}

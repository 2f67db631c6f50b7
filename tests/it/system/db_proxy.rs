//! A door in front of the database: a TCP proxy that a test can close, silence, or slam at the moment of a commit.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

mod commits;

use commits::Commits;

/// What happens to new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// They are refused, and the others were cut.
    Closed,
    /// They are made and say nothing, and the others fell silent.
    Silent,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// How often everything fell silent: a connection from before that stays so.
    silences: u32,
    /// What clients send is kept, and reaches the server later.
    is_frozen: bool,
}

/// What the server gets to see of a commit before its connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Before,
    /// The commit; its answer vanishes.
    After,
}

/// A proxy on a port of its own.
pub(crate) struct DbProxy {
    url: String,
    state: watch::Sender<State>,
    trap: Arc<Trap>,
}

/// Which commit to cut: so many from now.
#[derive(Default)]
struct Trap(Mutex<Option<(usize, Cut)>>);

impl Trap {
    /// A commit passes; what is to happen to it.
    fn springs(&self) -> Option<Cut> {
        let mut trap = self.0.lock().expect("no panic");
        let (left, cut) = trap.as_mut()?;
        *left -= 1;
        (*left == 0).then_some(*cut).inspect(|_| *trap = None)
    }
}

impl DbProxy {
    /// A door to the server of this database URL.
    pub(crate) async fn open_to(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let start = database_url
            .find("127.0.0.1:")
            .expect("the cluster's address");
        let end = start + database_url[start..].find('/').expect("a database");
        let server = database_url[start..end].to_owned();
        let url = format!(
            "{}127.0.0.1:{port}{}",
            &database_url[..start],
            &database_url[end..]
        );
        let state = watch::Sender::new(State {
            mode: Mode::Open,
            silences: 0,
            is_frozen: false,
        });
        let trap = Arc::default();
        tokio::spawn(serve(
            listener,
            server,
            state.subscribe(),
            Arc::clone(&trap),
        ));
        Self { url, state, trap }
    }

    /// The database through the door.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection and refuses new ones at once.
    pub(crate) fn close(&self) {
        self.state.send_modify(|state| state.mode = Mode::Closed);
    }

    /// Makes a black hole of every connection there is, and of new ones: bytes vanish in both directions, without a reset.
    pub(crate) fn silence(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Silent;
            state.silences += 1;
        });
    }

    /// Lets new connections through. Those that are silent stay silent.
    pub(crate) fn reopen(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }

    /// Keeps what clients send until [`DbProxy::thaw`], even if they hang up meanwhile, as the sockets of a server do that is frozen.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.is_frozen = true);
    }

    /// The server gets what was kept for it.
    pub(crate) fn thaw(&self) {
        self.state.send_modify(|state| state.is_frozen = false);
    }

    /// Cuts the connection that makes the `nth` commit from now.
    pub(crate) fn cut_commit(&self, nth: usize, cut: Cut) {
        *self.trap.0.lock().expect("no panic") = Some((nth, cut));
    }

    /// Whether the commit to cut has come.
    pub(crate) fn has_cut(&self) -> bool {
        self.trap.0.lock().expect("no panic").is_none()
    }
}

async fn serve(
    listener: TcpListener,
    server: String,
    state: watch::Receiver<State>,
    trap: Arc<Trap>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, state, trap) = (server.clone(), state.clone(), Arc::clone(&trap));
        tokio::spawn(async move { carry(client, server, state, &trap).await });
    }
}

/// One connection, for as long as the door lets it be.
async fn carry(client: TcpStream, server: String, mut state: watch::Receiver<State>, trap: &Trap) {
    let born = *state.borrow_and_update();
    let upstream = match born.mode {
        Mode::Closed => return,
        Mode::Silent => return std::future::pending().await,
        Mode::Open => TcpStream::connect(server).await,
    };
    let Ok(upstream) = upstream else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let frozen = state.clone();
    let fell_silent = |state: &State| state.silences > born.silences;
    let changed = tokio::select! {
        _ = requests(&mut from_client, &mut to_server, trap, frozen) => return,
        _ = copy(&mut from_server, &mut to_client) => return,
        changed = state.wait_for(|state| fell_silent(state) || state.mode == Mode::Closed) => changed.map(|state| *state),
    };
    if changed.is_ok_and(|state| fell_silent(&state)) {
        // Both sockets stay open, and nobody reads.
        std::future::pending::<()>().await;
    }
}

/// Carries what the client sends. Ends when the connection is to be cut.
async fn requests(
    client: &mut OwnedReadHalf,
    server: &mut OwnedWriteHalf,
    trap: &Trap,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let mut commits = Commits::default();
    loop {
        let read = client.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        if state.wait_for(|state| !state.is_frozen).await.is_err() {
            return Ok(());
        }
        if !commits.speaks_postgres(bytes[0]) {
            server.write_all(&bytes[..read]).await?;
            continue;
        }
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

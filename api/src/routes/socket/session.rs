//! One socket, from its first frame to its close.

use std::{net::IpAddr, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    calls::Calls,
    frames::{self, Auth, Call, Close},
    methods::{Method, Methods, params},
    queue::{Outgoing, Queue},
    threads::Threads,
};
use crate::{App, error::ApiError, task_watch::Watching};

/// Time to say who one is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Routers cut idle sockets at 55 to 60 s.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Silence, pongs included, after which a client is taken for gone.
const GONE_AFTER: Duration = Duration::from_secs(70);
/// A frame that cannot be sent in this time shows a client that is too slow, or gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that a client gets to close after us.
const LINGER: Duration = Duration::from_secs(1);
/// Time that a call gets to be answered before a socket closes because its process ends.
const LAST_CALL: Duration = Duration::from_secs(2);
/// Time that calls get to end when nobody hears their answers any more; a little more than one takes at most.
const LAST_CALLS: Duration = Duration::from_secs(30);
/// Tokens that are looked at at the same time; a client that has sent more is read on when there is room.
const MAX_PROOFS: usize = 4;
/// Frames that a client may send in a window, and the window.
const MAX_FRAMES: u32 = 200;
const FRAME_WINDOW: Duration = Duration::from_secs(10);

/// Serves a socket until it closes.
pub(super) async fn serve(app: App, user_id: String, address: IpAddr, mut socket: WebSocket) {
    let Some(unauthenticated) = app.connections.enter(address) else {
        return close(socket, Close::TooMany).await;
    };
    // What is done now and then is boxed here and below: a socket is silent most of the time, and should be small then.
    let authenticated = Box::pin(authenticate(&app, &user_id, &mut socket)).await;
    let expires_at = match authenticated {
        Ok(expires_at) => expires_at,
        Err(Some(code)) => return close(socket, code).await,
        Err(None) => return,
    };
    let Some(_place) = app.connections.know(unauthenticated, &user_id) else {
        return close(socket, Close::TooMany).await;
    };
    let mut session = Session::new(app, user_id, expires_at);
    let ended = session.run(&mut socket).await;
    let mut calls = session.into_calls();
    if let Some(code) = ended {
        calls.forget_waiting();
        close(socket, code).await;
    } else {
        drop(socket);
    }
    Box::pin(calls.finish(LAST_CALLS)).await;
}

/// Says why, and reads on until the client has closed too: a connection that is dropped with bytes unread is reset, and the close code
/// may be lost with it.
async fn close(mut socket: WebSocket, code: Close) {
    let frame = CloseFrame {
        code: code as u16,
        reason: "".into(),
    };
    let _ = tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
    let read = async {
        while let Some(message) = socket.recv().await {
            if message.is_err() {
                // What cannot be read stays unread; the code gets a moment to arrive.
                tokio::time::sleep(LINGER / 4).await;
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, read).await;
}

/// The first frame proves who it is, in time. Returns when the proof expires.
async fn authenticate(
    app: &App,
    user_id: &str,
    socket: &mut WebSocket,
) -> Result<Instant, Option<Close>> {
    let deadline = Instant::now() + AUTH_TIMEOUT;
    loop {
        let message = tokio::select! {
            () = app.stop.cancelled() => return Err(Some(Close::Restart)),
            () = tokio::time::sleep_until(deadline) => return Err(Some(Close::Unauthenticated)),
            message = socket.recv() => message,
        };
        let Some(call) = read(message)? else { continue };
        if !matches!(Method::of(&call), Ok(Method::Auth)) {
            return Err(Some(Close::Unauthenticated));
        }
        let (answer, expires_at) = prove(app, user_id, &call).await;
        let _ = tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::text(answer))).await;
        return expires_at.ok_or(Some(Close::Unauthenticated));
    }
}

/// Checks a token; the answer, and when it expires if it is good.
async fn prove(app: &App, user_id: &str, call: &Call) -> (String, Option<Instant>) {
    let proof = async {
        let Auth { token } = params(call)?;
        let proof = app.auth.verify(&token).await?;
        if proof.user_id != user_id {
            return Err(ApiError::forbidden());
        }
        Ok(proof)
    };
    match proof.await {
        Ok(proof) => {
            let fields = json!({"userId": proof.user_id, "expiresAt": proof.expires_at});
            (
                frames::answer(&call.id, Ok(fields)),
                Some(Instant::now() + proof.lasts()),
            )
        }
        Err(error) => (frames::answer(&call.id, Err(error)), None),
    }
}

/// A call, or nothing if the frame was none (a pong, say).
fn read(message: Option<Result<Message, axum::Error>>) -> Result<Option<Call>, Option<Close>> {
    match message {
        None | Some(Ok(Message::Close(_))) => Err(None),
        Some(Ok(Message::Text(text))) => Call::parse(&text).map(Some).ok_or(Some(Close::Malformed)),
        Some(Ok(Message::Binary(_))) => Err(Some(Close::Malformed)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Err(error)) => Err(is_too_big(&error).then_some(Close::TooBig)),
    }
}

fn is_too_big(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

struct Session {
    app: App,
    user_id: String,
    expires_at: Instant,
    calls: Calls,
    /// Tokens that are being looked at: it may take a while to have their keys.
    proofs: JoinSet<(String, Option<Instant>)>,
    outgoing: mpsc::Receiver<Outgoing>,
    window: (Instant, u32),
    tasks: Watching,
}

impl Session {
    fn new(app: App, user_id: String, expires_at: Instant) -> Self {
        let (queue, outgoing) = Queue::open();
        let methods = Methods {
            app: app.clone(),
            user_id: user_id.clone(),
            threads: Threads::default(),
            deliveries: queue.deliveries.clone(),
        };
        Self {
            tasks: app.task_watch.watch(&user_id),
            app,
            user_id,
            expires_at,
            calls: Calls::new(methods, queue),
            proofs: JoinSet::new(),
            outgoing,
            window: (Instant::now(), 0),
        }
    }

    /// Until the client leaves, or has to.
    async fn run(&mut self, socket: &mut WebSocket) -> Option<Close> {
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut heard = Instant::now();
        let stop = self.app.stop.clone();
        loop {
            // The room that a frame takes in the queue is free once it is sent.
            let mut _room = None;
            let is_read_on = self.calls.has_room() && self.proofs.len() < MAX_PROOFS;
            let send = tokio::select! {
                () = stop.cancelled() => {
                    Box::pin(self.answer_last(socket)).await;
                    return Some(Close::Restart);
                }
                () = tokio::time::sleep_until(self.expires_at) => return Some(Close::Unauthenticated),
                () = tokio::time::sleep_until(heard + GONE_AFTER) => return None,
                _ = ping.tick() => Message::Ping(Default::default()),
                frame = self.outgoing.recv() => match frame {
                    Some(Outgoing::Frame(frame, room)) => {
                        _room = Some(room);
                        Message::text(frame)
                    }
                    Some(Outgoing::Close(close)) => return Some(close),
                    None => return Some(Close::Failed),
                },
                () = self.tasks.changed() => Message::text(frames::TASKS_CHANGED),
                answer = self.calls.answered() => match answer {
                    Ok(answer) => Message::text(answer),
                    Err(close) => return Some(close),
                },
                Some(proof) = self.proofs.join_next() => {
                    let Ok((answer, expires_at)) = proof else {
                        return Some(Close::Failed);
                    };
                    // Each token is good to its own end, in whatever order they were looked at.
                    self.expires_at = self.expires_at.max(expires_at.unwrap_or(self.expires_at));
                    Message::text(answer)
                }
                message = socket.recv(), if is_read_on => {
                    heard = Instant::now();
                    let call = match read(message) {
                        Ok(Some(call)) => call,
                        Ok(None) => continue,
                        Err(close) => return close,
                    };
                    if self.is_flood() {
                        return Some(Close::TooMany);
                    }
                    match self.take(call) {
                        Some(answer) => Message::text(answer),
                        None => continue,
                    }
                }
            };
            match tokio::time::timeout(SEND_TIMEOUT, socket.send(send)).await {
                Ok(Ok(())) => {}
                // Nobody is there any more, most likely; if somebody is, there is a code.
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot send to a socket");
                    return Some(Close::Failed);
                }
                Err(_) => return Some(Close::TooSlow),
            }
        }
    }

    /// What is not answered, when nobody listens any more.
    fn into_calls(self) -> Calls {
        self.calls
    }

    fn is_flood(&mut self) -> bool {
        if self.window.0.elapsed() > FRAME_WINDOW {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        self.window.1 > MAX_FRAMES
    }

    /// Begins what is called for, or has the answer at once.
    fn take(&mut self, call: Call) -> Option<String> {
        match Method::of(&call) {
            Err(error) => Some(frames::answer(&call.id, Err(error))),
            Ok(Method::Ping) => Some(frames::answer(&call.id, Ok(json!({})))),
            Ok(Method::Auth) => {
                let (app, user_id) = (self.app.clone(), self.user_id.clone());
                self.proofs
                    .spawn(async move { prove(&app, &user_id, &call).await });
                None
            }
            Ok(method) => {
                self.calls.push(method, call);
                None
            }
        }
    }

    /// Answers the call that is under way when the process is asked to stop.
    async fn answer_last(&mut self, socket: &mut WebSocket) {
        self.calls.forget_waiting();
        let last = async {
            if let Some(answer) = self.calls.last_answer().await {
                let _ = socket.send(Message::text(answer)).await;
            }
        };
        let _ = tokio::time::timeout(LAST_CALL, last).await;
    }
}

//! One socket, from its first frame to its close.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use errand_shared::store::{self, StoreError, conversations, runs};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};
use uuid::Uuid;

use super::{
    super::{
        agent_input::request_hash, decisions::decision, message::check_text, runs::cancel_run,
    },
    frames::{self, Auth, Call, Close, RunDecide, RunRef, RunRetry, RunStart, Subscribe, Thread},
    queue::{Outgoing, Queue, relay},
};
use crate::{
    App,
    accept::{self, Idempotency},
    body,
    decide::{self, Wish},
    error::ApiError,
    follow::{After, Follower},
    retry::{self, Retry},
    task_watch::Watching,
};

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
/// Conversations that one socket may follow.
const MAX_THREADS: usize = 32;
/// Frames that a client may send in a window, and the window.
const MAX_FRAMES: u32 = 200;
const FRAME_WINDOW: Duration = Duration::from_secs(10);

/// What a client may call, by name. The answer to anything else lists the names.
const METHODS: [(&str, Method); 8] = [
    ("auth", Method::Auth),
    ("run.start", Method::StartRun),
    ("subscribe", Method::Subscribe),
    ("unsubscribe", Method::Unsubscribe),
    ("run.cancel", Method::CancelRun),
    ("run.decide", Method::Decide),
    ("run.retry", Method::Retry),
    ("ping", Method::Ping),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Auth,
    StartRun,
    Subscribe,
    Unsubscribe,
    CancelRun,
    Decide,
    Retry,
    Ping,
}

impl Method {
    /// # Errors
    /// There is no such method, or the call has a key twice.
    fn of(call: &Call) -> Result<Self, ApiError> {
        if let Some(ambiguous) = &call.ambiguous {
            return Err(ambiguous.clone().into());
        }
        let known = METHODS.iter().find(|(known, _)| *known == call.method);
        known.map(|(_, method)| *method).ok_or_else(|| {
            let names = METHODS.map(|(name, _)| name).join(", ");
            ApiError::invalid(format!("There is no such method; these are: {names}."))
        })
    }
}

/// Serves a socket until it closes.
pub(super) async fn serve(app: App, user_id: String, address: IpAddr, mut socket: WebSocket) {
    let close = match app.sockets.enter(address) {
        // What is done now and then is boxed here and below: a socket is silent most of the time, and should be small then.
        Some((_place, stranger)) => {
            match Box::pin(authenticate(&app, &user_id, &mut socket)).await {
                Ok(expires_at) => {
                    drop(stranger);
                    let mut session = Session::new(app, user_id, expires_at);
                    session.run(&mut socket).await
                }
                Err(close) => close,
            }
        }
        None => Some(Close::TooMany),
    };
    if let Some(close) = close {
        let frame = CloseFrame {
            code: close as u16,
            reason: "".into(),
        };
        let _ = tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
        linger(&mut socket).await;
    }
}

/// Reads on until the client has closed too: a connection that is dropped with bytes unread is reset, and the close code
/// may be lost with it.
async fn linger(socket: &mut WebSocket) {
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
        let message = tokio::time::timeout_at(deadline, socket.recv())
            .await
            .map_err(|_| Some(Close::Unauthenticated))?;
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
            let left = proof.expires_at - chrono::Utc::now().timestamp();
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            let fields = json!({"userId": proof.user_id, "expiresAt": proof.expires_at});
            (
                frames::answer(&call.id, Ok(fields)),
                Some(Instant::now() + left),
            )
        }
        Err(error) => (frames::answer(&call.id, Err(error)), None),
    }
}

fn params<T: DeserializeOwned>(call: &Call) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(&call.params)
        .map_err(|error| body::refused(&error.path().to_string(), &error.inner().to_string()))
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
    threads: HashMap<Uuid, AbortHandle>,
    queue: Queue,
    outgoing: Option<mpsc::Receiver<Outgoing>>,
    window: (Instant, u32),
    tasks: Watching,
}

impl Session {
    fn new(app: App, user_id: String, expires_at: Instant) -> Self {
        let (queue, outgoing) = Queue::open();
        Self {
            tasks: app.task_watch.watch(&user_id),
            app,
            user_id,
            expires_at,
            threads: HashMap::new(),
            queue,
            outgoing: Some(outgoing),
            window: (Instant::now(), 0),
        }
    }

    /// Until the client leaves, or has to.
    async fn run(&mut self, socket: &mut WebSocket) -> Option<Close> {
        let mut outgoing = self.outgoing.take()?;
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut heard = Instant::now();
        let stop = self.app.stop.clone();
        loop {
            // The room that a frame takes in the queue is free once it is sent.
            let mut _room = None;
            let send = tokio::select! {
                () = stop.cancelled() => return Some(Close::Restart),
                () = tokio::time::sleep_until(self.expires_at) => return Some(Close::Unauthenticated),
                () = tokio::time::sleep_until(heard + GONE_AFTER) => return None,
                _ = ping.tick() => Message::Ping(Default::default()),
                frame = outgoing.recv() => match frame {
                    Some(Outgoing::Frame(frame, room)) => {
                        _room = Some(room);
                        Message::text(frame)
                    }
                    Some(Outgoing::Close(close)) => return Some(close),
                    None => return Some(Close::Failed),
                },
                () = self.tasks.changed() => Message::text(frames::TASKS_CHANGED),
                message = socket.recv() => {
                    heard = Instant::now();
                    let call = match read(message) {
                        Ok(Some(call)) => call,
                        Ok(None) => continue,
                        Err(close) => return close,
                    };
                    if self.is_flood() {
                        return Some(Close::TooMany);
                    }
                    Message::text(Box::pin(self.answer(&call)).await)
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

    fn is_flood(&mut self) -> bool {
        if self.window.0.elapsed() > FRAME_WINDOW {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        self.window.1 > MAX_FRAMES
    }

    async fn answer(&mut self, call: &Call) -> String {
        let result = match Method::of(call) {
            Ok(Method::Auth) => {
                let (answer, expires_at) = prove(&self.app, &self.user_id, call).await;
                self.expires_at = expires_at.unwrap_or(self.expires_at);
                return answer;
            }
            Ok(Method::StartRun) => self.start_run(call).await,
            Ok(Method::Subscribe) => self.subscribe(call).await,
            Ok(Method::Unsubscribe) => self.unsubscribe(call),
            Ok(Method::CancelRun) => self.cancel(call).await,
            Ok(Method::Decide) => self.decide(call).await,
            Ok(Method::Retry) => self.retry(call).await,
            Ok(Method::Ping) => Ok(json!({})),
            Err(error) => Err(error),
        };
        frames::answer(&call.id, result)
    }

    async fn start_run(&mut self, call: &Call) -> Result<Value, ApiError> {
        let start: RunStart = params(call)?;
        check_text(&start.message)?;
        let thread_id = start.thread_id.unwrap_or_else(errand_shared::ids::new_id);
        let run_id = start.run_id.unwrap_or_else(errand_shared::ids::new_id);
        let key = run_id.to_string();
        // Without a thread the client repeats its request without one, so the hash has none either.
        let asked_for = start.thread_id.unwrap_or_default();
        let request_hash = request_hash(asked_for.as_bytes(), &start.message);
        let message = accept::Message {
            run_id,
            user_id: &self.user_id,
            thread: accept::Thread::Own(thread_id),
            text: &start.message,
            metadata: None,
            on_busy: start.on_busy,
            idempotency: start.run_id.is_some().then_some(Idempotency {
                key: &key,
                request_hash: &request_hash,
            }),
        };
        let run_id = accept::accept(&self.app, &message).await?.run_id;
        self.follow_new(run_id).await
    }

    async fn decide(&mut self, call: &Call) -> Result<Value, ApiError> {
        let wanted: RunDecide = params(call)?;
        let wish = Wish {
            user_id: &self.user_id,
            run_id: wanted.run_id,
            thread: None,
            decision: &decision(wanted.approve, wanted.decisions)?,
            child: wanted.new_run_id.unwrap_or_else(errand_shared::ids::new_id),
        };
        let run_id = decide::decide(&self.app, &wish).await?.run_id;
        self.follow_new(run_id).await
    }

    async fn retry(&mut self, call: &Call) -> Result<Value, ApiError> {
        let wanted: RunRetry = params(call)?;
        let key = wanted.new_run_id.map(|id| id.to_string());
        let wanted = Retry {
            user_id: &self.user_id,
            run_id: wanted.run_id,
            child: wanted.new_run_id.unwrap_or_else(errand_shared::ids::new_id),
            key: key.as_deref(),
        };
        let run_id = retry::retry(&self.app, &wanted).await?.run_id;
        self.follow_new(run_id).await
    }

    /// Follows the conversation of a run that has just been accepted, from the run's start.
    async fn follow_new(&mut self, run_id: Uuid) -> Result<Value, ApiError> {
        let run = store::within(async {
            let mut db = store::begin_for(&self.app.db, &self.user_id).await?;
            runs::find(&mut db, &self.user_id, run_id).await
        })
        .await?
        .ok_or_else(|| ApiError::not_found("run"))?;
        self.follow(run.conversation_id, Some(After { run_id, seq: 0 }))
            .await?;
        Ok(json!({"threadId": run.conversation_id, "runId": run_id, "status": run.status}))
    }

    async fn subscribe(&mut self, call: &Call) -> Result<Value, ApiError> {
        let subscribe: Subscribe = params(call)?;
        let thread_id = subscribe.thread_id;
        let (exists, active) = store::within(async {
            let mut db = store::begin_for(&self.app.db, &self.user_id).await?;
            let exists = conversations::exists(&mut db, thread_id, &self.user_id).await?;
            Ok::<_, StoreError>((
                exists,
                runs::at_work(&mut db, &self.user_id, thread_id).await?,
            ))
        })
        .await?;
        if !exists {
            return Err(ApiError::not_found("conversation"));
        }
        // Asked again, it starts over from the place that is asked for now.
        self.forget(thread_id);
        let after = subscribe.after.map(|after| After {
            run_id: after.run_id,
            seq: after.seq.max(0),
        });
        self.follow(thread_id, after).await?;
        let mut fields = json!({"threadId": thread_id});
        if let Some(run_id) = active {
            fields["activeRunId"] = json!(run_id);
        }
        Ok(fields)
    }

    fn unsubscribe(&mut self, call: &Call) -> Result<Value, ApiError> {
        let Thread { thread_id } = params(call)?;
        self.forget(thread_id);
        Ok(json!({"threadId": thread_id}))
    }

    async fn cancel(&self, call: &Call) -> Result<Value, ApiError> {
        let RunRef { run_id } = params(call)?;
        let status = cancel_run(&self.app, &self.user_id, run_id).await?;
        Ok(json!({"runId": run_id, "status": status}))
    }

    /// Follows a conversation, unless this socket does already.
    async fn follow(&mut self, thread_id: Uuid, after: Option<After>) -> Result<(), ApiError> {
        self.threads.retain(|_, thread| !thread.is_finished());
        if self.threads.contains_key(&thread_id) {
            return Ok(());
        }
        if self.threads.len() >= MAX_THREADS {
            let message = format!("A socket may follow at most {MAX_THREADS} conversations.");
            return Err(ApiError::rate_limited(message, Duration::from_secs(1)));
        }
        let follower = Follower::start(&self.app, &self.user_id, thread_id, after).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "one conversation of one socket; the socket is closed if it fails"
        )]
        let thread = tokio::spawn(relay(follower, thread_id, self.queue.clone()));
        self.threads.insert(thread_id, thread.abort_handle());
        Ok(())
    }

    fn forget(&mut self, thread_id: Uuid) {
        if let Some(thread) = self.threads.remove(&thread_id) {
            thread.abort();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.threads.values().for_each(AbortHandle::abort);
    }
}

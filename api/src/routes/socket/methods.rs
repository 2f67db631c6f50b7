//! What a client may call, and what each call does.

use std::time::Duration;

use chrono_tz::Tz;
use errand_store::{self as store, StoreError, lifecycle, read::conversations};
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    super::runs::cancel_run,
    deliveries::Deliveries,
    frames::{self, Call, RunDecide, RunRef, RunRetry, RunStart, Subscribe, Thread},
    threads::{MAX_THREADS, Threads},
};
use crate::{
    App,
    accept::{self, Idempotency},
    body,
    chat::input::{agent::request_hash, check_text, decision::decision},
    decide::{self, DecisionCommand},
    error::ApiError,
    live::subscription::{After, Subscription},
    request,
    retry::{self, Retry},
    spans,
};

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
pub(super) enum Method {
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
    pub(super) fn of(call: &Call) -> Result<Self, ApiError> {
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

/// The parameters of a call.
///
/// # Errors
/// They are not what the method asks for.
pub(super) fn params<T: DeserializeOwned>(call: &Call) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(&call.params)
        .map_err(|error| body::refused(&error.path().to_string(), &error.inner().to_string()))
}

/// # Errors
/// There is no such zone.
fn zone(name: Option<&str>) -> Result<Option<Tz>, ApiError> {
    name.map(|name| request::known_zone("timeZone", name))
        .transpose()
}

/// What calls work with. One call at a time has it.
pub(super) struct Methods {
    pub(super) app: App,
    pub(super) user_id: String,
    /// The conversations that this socket follows.
    pub(super) threads: Threads,
    /// The turns that it has begun.
    pub(super) deliveries: Deliveries,
}

/// A call that is done.
pub(super) struct Done {
    /// The frame that answers it.
    pub(super) answer: String,
    /// A conversation that this socket follows from now on: events come behind the answer.
    pub(super) follows: Option<(Uuid, Subscription)>,
}

type Answer = (Value, Option<(Uuid, Subscription)>);

impl Methods {
    /// Does what is called for.
    pub(super) async fn answer(&mut self, method: Method, call: &Call) -> Done {
        let answer = match method {
            Method::StartRun => self.start_run(call).await,
            Method::Subscribe => self.subscribe(call).await,
            Method::Unsubscribe => self.unsubscribe(call),
            Method::CancelRun => self.cancel(call).await,
            Method::Decide => self.decide(call).await,
            Method::Retry => self.retry(call).await,
            Method::Auth | Method::Ping => Ok((json!({}), None)),
        };
        let (result, follows) = match answer {
            Ok((fields, follows)) => (Ok(fields), follows),
            Err(error) => (Err(error), None),
        };
        Done {
            answer: frames::answer(&call.id, result),
            follows,
        }
    }

    async fn start_run(&self, call: &Call) -> Result<Answer, ApiError> {
        let start: RunStart = params(call)?;
        check_text(&start.message)?;
        let thread_id = start.thread_id.unwrap_or_else(errand_core::ids::new_id);
        let run_id = start.run_id.unwrap_or_else(errand_core::ids::new_id);
        let key = run_id.to_string();
        // Without a thread the client repeats its request without one, so the hash has none either.
        let asked_for = start.thread_id.unwrap_or_default();
        let request_hash = request_hash(asked_for.as_bytes(), &start.message);
        let metadata = start.metadata();
        let model = metadata.as_ref().map(|metadata| &metadata["model"]);
        self.app.policy.check_model("model", model)?;
        let message = accept::Message {
            run_id,
            user_id: &self.user_id,
            thread: accept::Thread::Own(thread_id),
            text: &start.message,
            metadata: metadata.as_ref(),
            time_zone: zone(start.time_zone.as_deref())?,
            on_busy: start.on_busy,
            idempotency: start.run_id.is_some().then_some(Idempotency {
                key: &key,
                request_hash: &request_hash,
            }),
        };
        let accept = Box::pin(async {
            let accepted = accept::accept(&self.app, &message).await?;
            Ok(accepted.run_id)
        });
        let traceparent = start.traceparent.as_deref();
        self.begin_turn("run.start", traceparent, run_id, accept)
            .await
    }

    /// Accepts a run, and follows its conversation.
    async fn begin_turn(
        &self,
        method: &'static str,
        traceparent: Option<&str>,
        run_id: Uuid,
        accept: BoxFuture<'_, Result<Uuid, ApiError>>,
    ) -> Result<Answer, ApiError> {
        let (span, lines) = spans::call(method, traceparent, &self.user_id);
        let begin = Box::pin(async {
            // Before it is accepted: its end may be told while this goes on.
            let delivery = spans::streaming(run_id, "websocket");
            self.deliveries.begin(run_id, delivery);
            let begun = async { self.follow_new(accept.await?).await }.await;
            if begun.is_err() {
                self.deliveries.end(run_id);
            }
            begun
        });
        span.scope(begin).instrument(lines).await
    }

    async fn decide(&self, call: &Call) -> Result<Answer, ApiError> {
        let wanted: RunDecide = params(call)?;
        let child = wanted.new_run_id.unwrap_or_else(errand_core::ids::new_id);
        let command = DecisionCommand {
            user_id: &self.user_id,
            run_id: wanted.run_id,
            thread: None,
            decision: &decision(wanted.approve, wanted.decisions)?,
            child,
            time_zone: zone(wanted.time_zone.as_deref())?,
        };
        let decide = Box::pin(async {
            let accepted = decide::decide(&self.app, &command).await?;
            Ok(accepted.run_id)
        });
        let traceparent = wanted.traceparent.as_deref();
        self.begin_turn("run.decide", traceparent, child, decide)
            .await
    }

    async fn retry(&self, call: &Call) -> Result<Answer, ApiError> {
        let wanted: RunRetry = params(call)?;
        let key = wanted.new_run_id.map(|id| id.to_string());
        let child = wanted.new_run_id.unwrap_or_else(errand_core::ids::new_id);
        let again = Retry {
            user_id: &self.user_id,
            run_id: wanted.run_id,
            child,
            key: key.as_deref(),
            time_zone: zone(wanted.time_zone.as_deref())?,
        };
        let retry = Box::pin(async {
            let accepted = retry::retry(&self.app, &again).await?;
            Ok(accepted.run_id)
        });
        let traceparent = wanted.traceparent.as_deref();
        self.begin_turn("run.retry", traceparent, child, retry)
            .await
    }

    /// Follows the conversation of a run that has just been accepted, from the run's start, unless this socket does already.
    async fn follow_new(&self, run_id: Uuid) -> Result<Answer, ApiError> {
        let turn = self.app.reads.enter(&self.user_id).await?;
        let run = store::within(async {
            let mut db = turn.begin().await?;
            let read = lifecycle::find(&mut db, &self.user_id, run_id).await;
            db.done(read).await
        })
        .await?
        .ok_or_else(|| ApiError::not_found("run"))?;
        // To follow it is another read.
        drop(turn);
        let thread_id = run.conversation_id;
        let follows = match self.threads.contains(thread_id) {
            true => None,
            false => {
                let after = Some(After { run_id, seq: 0 });
                Some((thread_id, self.follow(thread_id, after).await?))
            }
        };
        let fields = json!({"threadId": thread_id, "runId": run_id, "status": run.status});
        Ok((fields, follows))
    }

    /// Asked again, it starts over from the place that is asked for now.
    async fn subscribe(&self, call: &Call) -> Result<Answer, ApiError> {
        let subscribe: Subscribe = params(call)?;
        let thread_id = subscribe.thread_id;
        let turn = self.app.reads.enter(&self.user_id).await?;
        let (exists, active) = store::within(async {
            let mut db = turn.begin().await?;
            let exists = conversations::exists(&mut db, thread_id, &self.user_id).await?;
            let active = lifecycle::at_work(&mut db, &self.user_id, thread_id).await;
            let active = db.done(active).await?;
            Ok::<_, StoreError>((exists, active))
        })
        .await?;
        drop(turn);
        if !exists {
            return Err(ApiError::not_found("conversation"));
        }
        let after = subscribe.after.map(|after| After {
            run_id: after.run_id,
            seq: after.seq.max(0),
        });
        let follower = self.follow(thread_id, after).await?;
        let mut fields = json!({"threadId": thread_id});
        if let Some(run_id) = active {
            fields["activeRunId"] = json!(run_id);
        }
        Ok((fields, Some((thread_id, follower))))
    }

    fn unsubscribe(&mut self, call: &Call) -> Result<Answer, ApiError> {
        let Thread { thread_id } = params(call)?;
        self.threads.forget(thread_id);
        Ok((json!({"threadId": thread_id}), None))
    }

    async fn cancel(&self, call: &Call) -> Result<Answer, ApiError> {
        let RunRef { run_id } = params(call)?;
        let status = cancel_run(&self.app, &self.user_id, run_id).await?;
        Ok((json!({"runId": run_id, "status": status}), None))
    }

    async fn follow(
        &self,
        thread_id: Uuid,
        after: Option<After>,
    ) -> Result<Subscription, ApiError> {
        if !self.threads.has_room_for(thread_id) {
            let message = format!("A socket may follow at most {MAX_THREADS} conversations.");
            return Err(ApiError::rate_limited(message, Duration::from_secs(1)));
        }
        Ok(Subscription::start(&self.app, &self.user_id, thread_id, after).await?)
    }
}

//! What a client has sent becomes a run: a message is accepted, or a decision made.

use std::collections::HashMap;

use errand_core::ids;
use http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::input::{
    ChatRequest, Form,
    agent::{AgentInput, Names, Saying, ThreadName, request_hash},
    decision::decision,
};
use crate::{
    App,
    accept::{self, AcceptedRun, Idempotency, OnBusy, Thread},
    auth::User,
    decide::{self, DecisionCommand},
    error::ApiError,
    request,
};

/// Accepts a body in either of its forms; returns what its client calls thread and run, too.
///
/// # Errors
/// As [`message`] and [`agent`].
pub(crate) async fn form(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(AcceptedRun, Names), ApiError> {
    match form {
        Form::Agent(input) => agent(app, user, headers, input).await,
        Form::Chat(request) => {
            let accepted = message(app, user, headers, request, ids::new_id()).await?;
            Ok((accepted, Names::default()))
        }
    }
}

/// Accepts a plain chat body as this run; returns the run, which is an earlier one if the key has begun it.
///
/// # Errors
/// The body is invalid, a limit is reached, or the database is down.
pub(crate) async fn message(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    request: &ChatRequest,
    run_id: Uuid,
) -> Result<AcceptedRun, ApiError> {
    request.check()?;
    app.policy.check_model("metadata.model", request.model())?;
    let of_request = request::time_zone(headers)?;
    let time_zone = request.time_zone()?.or(of_request);
    let request_hash = request.hash();
    let key = request::idempotency_key(headers)?;
    let metadata = request.metadata.clone().map(Value::Object);
    let message = accept::Message {
        run_id,
        user_id: &user.id,
        thread: request
            .conversation_id
            .map_or(Thread::New, Thread::Existing),
        text: &request.message,
        metadata: metadata.as_ref(),
        time_zone,
        on_busy: request.on_busy,
        idempotency: key.map(|key| Idempotency {
            key,
            request_hash: &request_hash,
        }),
    };
    accept::accept(app, &message).await
}

/// Accepts the input as a run, or finds the run that its `runId` has begun. A `runId` that is a UUID is the run's id; any
/// other is no more than the key under which the user's client asks for it again.
///
/// # Errors
/// The input is of no use, a limit is reached, or the database is down.
async fn agent(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    input: &AgentInput,
) -> Result<(AcceptedRun, Names), ApiError> {
    let of_request = request::time_zone(headers)?;
    let time_zone = input.time_zone.or(of_request);
    let run_id = Uuid::parse_str(&input.run);
    let key = run_id
        .as_ref()
        .map_or_else(|_| input.run.clone(), Uuid::to_string);
    let run_id = run_id.unwrap_or_else(|_| ids::new_id());
    let (thread, hashed) = match &input.thread {
        ThreadName::Id(id, _) => (Thread::Own(*id), id.as_bytes().to_vec()),
        // A name has no NUL, so that here it ends where it ends.
        ThreadName::Name(name) => (Thread::Named(name), format!("{name}\0").into_bytes()),
    };
    let accepted = match &input.said {
        Saying::Text(text) => {
            let model = input.wishes.model.as_ref();
            app.policy.check_model("forwardedProps.model", model)?;
            let metadata = input.wishes.metadata(app.policy.has_models());
            let message = accept::Message {
                run_id,
                user_id: &user.id,
                thread,
                text,
                metadata: metadata.as_ref(),
                time_zone,
                on_busy: OnBusy::Enqueue,
                idempotency: Some(Idempotency {
                    key: &key,
                    request_hash: &request_hash(&hashed, text),
                }),
            };
            accept::accept(app, &message).await?
        }
        Saying::Decisions(each) => {
            let command = DecisionCommand {
                user_id: &user.id,
                run_id: waiting_run(each)?,
                thread: Some(thread),
                decision: &decision(None, Some(each.clone()))?,
                child: run_id,
                time_zone,
            };
            decide::decide(app, &command).await?
        }
    };
    let names = input.names(&accepted);
    Ok((accepted, names))
}

/// The run that waits: the interrupts' ids name it.
fn waiting_run(each: &HashMap<String, bool>) -> Result<Uuid, ApiError> {
    let mut runs = each.keys().map(|id| {
        let (run_id, _) = id.split_once('/')?;
        Uuid::parse_str(run_id).ok()
    });
    let run_id = runs.next().flatten();
    run_id
        .filter(|_| runs.all(|other| other == run_id))
        .ok_or_else(|| ApiError::invalid_field("resume", "resume names no interrupt of one run."))
}

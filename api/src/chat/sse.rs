//! Server-sent events: a run's AG-UI events, from any place, each under its seq as `id`. What else changes the user's tasks meanwhile is
//! told beside them, without an id: it is no event of the run, and nobody resumes behind it.

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use errand_store::{self as store, lifecycle};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    input::{self, agent::Names},
    submit,
};
use crate::{
    App,
    accept::AcceptedRun,
    auth::User,
    body::JsonBody,
    connections::Streaming,
    error::ApiError,
    live::{
        broker::is_terminal,
        subscription::{After, Delivery, Subscription},
    },
    routes::runs,
    spans,
    task_watch::Watching,
};

/// Routers cut idle streams at 55 to 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Tells that the user's tasks changed, and not by the run: read them again.
const TASKS_CHANGED: &str = r#"{"type":"CUSTOM","name":"errand.tasks_changed","value":{}}"#;

/// An event of the stream, as the HTML standard has it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what is written line by line")]
pub(crate) struct ServerSentEvent {
    /// The event's `seq`: `Last-Event-ID` goes on behind it.
    id: String,
    /// An AG-UI event as JSON.
    data: String,
}

/// `POST …/chat` with `Accept: text/event-stream`: accepts the message and streams its run.
///
/// # Errors
/// As for the plain answer.
pub(crate) async fn chat(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    body: JsonBody<'_>,
) -> Result<Response, ApiError> {
    // Before the message is accepted: who is refused may say it again.
    let place = app.connections.stream(&user.id)?;
    let form = body.parse_with(input::read_either).await?;
    let (accepted, names) = submit::form(app, user, headers, &form).await?;
    stream_named(app, user, place, accepted, names).await
}

/// Streams a run that has just been accepted, at a place that was taken before.
///
/// # Errors
/// The database is down; the details name the run.
pub(crate) async fn stream_accepted(
    app: &App,
    user: &User,
    place: Streaming,
    accepted: AcceptedRun,
) -> Result<Response, ApiError> {
    stream_named(app, user, place, accepted, Names::default()).await
}

/// As [`stream_accepted`], for a client that has its own names for thread and run. Where the events are under ours is in
/// `Content-Location`.
async fn stream_named(
    app: &App,
    user: &User,
    place: Streaming,
    accepted: AcceptedRun,
    names: Names,
) -> Result<Response, ApiError> {
    let run_id = accepted.run_id;
    let stream = stream_run(app, user, place, run_id, 0, names)
        .await
        .map(|mut response| {
            let place = format!("{}/events", runs::location(&user.id, run_id));
            if let Ok(place) = HeaderValue::try_from(place) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_LOCATION, place);
            }
            response
        })
        // It is accepted whatever happens to the stream: the client follows this run, and does not say it again.
        .map_err(|error| error.with_details(json!({"run_id": run_id})));
    Ok(accepted.tell_quota(stream))
}

pub(crate) async fn stream_run(
    app: &App,
    user: &User,
    place: Streaming,
    run_id: Uuid,
    seq: i64,
    names: Names,
) -> Result<Response, ApiError> {
    let turn = app.reads.enter(&user.id).await?;
    let run = store::within(async {
        let mut db = turn.begin().await?;
        let read = lifecycle::find(&mut db, &user.id, run_id).await;
        db.done(read).await
    });
    let run = run.await?.ok_or_else(|| ApiError::not_found("run"))?;
    drop(turn);
    let after = After { run_id, seq };
    let follower = Subscription::start_at_run(app, &user.id, run.conversation_id, after).await?;
    if follower.must_resync() {
        return Err(ApiError::not_found(
            "place in the events of this run: they are purged, or never were",
        ));
    }
    let names = Arc::new(names);
    let until = user.until;
    let bounds = Bounds::default();
    // Nothing may come in front of the first event.
    if seq > 0 {
        bounds.begun.cancel();
    }
    let others = changes_by_others(
        app.task_watch.watch_beside(&user.id, run_id),
        bounds.clone(),
    );
    let span = spans::streaming(run_id, "sse");
    // The place is given up with the follower, or when the client hangs up.
    let live = Some((follower, place, bounds.over.drop_guard(), span));
    let events = stream::unfold((live, app.stop.clone()), move |(live, stop)| {
        let (names, begun) = (Arc::clone(&names), bounds.begun.clone());
        async move {
            let (mut follower, place, over, mut span) = live?;
            tokio::select! {
                // The client resumes with another process.
                () = stop.cancelled() => None,
                // And here with another token.
                () = tokio::time::sleep_until(until) => None,
                next = next_of(&mut follower, run_id, &names) => {
                    let (event, is_last) = next?;
                    begun.cancel();
                    if is_last {
                        span.set("errand.delivered", true);
                    }
                    Some((event, ((!is_last).then_some((follower, place, over, span)), stop.clone())))
                }
            }
        }
    });
    Ok(respond(stream::select(events, others)))
}

/// Between which events of a run others may be told: behind its first and before its last.
#[derive(Clone, Default)]
struct Bounds {
    begun: CancellationToken,
    over: CancellationToken,
}

/// Tells of changes that others than the run make.
fn changes_by_others(
    watching: Watching,
    bounds: Bounds,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let Bounds { begun, over } = bounds;
    let changes = stream::unfold((watching, begun), |(mut watching, begun)| async move {
        begun.cancelled().await;
        watching.changed().await;
        Some((Ok(Event::default().data(TASKS_CHANGED)), (watching, begun)))
    });
    changes.take_until(over.cancelled_owned())
}

/// The run's next event, and whether it is the last. None if the stream has to end for now.
async fn next_of(
    follower: &mut Subscription,
    run_id: Uuid,
    names: &Names,
) -> Option<(Result<Event, Infallible>, bool)> {
    loop {
        // An error of the database ends the stream; the client resumes.
        let told = follower.next().await.ok()??;
        match told {
            Delivery::Event(event) if event.run_id == run_id => {
                let sse = Event::default()
                    .id(event.seq.to_string())
                    .data(in_words_of(names, &event.event));
                return Some((Ok(sse), is_terminal(&event.event)));
            }
            // Purged meanwhile; a client that comes back is told so.
            Delivery::ResyncRequired => return None,
            Delivery::Event(_) | Delivery::Queued { .. } | Delivery::Attempt { .. } => {}
        }
    }
}

/// An event as the client is told of it: by its own names, where it has any.
fn in_words_of(names: &Names, event: &Value) -> String {
    let fields = [("threadId", &names.thread), ("runId", &names.run)];
    let mut named = Cow::Borrowed(event);
    for (field, name) in fields {
        if let Some(name) = name
            && event.get(field).is_some()
        {
            named.to_mut()[field] = json!(name);
        }
    }
    named.to_string()
}

fn respond(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    // Some proxies hold back what they think is a file.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    ([unbuffered], Sse::new(events).keep_alive(keep_alive)).into_response()
}

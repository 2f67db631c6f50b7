//! Events as clients get them: read from a stream, read from the table, and what must hold of them.

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use serde_json::Value;

use super::{PATIENCE, TestSystem};

/// A stream of server-sent events.
pub(crate) struct Sse {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Sse {
    pub(crate) async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            body: response.bytes_stream().boxed(),
            text: String::new(),
        }
    }

    /// The next event of the run and its id; none at the end of the stream, or when it breaks off.
    pub(crate) async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            if let (Some(id), event) = self.next_of_all().await? {
                return Some((id, event));
            }
        }
    }

    /// The next event, and its id if it is one of the run; none at the end of the stream, or when it breaks off.
    pub(crate) async fn next_of_all(&mut self) -> Option<(Option<i64>, Value)> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let line = |name: &str| {
                    let value = block.lines().find_map(|line| line.strip_prefix(name));
                    value.map(str::trim)
                };
                if let Some(data) = line("data:") {
                    let id = line("id:").map(|id| id.parse().unwrap());
                    return Some((id, serde_json::from_str(data).unwrap()));
                }
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next());
            let bytes = bytes.await.expect("in time")?.ok()?;
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Events up to and with the first one of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<(i64, Value)> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            events.push(event.unwrap_or_else(|| panic!("no {kind} after {events:#?}")));
            if events
                .last()
                .is_some_and(|(_, event)| event["type"] == kind)
            {
                return events;
            }
        }
    }

    /// What is left, up to so many events.
    pub(crate) async fn rest(&mut self, limit: usize) -> Vec<(i64, Value)> {
        let mut events = Vec::new();
        while events.len() < limit
            && let Some(event) = self.next().await
        {
            events.push(event);
        }
        events
    }
}

/// Reads a stream of server-sent events to its end, or up to so many of them.
pub(crate) async fn read_sse(request: reqwest::RequestBuilder, limit: usize) -> Vec<(i64, Value)> {
    Sse::open(request).await.rest(limit).await
}

pub(crate) async fn stored(system: &TestSystem, run: &str) -> Vec<(i64, Value)> {
    sqlx::query_as("select seq, event from run_events where run_id = $1::uuid order by seq")
        .bind(run)
        .fetch_all(&system.db)
        .await
        .unwrap()
}

pub(crate) fn kinds(events: &[(i64, Value)]) -> Vec<&str> {
    let mut kinds: Vec<_> = events
        .iter()
        .map(|(_, event)| event["type"].as_str().unwrap())
        .collect();
    kinds.dedup();
    kinds
}

pub(crate) fn text(events: &[(i64, Value)]) -> String {
    events
        .iter()
        .filter_map(|(_, event)| {
            event["delta"]
                .as_str()
                .filter(|_| event["type"] == "TEXT_MESSAGE_CONTENT")
        })
        .collect()
}

/// What AG-UI's own client insists on.
#[track_caller]
pub(crate) fn assert_well_formed(events: &[(i64, Value)]) {
    let (mut open_message, mut open_calls) = (None, Vec::new());
    for ((seq, event), expected) in events.iter().zip(1..) {
        assert_eq!(*seq, expected, "a gap: {:?}", kinds(events));
        let kind = event["type"].as_str().unwrap();
        assert_eq!(
            kind == "RUN_STARTED",
            *seq == 1,
            "{kind} at {seq}: {:?}",
            kinds(events)
        );
        match kind {
            "TEXT_MESSAGE_START" => {
                assert_eq!(open_message.replace(event["messageId"].clone()), None)
            }
            "TEXT_MESSAGE_CONTENT" => assert_eq!(open_message.as_ref(), Some(&event["messageId"])),
            "TEXT_MESSAGE_END" => {
                assert_eq!(open_message.take().as_ref(), Some(&event["messageId"]))
            }
            "TOOL_CALL_START" => open_calls.push(event["toolCallId"].clone()),
            "TOOL_CALL_END" => open_calls.retain(|call| *call != event["toolCallId"]),
            "RUN_FINISHED" | "RUN_ERROR" => {
                assert_eq!(
                    *seq,
                    i64::try_from(events.len()).unwrap(),
                    "something follows the end"
                );
                assert!(
                    open_message.is_none() && open_calls.is_empty(),
                    "something is left open: {events:#?}"
                );
            }
            _ => {}
        }
    }
}

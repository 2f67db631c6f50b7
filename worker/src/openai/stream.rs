//! The body of an answer as chunks: a stream of server-sent events, or one JSON document where a provider does not stream.

use bytes::Bytes;
use eventsource_stream::{EventStream, EventStreamError};
use futures::{Stream, StreamExt, stream};
use reqwest::Response;

use super::failure::{CallFailure, reason};

/// Bytes of one answer, whatever it consists of; a provider that goes on is cut off.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Bytes of an answer that comes as one document.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
/// UTF-8's byte order mark, which some servers put in front.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The chunks of an answer.
pub(super) enum Chunks<S> {
    /// As they come.
    Stream(S),
    /// All of it.
    Document(String),
}

/// Looks at how the body begins: an event stream never begins with a brace, and content types lie.
///
/// # Errors
/// The connection broke, or the document is too large.
pub(super) async fn chunks(
    mut response: Response,
) -> Result<Chunks<impl Stream<Item = Result<String, CallFailure>>>, CallFailure> {
    let mut begun = Vec::new();
    loop {
        match begins_document(&begun) {
            Some(true) => return document(response, begun).await.map(Chunks::Document),
            Some(false) => break,
            None => {}
        }
        match response.chunk().await.map_err(broken)? {
            Some(bytes) => begun.extend_from_slice(&bytes),
            None => break,
        }
    }
    // Taken away here: the parser panics on it (eventsource-stream 0.2.3).
    if begun.starts_with(BOM) {
        begun.drain(..BOM.len());
    }
    let rest = stream::unfold(Some(response), |response| async move {
        let mut response = response?;
        match response.chunk().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(response))),
            // A last event that lacks its empty line is an event all the same.
            Ok(None) => Some((Ok(Bytes::from_static(b"\n\n")), None)),
            Err(error) => Some((Err(error), None)),
        }
    });
    let bytes = stream::once(async { Ok(Bytes::from(begun)) }).chain(rest);
    Ok(Chunks::Stream(events(bounded(bytes))))
}

/// None while there is nothing to see.
fn begins_document(bytes: &[u8]) -> Option<bool> {
    if bytes.len() < BOM.len() && BOM.starts_with(bytes) {
        return None;
    }
    let text = bytes.strip_prefix(BOM).unwrap_or(bytes);
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => Some(true),
        Some(_) => Some(false),
        // White space goes on and on: no document.
        None => (bytes.len() > 1024).then_some(false),
    }
}

async fn document(mut response: Response, mut body: Vec<u8>) -> Result<String, CallFailure> {
    while let Some(bytes) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_DOCUMENT {
            return Err(CallFailure::permanent("the answer has no end"));
        }
    }
    let text =
        String::from_utf8(body).map_err(|_| CallFailure::passing("the answer is no text"))?;
    Ok(text.trim_start_matches('\u{FEFF}').trim().to_owned())
}

fn bounded(
    bytes: impl Stream<Item = Result<Bytes, reqwest::Error>>,
) -> impl Stream<Item = Result<Bytes, CallFailure>> {
    let mut left = MAX_BODY;
    bytes.map(move |bytes| {
        let bytes = bytes.map_err(broken)?;
        left = left
            .checked_sub(bytes.len())
            .ok_or_else(|| CallFailure::permanent("the answer has no end"))?;
        Ok(bytes)
    })
}

/// The data of each event until `[DONE]`. Events without data say nothing.
fn events(
    bytes: impl Stream<Item = Result<Bytes, CallFailure>>,
) -> impl Stream<Item = Result<String, CallFailure>> {
    let events = EventStream::new(bytes).map(|event| match event {
        Ok(event) => Ok(event.data.trim().to_owned()),
        Err(EventStreamError::Transport(failure)) => Err(failure),
        Err(EventStreamError::Utf8(_)) => Err(CallFailure::passing("the stream is no text")),
        Err(EventStreamError::Parser(_)) => Err(CallFailure::passing("the stream is malformed")),
    });
    let is =
        |data: &Result<String, CallFailure>, what| data.as_ref().is_ok_and(|data| data == what);
    let until_done = events.take_while(move |data| std::future::ready(!is(data, "[DONE]")));
    until_done.filter(move |data| std::future::ready(!is(data, "")))
}

fn broken(error: reqwest::Error) -> CallFailure {
    // The URL of a failed request can carry a key.
    CallFailure::passing(format!(
        "the stream broke: {}",
        reason(&error.without_url())
    ))
}

//! What a client still sends although its answer is known: read and thrown away before the answer goes.
//!
//! Who is refused by the head of a request, as one without a token is, has not been read to the end. A connection that is closed with bytes unread is
//! reset, and a reset may overtake the answer (RFC 9112, section 9.6): the client would see a broken pipe, and not why.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, header::EXPECT};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::timeout};
use tower::{Service, ServiceExt};

/// Bytes that are read at most: as many as the largest body that is taken has, so who sends more than that may see a broken pipe.
const MOST: usize = 8 * 1024 * 1024;
/// How long is read at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// The body of a request. If it is let go before its end, what is left of it comes back to `answer`.
pub struct Received {
    body: Option<Incoming>,
    left: Option<oneshot::Sender<Incoming>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let (Some(body), Some(left)) = (self.body.take(), self.left.take())
            && !body.is_end_stream()
        {
            let _ = left.send(body);
        }
    }
}

/// The service's answer, once the request is read. Who waits to be told to go on (`Expect`) sends nothing unless asked, so nothing is read of it.
pub(super) async fn answer<S, B>(
    service: S,
    request: Request<Incoming>,
) -> Result<Response<B>, Infallible>
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible>,
{
    let is_read = !request.headers().contains_key(EXPECT);
    let (sender, mut left) = oneshot::channel();
    let received = |body| Received {
        body: Some(body),
        left: is_read.then_some(sender),
    };
    let response = service.oneshot(request.map(received)).await;
    if let Ok(body) = left.try_recv() {
        // A client that goes on for longer takes the risk.
        let _ = timeout(PATIENCE, discard(body)).await;
    }
    response
}

/// Reads to the end, or to [`MOST`] bytes.
async fn discard(mut body: Incoming) {
    let mut read = 0;
    while read < MOST {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let Some(Ok(frame)) = frame else { return };
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

//! Requests whose answer is known before they are read.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::system::{PATIENCE, TestSystem};

/// Bytes of a body that is far from its end when its request is answered.
const LARGE: usize = 1_000_000;

/// Reads until the server has said this.
async fn until_it_says(socket: &mut TcpStream, expected: &str) {
    let mut said = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&said).contains(expected) {
            let bytes = socket.read_buf(&mut said).await.expect("the answer");
            assert!(
                bytes > 0,
                "closed, and no {expected}: {}",
                String::from_utf8_lossy(&said)
            );
        }
    };
    let read = timeout(PATIENCE, read).await;
    read.unwrap_or_else(|_| panic!("no {expected} in {}", String::from_utf8_lossy(&said)));
}

/// Who is refused by the head of a request is still sending its body: the answer comes, no reset overtakes it, and the connection
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_by_the_head_of_a_large_request_is_told_why() {
    let system = TestSystem::start().await;
    let address = system.url.trim_start_matches("http://");
    let token = system.identity.token("ada");
    for (head, expected) in [
        ("POST /api/ada/chat HTTP/1.1\r\n".to_owned(), "unauthorized"),
        ("POST /mcp HTTP/1.1\r\n".to_owned(), "401"),
        ("POST /nowhere HTTP/1.1\r\n".to_owned(), "not_found"),
        (
            format!("POST /api/ada/chat HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"),
            "payload_too_large",
        ),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{head}Host: {address}\r\nContent-Type: application/json\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![b'x'; LARGE / 2]).await.unwrap();
        // Long enough for an answer that does not wait, and a connection that is closed behind it.
        let _ = timeout(Duration::from_millis(300), socket.readable()).await;
        socket
            .write_all(&vec![b'x'; LARGE / 2])
            .await
            .unwrap_or_else(|error| panic!("{expected}: {error}"));
        until_it_says(&mut socket, expected).await;
        // Who sends too much is told that the connection ends.
        if expected == "payload_too_large" {
            continue;
        }
        let next = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
        socket.write_all(next.as_bytes()).await.unwrap();
        until_it_says(&mut socket, "HTTP/1.1 200").await;
    }
    // Who waits to be told to go on is not, and has sent nothing.
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/ada/chat HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: {LARGE}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    until_it_says(&mut socket, "HTTP/1.1 401").await;
}

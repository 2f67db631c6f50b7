//! What the proxy does to a connection, seen from both of its ends.

use std::{io::ErrorKind, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::Proxy;

/// For what is to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what is not to come.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that says again what it is told, and a proxy in front of it.
async fn echo() -> Result<Proxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Proxy::open(&format!("test://127.0.0.1:{port}/path")).await
}

async fn connect(proxy: &Proxy) -> Result<TcpStream> {
    let address = proxy.url().trim_start_matches("test://");
    Ok(TcpStream::connect(address.trim_end_matches("/path")).await?)
}

/// What comes back for a byte: the same, nothing for a while, or the end.
async fn said(client: &mut TcpStream, within: Duration) -> Option<Option<u8>> {
    let exchange = async {
        client.write_all(b"?").await?;
        client.read_u8().await
    };
    match timeout(within, exchange).await {
        Ok(Ok(byte)) => Some(Some(byte)),
        Ok(Err(error)) => {
            let ends = [
                ErrorKind::UnexpectedEof,
                ErrorKind::ConnectionReset,
                ErrorKind::BrokenPipe,
            ];
            assert!(ends.contains(&error.kind()), "{error}");
            Some(None)
        }
        Err(_) => None,
    }
}

const GOES: Option<Option<u8>> = Some(Some(b'?'));
const ENDED: Option<Option<u8>> = Some(None);
const SILENT: Option<Option<u8>> = None;

#[tokio::test]
async fn a_cut_ends_what_there_is_and_a_closed_proxy_all_that_comes() -> Result<()> {
    let proxy = echo().await?;
    let mut first = connect(&proxy).await?;
    assert_eq!(said(&mut first, PATIENCE).await, GOES);
    proxy.cut();
    assert_eq!(said(&mut first, PATIENCE).await, ENDED);
    let mut second = connect(&proxy).await?;
    assert_eq!(said(&mut second, PATIENCE).await, GOES);
    proxy.close();
    assert_eq!(said(&mut second, PATIENCE).await, ENDED);
    assert_eq!(said(&mut connect(&proxy).await?, PATIENCE).await, ENDED);
    proxy.reopen();
    assert_eq!(said(&mut connect(&proxy).await?, PATIENCE).await, GOES);
    Ok(())
}

#[tokio::test]
async fn who_lost_something_stays_silent_and_who_said_nothing_goes_on() -> Result<()> {
    let proxy = echo().await?;
    let (mut talker, mut listener) = (connect(&proxy).await?, connect(&proxy).await?);
    for client in [&mut talker, &mut listener] {
        assert_eq!(said(client, PATIENCE).await, GOES);
    }
    proxy.lose();
    assert_eq!(said(&mut talker, SILENCE).await, SILENT);
    proxy.reopen();
    assert_eq!(said(&mut talker, SILENCE).await, SILENT);
    assert_eq!(said(&mut listener, PATIENCE).await, GOES);
    Ok(())
}

#[tokio::test]
async fn a_silence_is_for_all_and_lasts() -> Result<()> {
    let proxy = echo().await?;
    let mut before = connect(&proxy).await?;
    assert_eq!(said(&mut before, PATIENCE).await, GOES);
    proxy.silence();
    let mut during = connect(&proxy).await?;
    assert_eq!(said(&mut during, SILENCE).await, SILENT);
    proxy.reopen();
    for client in [&mut before, &mut during] {
        assert_eq!(said(client, SILENCE).await, SILENT);
    }
    assert_eq!(said(&mut connect(&proxy).await?, PATIENCE).await, GOES);
    Ok(())
}

#[tokio::test]
async fn what_is_frozen_or_slowed_down_comes_late() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    proxy.freeze();
    assert_eq!(said(&mut client, SILENCE).await, SILENT);
    proxy.thaw();
    // What was said meanwhile.
    assert_eq!(timeout(PATIENCE, client.read_u8()).await??, b'?');
    let by = Duration::from_millis(100);
    proxy.slow_down(by);
    let begun = Instant::now();
    assert_eq!(said(&mut client, PATIENCE).await, GOES);
    assert!(begun.elapsed() >= 2 * by, "there and back");
    Ok(())
}

#[tokio::test]
async fn its_connections_end_with_the_last_of_it() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    let other = proxy.clone();
    drop(proxy);
    assert_eq!(said(&mut client, PATIENCE).await, GOES);
    drop(other);
    assert_eq!(said(&mut client, PATIENCE).await, ENDED);
    Ok(())
}

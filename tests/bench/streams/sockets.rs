//! Sockets that say nothing: what an idle one costs, and what happens to those that never say who they are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use errand_bench::{
    gauge::{Sample, memory, now, open_files},
    model::Pace,
};
use errand_devkit::{
    socket::{Received, Socket},
    system::Served,
};
use futures::future::try_join_all;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::stage::Stage;

/// For a process to come to rest.
const REST: Duration = Duration::from_secs(3);

/// KiB that the API had in use.
pub(crate) struct Idle {
    pub(crate) before: u64,
    pub(crate) connected: u64,
    /// After a round of pings, if it was waited for.
    pub(crate) pinged: Option<u64>,
    pub(crate) gone: u64,
}

/// Connects this many users, who then say nothing.
pub(crate) async fn idle(stage: &Stage, api: &Served, sockets: usize, pings: bool) -> Result<Idle> {
    // A first few fill what is there once for all.
    drop(stage.clients_of(api, 50).await?);
    sleep(REST).await;
    let before = memory(api.process.pid())?;
    let clients = stage.clients_of(api, sockets).await?;
    let clients: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.idle()))
        .collect();
    sleep(REST).await;
    let connected = memory(api.process.pid())?;
    let pinged = if pings {
        sleep(Duration::from_secs(30)).await;
        Some(memory(api.process.pid())?)
    } else {
        None
    };
    let closed = clients.iter().filter(|client| client.is_finished()).count();
    if closed > 0 {
        bail!("the server closed {closed} idle sockets");
    }
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(REST).await;
    Ok(Idle {
        before,
        connected,
        pinged,
        gone: memory(api.process.pid())?,
    })
}

/// What became of sockets that never said who they are.
pub(crate) struct Strangers {
    /// How many ended with which code; 0: without one.
    pub(crate) codes: BTreeMap<u16, usize>,
    /// From the upgrade to the close.
    pub(crate) open: Sample,
    /// First tokens of somebody else, who was in a conversation meanwhile.
    pub(crate) bystander: Sample,
    /// KiB and open files of the API: before, with all, afterwards.
    pub(crate) used: [(u64, usize); 3],
}

/// Connects this many sockets and waits until the server closes them, while another user takes turns.
pub(crate) async fn strangers(
    stage: &Stage,
    api: &Served,
    sockets: usize,
    pace: Pace,
) -> Result<Strangers> {
    let mut bystander = stage.client_of(api, "bystander").await?;
    for _ in 0..5 {
        bystander.turn(pace).await?;
    }
    let used = || anyhow::Ok((memory(api.process.pid())?, open_files(api.process.pid())?));
    let before = used()?;
    let doors = Arc::new(Semaphore::new(64));
    let strangers = (0..sockets).map(|nth| {
        let (url, doors) = (api.url.clone(), Arc::clone(&doors));
        tokio::spawn(async move {
            let door = doors.acquire().await?;
            let socket = Socket::open(&url, &format!("stranger-{nth}")).await?;
            drop(door);
            closed(socket).await
        })
    });
    let strangers = try_join_all(strangers.collect::<Vec<_>>());
    let mut strangers = tokio::spawn(strangers);
    let (mut turns, mut most) = (Sample::default(), (0, 0));
    let ends = loop {
        tokio::select! {
            ends = &mut strangers => break ends??,
            turn = bystander.turn(pace) => {
                turns.extend([turn?.first]);
                most = most.max(used()?);
            }
        }
    };
    sleep(REST).await;
    let (mut codes, mut open) = (BTreeMap::new(), Sample::default());
    for end in ends {
        let (code, time) = end?;
        *codes.entry(code).or_default() += 1;
        open.extend([time]);
    }
    Ok(Strangers {
        codes,
        open,
        bystander: turns,
        used: [before, most, used()?],
    })
}

/// Waits for the server's close; its code, and the microseconds until then.
async fn closed(mut socket: Socket) -> Result<(u16, u64)> {
    let begun = now();
    loop {
        let received = timeout(Duration::from_secs(30), socket.receive()).await;
        let code = match received.context("a stranger's socket stays open")? {
            Ok(Received::Closed(code)) => code.unwrap_or(0),
            Err(_) => 0,
            Ok(Received::Frame(_)) => continue,
        };
        return Ok((code, now() - begun));
    }
}

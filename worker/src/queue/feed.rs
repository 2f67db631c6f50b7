//! The feed: an apalis backend that hands out what the claim loop has claimed.
//!
//! It has no acknowledgement: a job is done in the transaction that ends its run.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use apalis::prelude::*;
use apalis_core::backend::{BackendConfig, finalize::Ephemeral};
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use super::Delivery;

/// Claimed jobs on their way to the handlers.
pub(super) struct Feed {
    jobs: mpsc::Receiver<Task<Delivery>>,
}

impl Feed {
    pub(super) fn new(jobs: mpsc::Receiver<Task<Delivery>>) -> Self {
        Self { jobs }
    }
}

impl Backend for Feed {
    type Task = Task<Delivery>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Delivery>, Infallible>>> {
        self.jobs.poll_recv(cx).map(|job| job.map(Ok))
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.jobs.close();
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Feed {
    type Args = Delivery;
    type Id = ();
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

//! The one connection of the process that listens, and who is told of what it hears.

use std::sync::Arc;

use errand_core::hints::{CONVERSATION, RUN_ENDED, RUN_EVENTS, TASKS_CHANGED, TaskChange};
use errand_store::{
    Pool, Rest,
    db::listen::{self, Heard},
};
use tokio_util::sync::CancellationToken;

use super::{broker::EventBroker, waiters::Waiting};
use crate::task_watch::TaskWatch;

/// Listens until the stop.
pub(crate) async fn listen(
    direct: Pool,
    rest: Arc<Rest>,
    waiting: Arc<Waiting>,
    broker: Arc<EventBroker>,
    task_watch: Arc<TaskWatch>,
    stop: CancellationToken,
) {
    listen::listen(
        direct,
        &[RUN_ENDED, RUN_EVENTS, CONVERSATION, TASKS_CHANGED],
        &rest,
        stop,
        |hint| match hint {
            Heard::Connected => {
                waiting.look_at_all();
                broker.look_at_all();
                task_watch.hear_of_all();
            }
            Heard::Notification { channel, payload } => match channel.as_str() {
                RUN_ENDED => {
                    if let Ok(run_id) = payload.parse() {
                        waiting.wake(run_id);
                    }
                }
                CONVERSATION => {
                    if let Ok(conversation_id) = payload.parse() {
                        broker.hear_of_conversation(conversation_id);
                    }
                }
                TASKS_CHANGED => {
                    let changes = payload.split(',').filter_map(TaskChange::parse);
                    changes.for_each(|change| task_watch.hear_of(change));
                }
                RUN_EVENTS if payload.is_empty() => broker.look_at_all(),
                RUN_EVENTS => {
                    broker.hear_of_events(payload.split(',').filter_map(|id| id.parse().ok()))
                }
                _ => {}
            },
        },
    )
    .await;
}

//! The one connection of the process that listens, and who is told of what it hears.

use std::sync::Arc;

use errand_shared::{
    hints::{self, CONVERSATION, Hint, RUN_ENDED, RUN_EVENTS},
    store::Pool,
};
use tokio_util::sync::CancellationToken;

use crate::{hub::Hub, waiting::Waiting};

/// Listens until the stop.
pub(crate) async fn listen(
    direct: Pool,
    waiting: Arc<Waiting>,
    hub: Arc<Hub>,
    stop: CancellationToken,
) {
    hints::listen(
        direct,
        &[RUN_ENDED, RUN_EVENTS, CONVERSATION],
        stop,
        |hint| match hint {
            Hint::Connected => {
                waiting.look_at_all();
                hub.look_at_all();
            }
            Hint::Heard { channel, payload } => match channel.as_str() {
                RUN_ENDED => {
                    if let Ok(run_id) = payload.parse() {
                        waiting.wake(run_id);
                    }
                }
                CONVERSATION => {
                    if let Ok(conversation_id) = payload.parse() {
                        hub.hear_of_conversation(conversation_id);
                    }
                }
                RUN_EVENTS if payload.is_empty() => hub.look_at_all(),
                RUN_EVENTS => {
                    hub.hear_of_events(payload.split(',').filter_map(|id| id.parse().ok()))
                }
                _ => {}
            },
        },
    )
    .await;
}

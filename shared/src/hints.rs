//! Hints between processes: what is told behind a commit, and on which channel.
//!
//! A hint says "look at the rows". Losing one, or all, costs latency and never an answer: whoever listens also looks
//! by itself now and then, and once after each connect.

use uuid::Uuid;

mod owner;
mod task_change;

pub use owner::Owner;
pub use task_change::TaskChange;

/// Runs ended, or wait for a decision; the payload is a run's id.
pub const RUN_ENDED: &str = "errand_run_ended";

/// Runs have new events; the payload is their ids, separated by commas, or empty: look at all.
pub const RUN_EVENTS: &str = "errand_run_events";

/// A conversation has a new run, or a run of it changed hands; the payload is the conversation's id.
pub const CONVERSATION: &str = "errand_conversation";

/// Tasks changed; the payload is these [`TaskChange`]s, separated by commas.
pub const TASKS_CHANGED: &str = "errand_tasks_changed";

/// Somebody asks for a run to be cancelled; the payload is its id.
pub const CANCEL: &str = "errand_cancel";

/// A job can be claimed: it was inserted, or given back. apalis's own name.
pub const JOB_READY: &str = "apalis::job::insert";

/// Something to tell other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// This run ended, or waits for a decision.
    RunEnded(Uuid),
    /// This run has new events.
    RunEvents(Uuid),
    /// This conversation has a new run, or a run of it changed hands.
    Conversation(Uuid),
    /// Tasks changed.
    TasksChanged(TaskChange),
    /// This run is to be cancelled.
    Cancel(Uuid),
    /// There are jobs to claim.
    JobReady,
}

/// Bytes that a notification's payload can have, by Postgres's documentation less than 8000.
const MAX_PAYLOAD: usize = 7_999;

/// The notifications that tell of these hints, as few as there can be: channels and payloads.
pub(crate) fn notifications(hints: &[Hint]) -> (Vec<&'static str>, Vec<String>) {
    let (mut channels, mut payloads) = (Vec::new(), Vec::new());
    let mut add = |channel, payload| {
        channels.push(channel);
        payloads.push(payload);
    };
    let (mut events, mut changes) = (List::default(), List::default());
    for hint in hints {
        match hint {
            Hint::RunEnded(run_id) => add(RUN_ENDED, run_id.to_string()),
            Hint::Conversation(id) => add(CONVERSATION, id.to_string()),
            Hint::Cancel(run_id) => add(CANCEL, run_id.to_string()),
            Hint::JobReady => add(JOB_READY, String::new()),
            Hint::RunEvents(run_id) => events.push(&run_id.to_string()),
            Hint::TasksChanged(change) => changes.push(&change.to_string()),
        }
    }
    for payload in events.0 {
        add(RUN_EVENTS, payload);
    }
    for payload in changes.0 {
        add(TASKS_CHANGED, payload);
    }
    (channels, payloads)
}

/// Payloads that each hold as many items, separated by commas, as fit.
#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn push(&mut self, item: &str) {
        match self.0.last_mut() {
            Some(payload) if payload.len() + 1 + item.len() <= MAX_PAYLOAD => {
                payload.push(',');
                payload.push_str(item);
            }
            _ => self.0.push(item.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_hints_are_few_notifications_that_postgres_takes() {
        let runs: Vec<Uuid> = (0..1_000).map(|_| Uuid::now_v7()).collect();
        let owner = Owner::of("ada");
        let hints: Vec<Hint> = runs
            .iter()
            .flat_map(|&run_id| {
                let run = Some(run_id);
                let changed = Hint::TasksChanged(TaskChange { owner, run_id: run });
                [Hint::RunEvents(run_id), changed]
            })
            .chain([Hint::JobReady, Hint::RunEnded(Uuid::nil())])
            .collect();
        let (channels, payloads) = notifications(&hints);
        assert!(payloads.iter().all(|payload| payload.len() < 8_000));
        assert!(channels.len() < 20, "{}", channels.len());
        let told = |channel| {
            let of_channel = channels.iter().zip(&payloads);
            of_channel
                .filter(move |(its, _)| **its == channel)
                .flat_map(|(_, payload)| payload.split(','))
        };
        assert!(told(RUN_EVENTS).eq(runs.iter().map(Uuid::to_string)));
        assert_eq!(
            told(TASKS_CHANGED).filter_map(TaskChange::parse).count(),
            1_000
        );
        assert_eq!(told(JOB_READY).collect::<Vec<_>>(), [""]);
        assert_eq!(
            told(RUN_ENDED).collect::<Vec<_>>(),
            [Uuid::nil().to_string()]
        );
    }
}

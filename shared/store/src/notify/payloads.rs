//! Hints as notifications: as few as there can be, each as long as Postgres takes.

use errand_core::hints::{
    CANCEL, CONVERSATION, DRAIN, Hint, JOB_READY, RUN_ENDED, RUN_EVENTS, TASKS_CHANGED,
};

/// Bytes that a notification's payload can have, by Postgres's documentation less than 8000.
const MAX_PAYLOAD: usize = 7_999;

/// The notifications that tell of these hints, as few as there can be: channels and payloads.
pub(super) fn notifications(hints: &[Hint]) -> (Vec<&'static str>, Vec<String>) {
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
            Hint::Drain => add(DRAIN, String::new()),
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
    use errand_core::hints::{Owner, TaskChange};
    use uuid::Uuid;

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

//! A change of tasks in a hint.

use std::fmt;

use uuid::Uuid;

use super::Owner;

/// Whose tasks changed, and in which run, if the agent changed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskChange {
    /// Whose they are.
    pub owner: Owner,
    /// The run whose call it was; none if it was a client from outside.
    pub run_id: Option<Uuid>,
}

impl TaskChange {
    /// Characters of its text, at most.
    pub const LENGTH: usize = Owner::LENGTH + 1 + 32;

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, run_id) = match text.split_once('/') {
            Some((owner, run_id)) => (owner, Some(run_id.parse().ok()?)),
            None => (text, None),
        };
        Some(Self {
            owner: Owner::parse(owner)?,
            run_id,
        })
    }
}

impl fmt::Display for TaskChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run_id {
            Some(run_id) => write!(f, "{}/{}", self.owner, run_id.simple()),
            None => self.owner.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_it_was_written() {
        let owner = Owner::of("ada");
        for run_id in [None, Some(Uuid::now_v7())] {
            let change = TaskChange { owner, run_id };
            let text = change.to_string();
            assert!(text.len() <= TaskChange::LENGTH && !text.contains(','));
            assert_eq!(TaskChange::parse(&text), Some(change));
        }
        for nothing in ["", "ada", "/", &format!("{owner}/"), &format!("{owner}/x")] {
            assert_eq!(TaskChange::parse(nothing), None, "{nothing}");
        }
    }
}

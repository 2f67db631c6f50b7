//! The states of a run, and the transitions between them: the one table that code, database and documentation have.

use serde::{Deserialize, Serialize};

/// The status of a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum RunStatus {
    /// Accepted; behind others of its conversation or its user, or in the job queue.
    Queued,
    /// A worker has it.
    Running,
    /// Its user has to decide about calls of tools. It holds no worker, and nothing behind it waits for it.
    #[serde(rename = "waiting")]
    #[sqlx(rename = "waiting")]
    AwaitingApproval,
    /// It came to a reply, or to a decision that another run goes on from.
    Completed,
    /// It came to no reply.
    Failed,
    /// Its user did not want it any more.
    Cancelled,
}

use RunStatus::{AwaitingApproval, Cancelled, Completed, Failed, Queued, Running};

/// What leads from one status to another. Nothing else does: the database refuses it (`runs_transitions`).
pub const TRANSITIONS: [(RunStatus, &str, RunStatus); 10] = [
    (Queued, "claim", Running),
    (Queued, "cancel", Cancelled),
    (Running, "release", Queued),
    (Running, "finish", Completed),
    (Running, "finish", Failed),
    (Running, "finish", Cancelled),
    (Running, "finish", AwaitingApproval),
    (AwaitingApproval, "decide", Completed),
    (AwaitingApproval, "cancel", Cancelled),
    (Failed, "requeue", Queued),
];

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Queued,
        Running,
        AwaitingApproval,
        Completed,
        Failed,
        Cancelled,
    ];

    /// Its name, here as in the database and in answers of the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Queued => "queued",
            Running => "running",
            AwaitingApproval => "waiting",
            Completed => "completed",
            Failed => "failed",
            Cancelled => "cancelled",
        }
    }

    /// Whether it has ended. A failed run may still be requeued by an operator.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Completed | Failed | Cancelled)
    }

    /// Whether a worker has it or is to have it. Queries ask `is_active(run)`, a function of the
    /// database.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Queued | Running)
    }

    /// Whether a transition leads from this status to that one.
    #[must_use]
    pub fn leads_to(self, next: Self) -> bool {
        TRANSITIONS
            .iter()
            .any(|(from, _, to)| (*from, *to) == (self, next))
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as a Mermaid diagram.
    fn diagram() -> String {
        let lines = TRANSITIONS.map(|(from, by, to)| format!("    {from} --> {to}: {by}\n"));
        let ends = RunStatus::ALL.into_iter().filter(|status| status.is_over());
        let ends = ends.map(|status| format!("    {status} --> [*]\n"));
        format!(
            "stateDiagram-v2\n    [*] --> queued: accept\n{}{}",
            lines.concat(),
            ends.collect::<String>()
        )
    }

    #[test]
    fn the_documentation_has_the_table() {
        let text = include_str!("../../../docs/durability.md");
        let diagram = diagram();
        assert!(
            text.contains(&diagram),
            "not in docs/durability.md:\n{diagram}"
        );
    }

    #[test]
    fn every_status_is_reached_and_has_one_name() {
        for status in RunStatus::ALL {
            let is_reached = TRANSITIONS.iter().any(|(_, _, to)| *to == status);
            assert!(is_reached, "{status}");
            assert_eq!(serde_json::to_value(status).expect("JSON"), status.name());
            assert!(!(status.is_over() && status.is_active()));
        }
        assert!(Queued.leads_to(Running) && !Queued.leads_to(Completed));
    }
}

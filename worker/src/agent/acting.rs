//! The calls of a step are made: what only reads goes together, all else one after the other.

use errand_core::ids::CallKey;
use errand_store::{lifecycle::RequestedCall, read::history::RecordedStep};
use futures::{StreamExt, TryStreamExt, pin_mut, stream};
use uuid::Uuid;

use super::{
    Answer, Assignment, Interrupted, Invocation, Journal, Refusal, ToolDefinition, ToolOutcome,
    Toolbox, failing::Failing,
};

/// Calls of one answer that are executed; the model is told that the others were not. Somebody may say forty tasks in one message.
const MAX_CALLS_PER_STEP: i32 = 128;
/// Calls of one run that read at the same time.
const MAX_READS_AT_ONCE: usize = 8;

/// The calls of an answer, by ordinal, that the user has to approve. What would be refused anyway, because it is one too many or
/// malformed, is nothing to ask anybody about.
pub(super) fn to_approve(answer: &Answer, gated: &[String]) -> Vec<i32> {
    let calls = answer.calls.iter().zip(0..MAX_CALLS_PER_STEP);
    calls
        .filter(|(call, _)| {
            gated.contains(&call.name) && !call.is_unclear && call.object().is_some()
        })
        .map(|(_, ordinal)| ordinal)
        .collect()
}

/// A step whose calls are to be made.
pub(super) struct Step {
    number: i32,
    /// The run that told of its calls.
    told_by: Uuid,
    /// What the user decided, by ordinal.
    decisions: Vec<Option<bool>>,
    /// Calls that need a decision, by ordinal.
    gated: Vec<i32>,
}

impl Step {
    /// A step that has just been committed: about its `gated` calls nobody had to be asked.
    pub(super) fn new(assignment: &Assignment, number: i32, gated: Vec<i32>) -> Self {
        Self {
            number,
            told_by: assignment.run_id,
            decisions: Vec::new(),
            gated,
        }
    }

    pub(super) fn recorded(
        assignment: &Assignment,
        recorded: &RecordedStep,
        answer: &Answer,
    ) -> Self {
        Self {
            number: recorded.step,
            told_by: recorded.told_by,
            decisions: recorded.calls.iter().map(|call| call.approved).collect(),
            gated: to_approve(answer, &assignment.needs_approval),
        }
    }

    /// Why a call may not be made. One that needs approval is made behind a recorded yes only: also if a worker that did not ask
    /// for it yet has committed the step.
    fn refusal(&self, call: &RequestedCall, ordinal: i32) -> Option<Refusal> {
        const UNCLEAR: &str = "The parts of this call could not be told from those of another; it was not executed. Make it \
                               again, one call at a time.";
        const TOO_MANY: &str = "too many calls in one answer; this one was not executed: make it again in the next one";
        const REJECTED: &str = "The user rejected this call; it was not executed.";
        const UNASKED: &str =
            "This call needs the user's approval and was not executed; call again to ask for it.";
        let decision = usize::try_from(ordinal)
            .ok()
            .and_then(|place| self.decisions.get(place));
        match decision.copied().flatten() {
            _ if call.is_unclear => Some(Refusal::Because(UNCLEAR)),
            Some(false) => Some(Refusal::Because(REJECTED)),
            None if self.gated.contains(&ordinal) => Some(Refusal::Unapproved(UNASKED)),
            _ => (ordinal >= MAX_CALLS_PER_STEP).then_some(Refusal::Because(TOO_MANY)),
        }
    }
}

/// Makes an answer's calls. The order of their effects is the order the model gave, and what reads behind a change sees it: only
/// neighbours that do nothing but read are made together. Results are told in the model's order.
pub(super) async fn act(
    assignment: &Assignment,
    step: &Step,
    answer: &Answer,
    failing: &Failing,
    tools: &impl Toolbox,
    journal: &impl Journal,
) -> Result<Vec<ToolOutcome>, Interrupted> {
    let mut results: Vec<ToolOutcome> = Vec::with_capacity(answer.calls.len());
    let reads = |call: &RequestedCall| only_reads(tools.definitions(), call);
    for together in answer.calls.chunk_by(|one, next| reads(one) && reads(next)) {
        let first = results.len();
        let key = |place: usize| CallKey {
            run_id: assignment.run_id,
            step: step.number,
            ordinal: i32::try_from(first + place).unwrap_or(i32::MAX),
        };
        let calls = together.iter().enumerate();
        let made: Vec<_> = calls
            .map(|(place, call)| {
                tools.call(Invocation {
                    key: key(place),
                    user_id: &assignment.user_id,
                    call,
                    refused: step.refusal(call, key(place).ordinal),
                    has_failed: failing.has_failed(call),
                })
            })
            .collect();
        let made = stream::iter(made).buffered(MAX_READS_AT_ONCE);
        pin_mut!(made);
        for (place, call) in together.iter().enumerate() {
            let Some(outcome) = made.try_next().await? else {
                break;
            };
            let told = CallKey {
                run_id: step.told_by,
                ..key(place)
            };
            journal.acted(told, call, &outcome).await;
            results.push(outcome);
        }
    }
    Ok(results)
}

/// Whether the call changes nothing, as its tool says of itself.
fn only_reads(tools: &[ToolDefinition], call: &RequestedCall) -> bool {
    let tool = tools.iter().find(|tool| tool.name == call.name);
    tool.is_some_and(|tool| tool.is_read_only)
}

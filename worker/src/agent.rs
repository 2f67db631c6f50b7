//! The agent: asks the model, executes the calls it answers with, and goes on until it answers with text alone.
//!
//! It knows no SQL, no HTTP and no queue. What it needs of the world are three seams: a [`Model`] to ask, a [`Toolbox`]
//! to act through, and a [`Journal`] that keeps each answer before anything is done about it.

use errand_core::ids::CallKey;
use errand_store::{
    lifecycle::RequestedCall,
    read::history::{RecordedCall, RecordedStep},
};
use uuid::Uuid;

mod answer;
mod calls;
mod contract;
mod conversation;
mod history;
mod message;
pub mod model;
mod order;
mod pieces;
mod said;
pub mod summary;
pub mod title;
mod tokens;
mod window;

pub(crate) use answer::{AnswerBuilder, AnswerTooLarge};
pub(crate) use calls::CallPiece;
pub use contract::{
    Assignment, Failure, Interrupted, Journal, Question, Refusal, Reply, Stop, ToolOutcome, Toolbox,
};
use conversation::Conversation;
pub use message::Message;
pub(crate) use message::messages_for;
pub use model::{Answer, Model, ModelError, Progress, Request, ToolDefinition};
pub use window::READ_TURNS;

/// Calls of one answer that are executed; the model is told that the others were not. Somebody may say forty tasks in one message.
const MAX_CALLS_PER_STEP: i32 = 128;
/// Calls of one answer that the user is asked about. The model is told that the others were not made, and may ask for them again.
const MAX_QUESTIONS_PER_STEP: usize = 32;

/// Answers one message.
///
/// Steps that an earlier attempt committed are taken up where it stopped: their calls are made again under the
/// same keys (so each happens once), and the model is not asked for them again. Steps that an earlier run of the turn has
/// executed are only shown to the model.
///
/// # Errors
/// The model failed, never came to an answer, or the work was interrupted.
pub async fn run(
    assignment: &Assignment,
    model: &impl Model,
    tools: &impl Toolbox,
    journal: &impl Journal,
) -> Result<Stop, Failure> {
    let mut conversation = Conversation::new(assignment);
    let mut next_step = 1;
    let mut last_step = assignment.max_steps;
    for recorded in &assignment.recorded {
        next_step = recorded.step + 1;
        if recorded.run_id == assignment.run_id {
            let answer = Answer::from(recorded);
            let step = Step::recorded(assignment, recorded, &answer);
            let results = act(assignment, &step, &answer, tools, journal).await?;
            conversation.push_step(with_results(recorded.clone(), results));
        } else {
            conversation.push_step(recorded.clone());
            if assignment.retried.is_some() {
                // What the interrupted runs have used up is not this one's.
                last_step = recorded.step.saturating_add(assignment.max_steps);
            }
        }
    }
    for step in next_step..=last_step {
        // At the last step the model may only talk.
        let last = step == last_step;
        let mut answer = ask(&mut conversation, model, tools.definitions(), journal, last).await?;
        if last {
            answer.calls.clear();
            if answer.text.trim().is_empty() && answer.cut_short().is_none() {
                break;
            }
        }
        if answer.calls.is_empty() {
            mark_if_cut_short(&mut answer, journal);
            return Ok(Stop::Replied(Reply { step, answer }));
        }
        let gated = to_approve(&answer, &assignment.needs_approval);
        let questions = questions(assignment, &answer, &gated, tools).await?;
        if !questions.is_empty() {
            return Ok(Stop::NeedsApproval(Reply { step, answer }, questions));
        }
        journal.commit(step, &answer).await?;
        let number = step;
        let step = Step::new(assignment, number, gated);
        let results = act(assignment, &step, &answer, tools, journal).await?;
        conversation.push_step(with_results(recorded(assignment, number, answer), results));
    }
    Err(Failure::TooManySteps(assignment.max_steps))
}

/// A step that this attempt has committed.
fn recorded(assignment: &Assignment, step: i32, answer: Answer) -> RecordedStep {
    let call = |asked| RecordedCall {
        asked,
        result: None,
        approved: None,
    };
    RecordedStep {
        run_id: assignment.run_id,
        told_by: assignment.run_id,
        step,
        content: answer.text,
        calls: answer.calls.into_iter().map(call).collect(),
        model: Some(answer.model.unwrap_or_else(|| assignment.model.clone())),
        extra: answer.extra,
    }
}

fn with_results(mut step: RecordedStep, results: Vec<ToolOutcome>) -> RecordedStep {
    for (call, outcome) in step.calls.iter_mut().zip(results) {
        call.result = Some(outcome.result);
    }
    step
}

/// Says in the reply that the model did not come to its end.
fn mark_if_cut_short(answer: &mut Answer, journal: &impl Journal) {
    let mark = match answer.cut_short() {
        Some("length") => "*(Cut off here: the answer has reached the model's length limit.)*",
        Some(_) => "*(Cut off here by the provider's content filter.)*",
        None => return,
    };
    let gap = if answer.text.is_empty() { "" } else { "\n\n" };
    let mark = format!("{gap}{mark}");
    journal.tell(Progress::Text(&mark));
    answer.text.push_str(&mark);
}

/// Asks the model; if the conversation is too long for it, again with less of it.
async fn ask(
    conversation: &mut Conversation<'_>,
    model: &impl Model,
    tools: &[ToolDefinition],
    journal: &impl Journal,
    last: bool,
) -> Result<Answer, ModelError> {
    let tell = |told: Progress<'_>| journal.tell(told);
    loop {
        let request = Request {
            messages: conversation.messages(),
            tools,
            may_call: !last,
        };
        match model.answer(request, &tell).await {
            Err(ModelError::ContextTooLong) if conversation.shorten() => {
                tracing::warn!(
                    "the conversation is too long for the model; asking with less of it"
                );
            }
            result => return result,
        }
    }
}

/// What the user is to be asked. A call that would come to an error, such as one about a task that there is not, is no question: it is
/// refused like any that was not approved, with that error.
async fn questions(
    assignment: &Assignment,
    answer: &Answer,
    gated: &[i32],
    tools: &impl Toolbox,
) -> Result<Vec<Question>, Interrupted> {
    if gated.is_empty() {
        return Ok(Vec::new());
    }
    let gated = &gated[..gated.len().min(MAX_QUESTIONS_PER_STEP)];
    let calls = answer.calls.iter().zip(0..);
    let calls = calls.filter(|(_, ordinal)| gated.contains(ordinal));
    let calls: Vec<&RequestedCall> = calls.map(|(call, _)| call).collect();
    let previews = tools.previews(&assignment.user_id, &calls).await?;
    let questions = gated.iter().zip(previews).filter_map(|(ordinal, effect)| {
        Some(Question {
            ordinal: *ordinal,
            effect: effect?,
        })
    });
    Ok(questions.collect())
}

/// The calls of an answer, by ordinal, that the user has to approve. What would be refused anyway, because it is one too many or
/// malformed, is nothing to ask anybody about.
fn to_approve(answer: &Answer, gated: &[String]) -> Vec<i32> {
    let calls = answer.calls.iter().zip(0..MAX_CALLS_PER_STEP);
    calls
        .filter(|(call, _)| {
            gated.contains(&call.name) && !call.is_unclear && call.object().is_some()
        })
        .map(|(_, ordinal)| ordinal)
        .collect()
}

/// A step whose calls are to be made.
struct Step {
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
    fn new(assignment: &Assignment, number: i32, gated: Vec<i32>) -> Self {
        Self {
            number,
            told_by: assignment.run_id,
            decisions: Vec::new(),
            gated,
        }
    }

    fn recorded(assignment: &Assignment, recorded: &RecordedStep, answer: &Answer) -> Self {
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

/// Makes an answer's calls, one after the other: the order of their effects is the order the model gave.
async fn act(
    assignment: &Assignment,
    step: &Step,
    answer: &Answer,
    tools: &impl Toolbox,
    journal: &impl Journal,
) -> Result<Vec<ToolOutcome>, Interrupted> {
    let mut results = Vec::with_capacity(answer.calls.len());
    for (call, ordinal) in answer.calls.iter().zip(0..) {
        let key = CallKey {
            run_id: assignment.run_id,
            step: step.number,
            ordinal,
        };
        let refused = step.refusal(call, ordinal);
        let outcome = tools.call(key, &assignment.user_id, call, refused).await?;
        let told = CallKey {
            run_id: step.told_by,
            ..key
        };
        journal.acted(told, call, &outcome).await;
        results.push(outcome);
    }
    Ok(results)
}

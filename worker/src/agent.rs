//! The agent: asks the model, executes the calls it answers with, and goes on until it answers with text alone.
//!
//! It knows no SQL, no HTTP and no queue. What it needs of the world are three seams: a [`Model`] to ask, a [`Toolbox`]
//! to act through, and a [`Journal`] that keeps each answer before anything is done about it.

use errand_store::{
    lifecycle::RequestedCall,
    read::history::{RecordedCall, RecordedStep},
};

mod acting;
mod answer;
mod calls;
mod contract;
mod conversation;
mod failing;
mod follow_ups;
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

use acting::{Step, act, to_approve};
pub(crate) use answer::{AnswerBuilder, AnswerTooLarge};
pub(crate) use calls::CallPiece;
pub use contract::{
    Assignment, Failure, Interrupted, Invocation, Journal, Question, Refusal, Reply, Stop,
    ToolOutcome, Toolbox,
};
use conversation::Conversation;
use failing::Failing;
use follow_ups::Deeds;
pub use follow_ups::FollowUp;
pub use message::Message;
pub(crate) use message::messages_for;
pub use model::{Answer, Model, ModelError, Progress, Request, ToolDefinition};
pub use window::READ_TURNS;

/// How the agent is to behave, where the operator does not say: the same for everybody at all times.
pub const BUILT_IN_INSTRUCTIONS: &str = include_str!("agent/prompt.md");

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
    let mut failing = Failing::default();
    let mut deeds = Deeds::default();
    let mut next_step = 1;
    let mut last_step = assignment.max_steps;
    for recorded in &assignment.recorded {
        next_step = recorded.step + 1;
        if recorded.run_id == assignment.run_id {
            let answer = Answer::from(recorded);
            let step = Step::recorded(assignment, recorded, &answer);
            let results = act(assignment, &step, &answer, &failing, tools, journal).await?;
            let done = with_results(recorded.clone(), results);
            failing.see(&done);
            deeds.see(&done);
            conversation.push_step(done);
        } else {
            deeds.see(recorded);
            conversation.push_step(recorded.clone());
            if assignment.retried.is_some() {
                // What the interrupted runs have used up is not this one's.
                last_step = recorded.step.saturating_add(assignment.max_steps);
            } else {
                failing.see(recorded);
            }
        }
    }
    for step in next_step..=last_step {
        // At the last step the model may only talk; also where it makes a call that fails again and again.
        let may_call = step < last_step && !failing.is_hopeless();
        let mut answer = ask(
            assignment,
            &mut conversation,
            model,
            tools.definitions(),
            journal,
            may_call,
        )
        .await?;
        if !may_call {
            answer.calls.clear();
            if answer.text.trim().is_empty() && answer.cut_short().is_none() {
                let Some(words) = failing.in_words() else {
                    break;
                };
                journal.tell(Progress::Text(&words));
                answer.text.push_str(&words);
            }
        }
        if answer.calls.is_empty() {
            mark_if_cut_short(&mut answer, journal);
            let follow_ups = deeds.follow_ups();
            return Ok(Stop::Replied(Reply {
                step,
                answer,
                steps: conversation.into_steps(),
                follow_ups,
            }));
        }
        let gated = to_approve(&answer, &assignment.needs_approval);
        // These are large, and would be part of each run while it waits for its model.
        let questions = Box::pin(questions(assignment, &answer, &gated, tools)).await?;
        if !questions.is_empty() {
            let reply = Reply {
                step,
                answer,
                steps: Vec::new(),
                follow_ups: Vec::new(),
            };
            return Ok(Stop::NeedsApproval(reply, questions));
        }
        Box::pin(journal.commit(step, &answer)).await?;
        let number = step;
        let step = Step::new(assignment, number, gated);
        let results = act(assignment, &step, &answer, &failing, tools, journal).await?;
        let done = with_results(recorded(assignment, number, answer), results);
        failing.see(&done);
        deeds.see(&done);
        conversation.push_step(done);
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
    assignment: &Assignment,
    conversation: &mut Conversation<'_>,
    model: &impl Model,
    tools: &[ToolDefinition],
    journal: &impl Journal,
    may_call: bool,
) -> Result<Answer, ModelError> {
    let tell = |told: Progress<'_>| journal.tell(told);
    loop {
        let request = Request {
            messages: conversation.messages(),
            tools,
            may_call,
            temperature: assignment.temperature,
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

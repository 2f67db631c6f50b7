//! The conversation as the model is shown it: the prompt, as much history as fits, the message, the steps so far.

use errand_core::shorten::Level;
use errand_store::read::history::RecordedStep;

use super::{
    Assignment, Message,
    history::{not_executed, step},
    said,
    window::window,
};

/// Put behind the message of a turn that was interrupted and goes on.
const GO_ON: &str = "[This turn was interrupted before its end, and goes on now. What the results below show as done is done: \
do not do it again. Finish what is left, and answer.]";

/// How often a conversation can be made shorter.
const MAX_PRESSURE: u32 = 4;

/// Messages that grow with each step.
pub(super) struct Conversation<'a> {
    assignment: &'a Assignment,
    /// How often the provider said that it is too long.
    pressure: u32,
    steps: Vec<RecordedStep>,
    messages: Vec<Message>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(assignment: &'a Assignment) -> Self {
        let mut conversation = Self {
            assignment,
            pressure: 0,
            steps: Vec::new(),
            messages: Vec::new(),
        };
        conversation.messages = conversation.built();
        conversation
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The steps so far.
    pub(super) fn into_steps(self) -> Vec<RecordedStep> {
        self.steps
    }

    /// Adds an answer with calls, and what they returned.
    pub(super) fn push_step(&mut self, step: RecordedStep) {
        self.steps.push(step);
        if self.pressure == 0 {
            self.messages.extend(self.shown_step(self.steps.len() - 1));
        } else {
            self.messages = self.built();
        }
    }

    /// Makes it shorter: less history, and less of what earlier calls of this run returned. False if nothing is left to leave
    /// out.
    pub(super) fn shorten(&mut self) -> bool {
        while self.pressure < MAX_PRESSURE {
            self.pressure += 1;
            let shorter = self.built();
            if shorter != self.messages {
                self.messages = shorter;
                return true;
            }
        }
        false
    }

    fn built(&self) -> Vec<Message> {
        let Assignment {
            history,
            history_tokens: budget,
            model,
            ..
        } = self.assignment;
        // Three quarters less each time; something of the last turn stays.
        let budget = match *budget {
            0 => 0,
            budget => (budget >> (2 * self.pressure)).max(1),
        };
        let mut messages = vec![Message::System {
            content: self.assignment.instructions.to_string(),
        }];
        messages.extend(window(history, budget, model));
        messages.push(self.message());
        messages.extend((0..self.steps.len()).flat_map(|place| self.shown_step(place)));
        messages
    }

    fn message(&self) -> Message {
        let Assignment {
            message,
            said,
            retried,
            recorded,
            ..
        } = self.assignment;
        match *retried {
            None => said::message(message, *said),
            Some(retried) if recorded.is_empty() => said::again(message, *said, retried),
            Some(retried) => said::again(&format!("{message}\n\n{GO_ON}"), *said, retried),
        }
    }

    /// What the last step returned is shortened last: the model has not seen it yet.
    fn shown_step(&self, place: usize) -> Vec<Message> {
        let is_last = place + 1 == self.steps.len();
        let level = match (self.pressure, is_last) {
            (0, _) | (1, true) => None,
            (1, false) | (2, true) => Some(Level::Texts),
            (2.., false) | (4.., true) => Some(Level::Stub),
            (3, true) => Some(Level::Items),
        };
        let recorded = &self.steps[place];
        // With what its own model has to get back: which one is asked next is not known here.
        let by = recorded.model.as_ref().unwrap_or(&self.assignment.model);
        step(recorded, by, level, &not_executed())
    }
}

//! What the user said, with the time beside it.
//!
//! The time stands with each message and not in the system prompt, and comes from the store alone. So the prompt and all that was shown
//! once are the same bytes in every later request, and a provider's prompt cache knows them again.

use errand_core::calendar::Moment;

use super::Message;

/// A message of the user, and when it was said.
pub(super) fn message(text: &str, said: Moment) -> Message {
    noted(text, &said.in_words())
}

/// The same, of a turn that is tried again.
pub(super) fn again(text: &str, said: Moment, retried: Moment) -> Message {
    noted(
        text,
        &format!("{}; tried again: {}", said.in_words(), retried.in_words()),
    )
}

/// Behind the message, so that what people say in brackets themselves is not the last word.
fn noted(text: &str, when: &str) -> Message {
    Message::User {
        content: format!("{text}\n\n[Sent: {when}]"),
    }
}

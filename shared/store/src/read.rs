//! Conversations and what is read of them.

pub mod conversations;
pub mod history;
pub mod messages;
pub mod search;
pub mod usage;

//! What is said and answered: pure input ← submit ← respond and sse. The handlers in `routes` put them together.

pub(crate) mod input;
pub(crate) mod respond;
pub(crate) mod sse;
pub(crate) mod submit;

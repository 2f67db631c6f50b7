//! What happens while somebody looks: who listens to the database, and who is told.

pub(crate) mod broker;
pub(crate) mod listener;
pub(crate) mod subscription;
pub(crate) mod waiters;

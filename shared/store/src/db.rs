//! The database itself: connections, transactions, roles, migrations, and what many write at the same moment.

mod clock;
mod error;
mod gather;
mod isolation;
pub(crate) mod lane;
pub mod listen;
pub mod migrate;
mod nul;
mod pool;
mod rest;
mod routines;
mod url;
mod user_pool;
mod waits;

pub use error::{StoreError, WriteError};
pub use gather::gather_after;
pub use isolation::begin_for;
pub(crate) use isolation::{act, report};
pub use nul::without_nul;
pub use pool::{Pool, PoolUsage, Pooled, Transaction, pool};
pub use rest::{Pace, Rest};
pub use user_pool::{UserPool, UserTurn};
pub use waits::Wait;

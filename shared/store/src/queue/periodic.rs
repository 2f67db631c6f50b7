//! Periodic work for the whole installation, such as purges: done by one process at a time, under a lease.
//!
//! The lease is a row. A process that dies, freezes or is cut off loses it by doing nothing; one that comes back too late finds that it
//! does not hold it any more, and changes nothing.

use std::time::Duration;

use crate::{Connection, StoreError};

/// How long the work of a process that fell silent waits for another one. Each step renews the lease.
const TERM: Duration = Duration::from_secs(10);

/// No turn is further away than this: a later time was written by a clock that has been set back since.
const FURTHEST: Duration = Duration::from_secs(600);

/// The lease of one kind of work, as one process sees it.
#[derive(Debug, Clone)]
pub struct Lease {
    name: &'static str,
    holder: String,
}

impl Lease {
    /// For the work of this name, which has a row in `periodic_work`. Every instance is a holder of its own.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            holder: errand_core::ids::new_id().to_string(),
        }
    }

    /// Takes the lease if it is time for the work and nobody is at it. Never waits for whoever is.
    pub async fn take(&self, db: &mut Connection) -> Result<bool, StoreError> {
        let taken = sqlx::query!(
            "update periodic_work set holder = $2, free_at = now() + make_interval(secs => $3)
             where name = (
                 select name from periodic_work
                 where name = $1 and (free_at <= now() or free_at > now() + make_interval(secs => $4))
                 for update skip locked
             )",
            self.name,
            self.holder,
            TERM.as_secs_f64(),
            FURTHEST.as_secs_f64()
        )
        .execute(db)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Renews the lease, and keeps it until the caller's transaction ends: so long nobody else can take it. False if it was lost; then
    /// the caller stops.
    pub async fn hold(&self, db: &mut Connection) -> Result<bool, StoreError> {
        let held = sqlx::query!(
            "update periodic_work set free_at = now() + make_interval(secs => $3) where name = $1 and holder = $2",
            self.name,
            self.holder,
            TERM.as_secs_f64()
        )
        .execute(db)
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Gives the lease back; the next turn, of whoever, is after `pause` (at most ten minutes).
    pub async fn rest(&self, db: &mut Connection, pause: Duration) -> Result<(), StoreError> {
        sqlx::query!(
            "update periodic_work set free_at = now() + make_interval(secs => $3) where name = $1 and holder = $2",
            self.name,
            self.holder,
            pause.min(FURTHEST).as_secs_f64()
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

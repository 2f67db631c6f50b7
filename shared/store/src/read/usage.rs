//! Tokens, as steps and runs count them.

use chrono::NaiveDate;

use crate::{Connection, Page, StoreError};

/// What model calls took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens read.
    pub input: i64,
    /// Of these, what the provider had in its prompt cache; 0 if it did not say.
    pub cached: i64,
    /// Tokens written.
    pub output: i64,
    /// Some of it was not reported by the provider but estimated from what was sent and received.
    pub is_estimate: bool,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            is_estimate: self.is_estimate || other.is_estimate,
        }
    }
}

/// Counts what was taken beside runs as used today.
pub async fn count(db: &mut Connection, user_id: &str, tokens: Tokens) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into usage_days (user_id, day, tokens) values ($1, (now() at time zone 'utc')::date, $2)
         on conflict (user_id, day) do update set tokens = usage_days.tokens + excluded.tokens",
        user_id,
        tokens.input.saturating_add(tokens.output)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a user took in one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The day in UTC, by which the daily budget counts.
    pub day: NaiveDate,
    /// Tokens read and written.
    pub tokens: i64,
}

/// Days on which the user took something, the last first, those before `before`; they are kept for 35 days.
pub async fn days(
    db: &mut Connection,
    user_id: &str,
    before: Option<NaiveDate>,
    limit: i64,
) -> Result<Page<Day, NaiveDate>, StoreError> {
    let rows = sqlx::query_as!(
        Day,
        "select day, tokens from usage_days
         where user_id = $1 and ($2::date is null or day < $2)
         order by day desc
         limit $3",
        user_id,
        before,
        limit + 1
    )
    .fetch_all(db)
    .await?;
    Ok(Page::cut(rows, limit, |day| day.day))
}

//! Tokens, as steps and runs count them.

use chrono::NaiveDate;
use uuid::Uuid;

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
    /// Of these, reasoning that nobody is shown; 0 if the provider did not say.
    pub reasoning: i64,
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
            reasoning: self.reasoning.saturating_add(other.reasoning),
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

/// What a model took of a user in a day, in answers that were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDay {
    /// The day in UTC on which the run, the summary or the title ended.
    pub day: NaiveDate,
    /// The model, as the provider knows it.
    pub model: String,
    /// Answers that were kept.
    pub answers: i64,
    /// Tokens read.
    pub input: i64,
    /// Of these, what came from the provider's prompt cache.
    pub cached: i64,
    /// Tokens written.
    pub output: i64,
    /// Of these, reasoning that nobody is shown.
    pub reasoning: i64,
}

/// What models took of the user on the days from `from` to `to`, by day and model, for runs, summaries and titles that are still there.
pub async fn by_model(
    db: &mut Connection,
    user_id: &str,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<ModelDay>, StoreError> {
    Ok(sqlx::query_as!(
        ModelDay,
        r#"select t.day as "day!", t.model as "model!", count(*) as "answers!", coalesce(sum(t.input_tokens), 0)::bigint as "input!",
                  coalesce(sum(t.cached_input_tokens), 0)::bigint as "cached!", coalesce(sum(t.output_tokens), 0)::bigint as "output!",
                  coalesce(sum(t.reasoning_tokens), 0)::bigint as "reasoning!"
           from (
               select (coalesce(r.finished_at, s.created_at) at time zone 'utc')::date as day, coalesce(s.model, '') as model,
                      s.input_tokens, s.cached_input_tokens, s.output_tokens, s.reasoning_tokens
               from runs r join steps s on s.run_id = r.id and s.attempt > 0
               -- A run that waits for its user may end days after it began.
               where r.user_id = $1 and r.created_at >= $2::date - 7 and r.created_at < $3::date + 2
               union all
               select (s.finished_at at time zone 'utc')::date, s.model, s.input_tokens, s.cached_input_tokens, s.output_tokens, s.reasoning_tokens
               from summaries s
               where s.user_id = $1 and s.model is not null and s.finished_at >= $2::date - 1 and s.finished_at < $3::date + 2
               union all
               select (c.titled_at at time zone 'utc')::date, c.title_model, c.title_input_tokens, c.title_cached_input_tokens,
                      c.title_output_tokens, c.title_reasoning_tokens
               from conversations c
               where c.user_id = $1 and c.titled_at >= $2::date - 1 and c.titled_at < $3::date + 2
           ) t
           where t.day between $2 and $3
           group by t.day, t.model
           order by t.day desc, t.model"#,
        user_id,
        from,
        to
    )
    .fetch_all(db)
    .await?)
}

/// What models took for one run of the user, by model.
pub async fn of_run(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
) -> Result<Vec<ModelDay>, StoreError> {
    Ok(sqlx::query_as!(
        ModelDay,
        r#"select (max(s.created_at) at time zone 'utc')::date as "day!", coalesce(s.model, '') as "model!", count(*) as "answers!",
                  coalesce(sum(s.input_tokens), 0)::bigint as "input!", coalesce(sum(s.cached_input_tokens), 0)::bigint as "cached!",
                  coalesce(sum(s.output_tokens), 0)::bigint as "output!", coalesce(sum(s.reasoning_tokens), 0)::bigint as "reasoning!"
           from runs r join steps s on s.run_id = r.id and s.attempt > 0
           where r.id = $2 and r.user_id = $1
           group by s.model"#,
        user_id,
        run_id
    )
    .fetch_all(db)
    .await?)
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

//! What a user has taken: tokens, day by day.

use axum::extract::State;
use chrono::NaiveDate;
use errand_store::{self as store, Page, read::usage};
use serde::Serialize;

use crate::{
    App,
    auth::User,
    error::{ApiError, ErrorBody},
    request::{PageParams, Params},
};

/// One day of use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UsageDay {
    /// The day in UTC, by which the daily budget counts.
    day: NaiveDate,
    /// Tokens that the model read and wrote.
    tokens: i64,
}

/// A page of days, the last first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UsagePage {
    usage: Vec<UsageDay>,
    /// Tokens that may be taken in a day (`TOKENS_PER_DAY`); null: any number.
    tokens_per_day: Option<u64>,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// What the user has taken, by days on which it was anything; they are kept for 35 days.
#[utoipa::path(
    get,
    path = "/api/{user_id}/usage",
    tag = "usage",
    params(("user_id" = String, Path, description = "The user; must be the token's `sub`"), PageParams),
    responses(
        (status = 200, description = "A page", body = UsagePage),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn days(
    State(app): State<App>,
    user: User,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<UsagePage>, ApiError> {
    let limit = page.limit()?;
    let before = page.cursor(|text| text.parse().ok())?;
    let turn = app.reads.enter(&user.id).await?;
    let found = store::within(async {
        let mut db = turn.begin().await?;
        let found = usage::days(&mut db, &user.id, before, limit).await;
        db.done(found).await
    });
    let Page { rows, next } = found.await?;
    let days = rows.into_iter().map(|day| UsageDay {
        day: day.day,
        tokens: day.tokens,
    });
    let budget = app.limits.tokens_per_day;
    Ok(axum::Json(UsagePage {
        usage: days.collect(),
        tokens_per_day: (budget > 0).then_some(budget),
        next_cursor: next.map(|day| day.to_string()),
    }))
}

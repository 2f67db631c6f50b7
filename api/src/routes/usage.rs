//! What a user has taken: tokens, day by day.

use axum::extract::State;
use chrono::NaiveDate;
use errand_core::prices::Prices;
use errand_store::{
    self as store, Page, StoreError,
    read::usage::{self, Day, ModelDay},
};
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
    /// Of the input of its models, tokens that came from the providers' prompt caches.
    cached_input_tokens: i64,
    /// Of the output of its models, tokens of reasoning that nobody is shown.
    reasoning_tokens: i64,
    /// What the runs that ended on it and the summaries and titles that were written on it took, by model.
    models: Vec<ModelUsage>,
    /// Dollars for that, by the installation's table of prices (`PRICES_FILE`); absent where it has none of the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

/// What one model took in a day: of answers that were kept, in runs whose conversations have not been deleted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelUsage {
    /// The model, as the provider knows it.
    model: String,
    /// Answers that were kept.
    model_calls: i64,
    /// Tokens it read.
    input_tokens: i64,
    /// Of these, tokens that came from the provider's prompt cache.
    cached_input_tokens: i64,
    /// Tokens it wrote.
    output_tokens: i64,
    /// Of these, tokens of reasoning that nobody is shown.
    reasoning_tokens: i64,
    /// Dollars for them; absent if its price is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

/// Dollars for what a model took, to a millionth; none if its price is not known.
pub(crate) fn cost(prices: &Prices, took: &ModelDay) -> Option<f64> {
    let price = prices.get(&took.model)?;
    Some(rounded(price.cost(took.input, took.cached, took.output)))
}

/// Dollars for what several models took, as far as their prices are known; none if no price is.
pub(crate) fn sum(costs: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    costs.flatten().reduce(|sum, cost| sum + cost).map(rounded)
}

fn rounded(dollars: f64) -> f64 {
    (dollars * 1e6).round() / 1e6
}

impl UsageDay {
    fn of(day: Day, models: &[ModelDay], prices: &Prices) -> Self {
        let models = models.iter().filter(|took| took.day == day.day);
        let models: Vec<_> = models
            .map(|took| ModelUsage {
                model: took.model.clone(),
                model_calls: took.answers,
                input_tokens: took.input,
                cached_input_tokens: took.cached,
                output_tokens: took.output,
                reasoning_tokens: took.reasoning,
                cost: cost(prices, took),
            })
            .collect();
        Self {
            day: day.day,
            tokens: day.tokens,
            cached_input_tokens: models.iter().map(|model| model.cached_input_tokens).sum(),
            reasoning_tokens: models.iter().map(|model| model.reasoning_tokens).sum(),
            cost: sum(models.iter().map(|model| model.cost)),
            models,
        }
    }
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
        let found = async {
            let page = usage::days(&mut db, &user.id, before, limit).await?;
            let models = match (page.rows.last(), page.rows.first()) {
                (Some(from), Some(to)) => {
                    usage::by_model(&mut db, &user.id, from.day, to.day).await?
                }
                _ => Vec::new(),
            };
            Ok::<_, StoreError>((page, models))
        };
        let found = found.await;
        db.done(found).await
    });
    let (Page { rows, next }, models) = found.await?;
    let days = rows
        .into_iter()
        .map(|day| UsageDay::of(day, &models, &app.prices));
    let budget = app.limits.tokens_per_day;
    Ok(axum::Json(UsagePage {
        usage: days.collect(),
        tokens_per_day: (budget > 0).then_some(budget),
        next_cursor: next.map(|day| day.to_string()),
    }))
}

//! One case, from its beginning to the verdict.

use std::sync::Arc;

use anyhow::Result;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    cases::Case,
    clock::Clock,
    judge,
    recording::{Attempt, Names, solution},
    said::{Said, TurnFigures},
    state::{self, Beginning},
    system::System,
};

/// A case that was played once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Played {
    /// Nothing is wrong.
    pub right: bool,
    /// What is wrong.
    pub complaints: Vec<String>,
    pub turns: Vec<TurnFigures>,
}

/// Calls that a case may take in all.
fn max_calls(case: &Case) -> u64 {
    let solution = || {
        case.turn
            .iter()
            .map(|turn| solution(turn).len())
            .sum::<usize>()
    };
    let max = case
        .max_calls
        .unwrap_or_else(|| solution() + 4 * case.turn.len());
    max as u64
}

/// Plays a case. If the user's day ends meanwhile, what the case says of dates is no longer so, and it is played again.
///
/// # Errors
/// The system does not work, which is no fault of the model's.
pub(crate) async fn play(
    system: &System,
    case: &Case,
    attempt: usize,
) -> Result<(Played, Attempt)> {
    loop {
        let clock = Clock::of(&case.clock, Utc::now())?;
        let played = Box::pin(once(system, case, attempt, clock)).await?;
        if !clock.has_passed(Utc::now()) {
            return Ok(played);
        }
    }
}

async fn once(
    system: &System,
    case: &Case,
    attempt: usize,
    clock: Clock,
) -> Result<(Played, Attempt)> {
    // A user of its own, whom nobody else has.
    let user = format!("{}-{}", case.name, Uuid::now_v7().simple());
    let beginning = Arc::new(Beginning::of(case, &clock)?);
    beginning
        .write(&user, &mut *system.admin.acquire().await?)
        .await?;
    system.stage.begin(&user, case, attempt, &beginning, clock);
    let talked = Talk {
        system,
        case,
        user: &user,
        beginning: &beginning,
        clock,
    }
    .play()
    .await;
    system.stage.end(&user);
    talked
}

/// A case at play.
struct Talk<'a> {
    system: &'a System,
    case: &'a Case,
    user: &'a str,
    beginning: &'a Beginning,
    clock: Clock,
}

impl Talk<'_> {
    async fn play(&self) -> Result<(Played, Attempt)> {
        let mut complaints = Vec::new();
        let (mut turns, mut answers) = (Vec::new(), Vec::new());
        let mut conversation: Option<String> = None;
        let mut before = Vec::new();
        for (n, turn) in self.case.turn.iter().enumerate() {
            let message = self.clock.fill(&turn.say)?;
            self.system.stage.say(self.user, &message);
            let said = self
                .system
                .say(
                    self.user,
                    self.clock.zone(),
                    conversation.as_deref(),
                    &message,
                )
                .await?;
            turns.push(said.figures());
            if let Some(failure) = said.failure() {
                complaints.push(failure);
                break;
            }
            conversation = said.answer["conversation_id"].as_str().map(str::to_owned);
            let now = state::read(self.user, &self.system.db).await?;
            answers.push(self.answers(&said, &before, &now).await?);
            let changes: Vec<_> = said.changes().collect();
            let mut found = judge::forbidden(turn, self.beginning, &changes);
            if turn.look && !said.has_looked() {
                found.push("has not looked at the list".to_owned());
            }
            if let Some(after) = &turn.after {
                found.extend(judge::complaints(after, self.beginning, &now, &self.clock)?);
            }
            let place = if self.case.turn.len() > 1 {
                format!("turn {}: ", n + 1)
            } else {
                String::new()
            };
            complaints.extend(found.into_iter().map(|found| place.clone() + &found));
            before = now;
        }
        let calls: u64 = turns.iter().map(|turn| turn.calls).sum();
        if calls > max_calls(self.case) {
            complaints.push(format!(
                "{calls} calls, and {} are enough",
                max_calls(self.case)
            ));
        }
        let right = complaints.is_empty();
        Ok((
            Played {
                right,
                complaints,
                turns,
            },
            answers,
        ))
    }

    /// What the model has answered in a turn, in a form that can be played again.
    async fn answers(
        &self,
        said: &Said,
        before: &[state::Task],
        now: &[state::Task],
    ) -> Result<Vec<crate::recording::Answer>> {
        let run: Option<Uuid> = said.answer["run_id"]
            .as_str()
            .and_then(|id| id.parse().ok());
        let steps: Vec<(String, Value)> =
            sqlx::query_as("select content, tool_calls from steps where run_id = $1 order by step")
                .bind(run)
                .fetch_all(&self.system.db)
                .await?;
        let Self {
            case,
            beginning,
            clock,
            ..
        } = self;
        let names = Names {
            case,
            beginning,
            before,
            now,
            clock,
        };
        Ok(steps
            .iter()
            .map(|(content, calls)| names.answer(content, calls))
            .collect())
    }
}

//! One case, from its beginning to the verdict.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    cases::Case,
    clock::Clock,
    judge,
    recording::{Attempt, Names},
    state::{self, Beginning},
    system::System,
};

/// What came of a message.
#[derive(Debug)]
pub(crate) struct Said {
    status: u16,
    answer: Value,
    took: Duration,
}

impl Said {
    pub(crate) const fn new(status: u16, answer: Value, took: Duration) -> Self {
        Self {
            status,
            answer,
            took,
        }
    }

    /// Why there is no reply.
    fn failure(&self) -> Option<String> {
        let is_answered = self.status == 200 && self.answer["response"].is_string();
        let error = &self.answer["error"];
        (!is_answered).then(|| {
            format!(
                "no reply: {} {} {}",
                self.status, error["code"], error["message"]
            )
        })
    }

    fn calls(&self) -> impl Iterator<Item = &Value> {
        self.answer["tool_calls"].as_array().into_iter().flatten()
    }

    /// The calls that changed something: tool, task, title.
    fn changes(&self) -> impl Iterator<Item = (String, Option<Uuid>, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let done = self
            .calls()
            .filter(|call| call["result"]["success"] == true && call["tool_name"] != "list_tasks");
        done.map(move |call| {
            let parameters = &call["parameters"];
            (
                text(&call["tool_name"]),
                text(&parameters["task_id"]).parse().ok(),
                text(&parameters["title"]),
            )
        })
    }

    fn has_looked(&self) -> bool {
        self.calls()
            .any(|call| call["result"]["success"] == true && call["tool_name"] == "list_tasks")
    }

    fn figures(&self) -> TurnFigures {
        let usage = |name: &str| self.answer["usage"][name].as_u64().unwrap_or_default();
        TurnFigures {
            seconds: (self.took.as_secs_f64() * 1e3).round() / 1e3,
            calls: self.calls().count() as u64,
            model_calls: usage("model_calls"),
            input_tokens: usage("input_tokens"),
            cached_tokens: usage("cached_input_tokens"),
            output_tokens: usage("output_tokens"),
            estimated: self.answer["usage"]["estimated"] == true,
        }
    }
}

/// What a turn took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct TurnFigures {
    /// From the message to the reply, as the user waits.
    pub seconds: f64,
    /// Calls of tools, those that failed included.
    pub calls: u64,
    /// Answers of the model.
    pub model_calls: u64,
    /// Those from the provider's cache included.
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Some of the tokens are an estimate.
    pub estimated: bool,
}

/// A case that was played once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Played {
    /// Nothing is wrong.
    pub right: bool,
    /// What is wrong.
    pub complaints: Vec<String>,
    pub turns: Vec<TurnFigures>,
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
            answers.push(self.answers(&said, &now).await?);
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
        }
        let calls: u64 = turns.iter().map(|turn| turn.calls).sum();
        if calls > self.case.max_calls() as u64 {
            complaints.push(format!(
                "{calls} calls, and {} are enough",
                self.case.max_calls()
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
            now,
            clock,
        };
        Ok(steps
            .iter()
            .map(|(content, calls)| names.answer(content, calls))
            .collect())
    }
}

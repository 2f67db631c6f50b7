//! Who answers: the model that the worker is configured for, or one of those that need no provider.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use errand_devkit::model::{PlainModel, PlainSettings, ScriptedModel, Turn, request};
use errand_worker::config::ModelConfig;
use serde_json::Value;

use crate::{
    cases::Case,
    clock::Clock,
    recording::{Answer, Attempt, Recording},
    state::Beginning,
};

mod careless;
mod perform;

/// A model that can be chosen.
#[derive(Debug, Clone)]
pub enum Choice {
    /// A provider, as the worker is configured for one.
    Provider(Box<ModelConfig>),
    /// The stand-in of `cargo dev`.
    StandIn,
    /// Answers of a file.
    Recorded(Arc<Recording>),
    /// Makes the calls of each case's solution.
    Solutions,
    /// Says that all is done, and does nothing.
    Idle,
    /// Acts whatever is said.
    Rash,
    /// Errs in most cases, in the ways in which models do: claims, takes the wrong task, acts where it should ask.
    Careless,
}

impl Choice {
    /// What it is called in a report.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Provider(config) => config.model().to_owned(),
            Self::StandIn => "stand-in of cargo dev".to_owned(),
            Self::Recorded(recording) => format!("recording of {}", recording.model),
            Self::Solutions => "solutions".to_owned(),
            Self::Idle => "idle".to_owned(),
            Self::Rash => "rash".to_owned(),
            Self::Careless => "careless".to_owned(),
        }
    }

    /// Whether it can play a case.
    #[must_use]
    pub fn knows(&self, case: &Case) -> bool {
        match self {
            Self::Recorded(recording) => recording.cases.contains_key(&case.name),
            _ => true,
        }
    }

    /// All that it will answer in a case, if that is known beforehand. `attempt` counts from 0.
    fn script(&self, case: &Case, attempt: usize) -> Option<Attempt> {
        let turns = case.turn.iter();
        match self {
            Self::Provider(_) | Self::StandIn => None,
            Self::Recorded(recording) => {
                let attempts = recording.cases.get(&case.name)?;
                attempts.get(attempt % attempts.len().max(1)).cloned()
            }
            Self::Solutions => Some(turns.map(careless::solved).collect()),
            Self::Idle => Some(turns.map(|_| vec![careless::claim()]).collect()),
            Self::Rash => Some(turns.map(|_| careless::rash(case)).collect()),
            Self::Careless => Some(careless::attempt(case)),
        }
    }
}

/// A model at work.
pub(crate) struct Stage {
    server: Server,
    plays: Arc<Plays>,
}

enum Server {
    Provider(Box<ModelConfig>),
    Plain(PlainModel),
    Scripted(ScriptedModel, Choice),
}

/// A case that is being played, as a scripted model knows it.
struct Play {
    script: Attempt,
    beginning: Arc<Beginning>,
    clock: Clock,
    /// What the user has said so far.
    said: Vec<String>,
}

#[derive(Default)]
struct Plays(Mutex<HashMap<String, Play>>);

impl Plays {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Play>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be answered: the play is known by what its user has said.
    fn answer(&self, body: &Value) -> Turn {
        let turns = request::turns(body);
        let asked: Vec<String> = turns.iter().map(|turn| request::asked(turn)).collect();
        let plays = self.lock();
        // Of long conversations the beginning is left out; but who has said just this is meant before who has said it at last.
        let play = plays.values().find(|play| play.said == asked);
        let play = play.or_else(|| plays.values().find(|play| play.said.ends_with(&asked)));
        let Some(play) = play else {
            return Turn::status(400)
                .body("{\"error\": {\"message\": \"no such case is played\"}}");
        };
        let had = turns.last().map_or(0, |turn| {
            turn.iter()
                .filter(|message| message["role"] == "assistant")
                .count()
        });
        let answers = play.script.get(play.said.len() - 1);
        let end = Answer {
            text: "(The recording ends here.)".to_owned(),
            ..Answer::default()
        };
        let answer = answers.and_then(|answers| answers.get(had)).unwrap_or(&end);
        perform::turn(answer, &play.beginning, &play.clock, body)
    }
}

impl Stage {
    pub(crate) async fn set(choice: &Choice) -> Result<Self> {
        let plays = Arc::<Plays>::default();
        let server = match choice {
            Choice::Provider(config) => Server::Provider(config.clone()),
            Choice::StandIn => {
                let at_once = PlainSettings {
                    port: 0,
                    first_token: std::time::Duration::ZERO,
                    per_token: std::time::Duration::ZERO,
                };
                Server::Plain(PlainModel::start(at_once).await?)
            }
            scripted => {
                let model = ScriptedModel::start().await?;
                let plays = Arc::clone(&plays);
                model.script(move |body| plays.answer(body));
                Server::Scripted(model, scripted.clone())
            }
        };
        Ok(Self { server, plays })
    }

    /// What a worker is told of it.
    pub(crate) fn config(&self) -> ModelConfig {
        match &self.server {
            Server::Provider(config) => (**config).clone(),
            Server::Plain(model) => ModelConfig::at(&model.base_url(), "none", "stand-in"),
            Server::Scripted(model, _) => ModelConfig::at(&model.base_url(), "none", "scripted"),
        }
    }

    /// A case is played from now on, by this user.
    pub(crate) fn begin(
        &self,
        user: &str,
        case: &Case,
        attempt: usize,
        beginning: &Arc<Beginning>,
        clock: Clock,
    ) {
        if let Server::Scripted(_, choice) = &self.server {
            let play = Play {
                script: choice.script(case, attempt).unwrap_or_default(),
                beginning: Arc::clone(beginning),
                clock,
                said: Vec::new(),
            };
            self.plays.lock().insert(user.to_owned(), play);
        }
    }

    /// The user will say this next.
    pub(crate) fn say(&self, user: &str, text: &str) {
        if let Some(play) = self.plays.lock().get_mut(user) {
            play.said.push(text.to_owned());
        }
    }

    /// The case is over.
    pub(crate) fn end(&self, user: &str) {
        self.plays.lock().remove(user);
    }
}

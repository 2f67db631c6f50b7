//! Several models as one: the first is asked, and the next when it has failed for good or as often as is sensible.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::{Answer, Model, ModelError, Progress, Request};

/// The models of one attempt at a run.
///
/// It stays with the model that has answered: one that failed costs a turn one try, and not one for each step. Only if all that are behind
/// it fail, too, are those in front of it asked again.
pub(crate) struct Fallback<'a, M> {
    models: Vec<M>,
    /// The one that is asked first.
    first: AtomicUsize,
    /// Hears the name of each that has failed before another is asked.
    passed_over: &'a (dyn Fn(&str) + Sync),
}

impl<'a, M: Model> Fallback<'a, M> {
    /// These models, of which there is at least one. `passed_over` hears the name of each that fails before another is asked.
    pub(crate) fn new(models: Vec<M>, passed_over: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            models,
            first: AtomicUsize::new(0),
            passed_over,
        }
    }
}

impl<M: Model> Model for Fallback<'_, M> {
    fn name(&self) -> &str {
        self.models.first().map_or("", Model::name)
    }

    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        let first = self.first.load(Ordering::Relaxed);
        let order = (first..self.models.len()).chain(0..first);
        let mut failed: Option<(&M, ModelError)> = None;
        for place in order {
            let Some(model) = self.models.get(place) else {
                continue;
            };
            if let Some((before, error)) = &failed {
                tracing::warn!(failed = before.name(), %error, next = model.name(), "the model failed; asking another");
                (self.passed_over)(before.name());
                // Nothing of what it said counts.
                tell(Progress::Restart);
            }
            match model.answer(request, tell).await {
                Ok(mut answer) => {
                    self.first.store(place, Ordering::Relaxed);
                    answer.model = Some(model.name().to_owned());
                    return Ok(answer);
                }
                // The agent asks again with less: that is what helps.
                Err(ModelError::ContextTooLong) => {
                    self.first.store(place, Ordering::Relaxed);
                    return Err(ModelError::ContextTooLong);
                }
                Err(error) => failed = Some((model, worse(failed.map(|(_, error)| error), error))),
            }
        }
        let none = || ModelError::Unavailable("no model is configured".to_owned());
        Err(failed.map_or_else(none, |(_, error)| error))
    }
}

/// What is told of several failures: the last, but that it may work later, if that is so of any.
fn worse(before: Option<ModelError>, last: ModelError) -> ModelError {
    match (before, last) {
        (Some(ModelError::Unavailable(_)), ModelError::Refused(why)) => {
            ModelError::Unavailable(why)
        }
        (_, last) => last,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers as it is told, call by call; then with its name.
    struct Told {
        name: &'static str,
        answers: Mutex<Vec<Result<Answer, ModelError>>>,
        asked: AtomicUsize,
    }

    impl Told {
        fn new(name: &'static str, answers: Vec<Result<Answer, ModelError>>) -> Self {
            Self {
                name,
                answers: Mutex::new(answers),
                asked: AtomicUsize::new(0),
            }
        }
    }

    impl Model for Told {
        fn name(&self) -> &str {
            self.name
        }

        async fn answer(
            &self,
            _: Request<'_>,
            tell: &(dyn Fn(Progress<'_>) + Sync),
        ) -> Result<Answer, ModelError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tell(Progress::Text(self.name));
            let mut answers = self.answers.lock().expect("no panic");
            match answers.is_empty() {
                true => Ok(Answer {
                    text: self.name.to_owned(),
                    ..Answer::default()
                }),
                false => answers.remove(0),
            }
        }
    }

    fn unavailable() -> Result<Answer, ModelError> {
        Err(ModelError::Unavailable("away".to_owned()))
    }

    fn refused() -> Result<Answer, ModelError> {
        Err(ModelError::Refused("no".to_owned()))
    }

    const REQUEST: Request<'_> = Request {
        messages: &[],
        tools: &[],
        may_call: true,
        temperature: None,
    };

    async fn ask(models: &Fallback<'_, Told>) -> (Result<Answer, ModelError>, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let tell = |progress: Progress<'_>| {
            let what = match progress {
                Progress::Text(text) => text.to_owned(),
                other => format!("{other:?}"),
            };
            told.lock().expect("no panic").push(what);
        };
        let answer = models.answer(REQUEST, &tell).await;
        (answer, told.into_inner().expect("no panic"))
    }

    fn counts(models: &Fallback<'_, Told>) -> Vec<usize> {
        models
            .models
            .iter()
            .map(|model| model.asked.load(Ordering::Relaxed))
            .collect()
    }

    #[tokio::test]
    async fn a_turn_stays_with_the_model_that_answered() {
        let passed_over = Mutex::new(Vec::new());
        let note = |model: &str| passed_over.lock().expect("no panic").push(model.to_owned());
        let a = Told::new("a", vec![refused()]);
        let models = Fallback::new(
            vec![
                a,
                Told::new("b", vec![unavailable()]),
                Told::new("c", vec![]),
            ],
            &note,
        );
        assert_eq!(models.name(), "a");
        let (answer, told) = ask(&models).await;
        assert_eq!(answer.expect("an answer").model.as_deref(), Some("c"));
        // What was streamed of the others is taken back.
        assert_eq!(told, ["a", "Restart", "b", "Restart", "c"]);
        let (answer, told) = ask(&models).await;
        assert_eq!(answer.expect("an answer").text, "c");
        assert_eq!(told, ["c"]);
        assert_eq!(counts(&models), [1, 1, 2]);
        assert_eq!(*passed_over.lock().expect("no panic"), ["a", "b"]);
    }

    #[tokio::test]
    async fn those_in_front_are_asked_again_before_the_turn_fails() {
        let b = Told::new("b", vec![Ok(Answer::default()), unavailable()]);
        let models = Fallback::new(vec![Told::new("a", vec![refused()]), b], &|_| {});
        assert_eq!(
            ask(&models).await.0.expect("an answer").model.as_deref(),
            Some("b")
        );
        assert_eq!(
            ask(&models).await.0.expect("an answer").model.as_deref(),
            Some("a")
        );
        assert_eq!(counts(&models), [2, 2]);
    }

    #[tokio::test]
    async fn each_is_asked_once_and_it_may_work_later_if_that_is_so_of_any() {
        let a = Told::new("a", vec![unavailable()]);
        let models = Fallback::new(vec![a, Told::new("b", vec![refused()])], &|_| {});
        assert!(matches!(
            ask(&models).await.0,
            Err(ModelError::Unavailable(_))
        ));
        assert_eq!(counts(&models), [1, 1]);
        let a = Told::new("a", vec![refused()]);
        let models = Fallback::new(vec![a, Told::new("b", vec![refused()])], &|_| {});
        assert!(matches!(ask(&models).await.0, Err(ModelError::Refused(_))));
    }

    #[tokio::test]
    async fn too_long_a_conversation_is_no_reason_to_ask_another() {
        let a = Told::new("a", vec![Err(ModelError::ContextTooLong)]);
        let models = Fallback::new(vec![a, Told::new("b", vec![])], &|_| {});
        assert!(matches!(
            ask(&models).await.0,
            Err(ModelError::ContextTooLong)
        ));
        assert_eq!(counts(&models), [1, 0]);
    }
}

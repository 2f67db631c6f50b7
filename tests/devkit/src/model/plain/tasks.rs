//! The tasks of the list, and which of them words mean. Must not know what is to be done with it.

use serde_json::{Value, json};

use super::words::{whole, words};
use crate::model::request::Step;

/// A task as a tool result shows it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) value: Value,
    words: Vec<String>,
}

/// Verbs with which titles begin. They tell "buy milk and call Ann" from "call Ann and Bob".
const VERBS: &str = "ask bake book bring buy call cancel check clean collect cook do email feed find finish fix get give go learn make meet \
    message mow order organise organize pack paint pay phone pick plan prepare print read renew repair reply return ring send sort study \
    submit take text tidy visit walk wash water work write";
/// Past forms that do not begin as their verbs do.
const PAST: &str =
    "bought paid sent wrote made got did done took went rang gave found fed met brought put read";
const FILLERS: &str = "a an the my our your his her their this that these those to for of on in at with and or from is are was i it me \
    task tasks item thing one do did done some already just all up about as please s";

impl Task {
    fn new(value: Value) -> Self {
        Self {
            words: content(value["title"].as_str().unwrap_or_default()),
            value,
        }
    }

    /// The tasks that a call has listed.
    pub(super) fn listed(step: &Step) -> Vec<Self> {
        let tasks = step.answer("tasks").as_array();
        tasks
            .into_iter()
            .flatten()
            .cloned()
            .map(Self::new)
            .collect()
    }

    /// The task that a call has changed, as far as its result shows it.
    pub(super) fn changed(step: &Step) -> Self {
        let task = step.answer("task");
        Self::new(match task.is_null() {
            true => json!({"id": step.arguments["task_id"]}),
            false => task.clone(),
        })
    }

    pub(super) fn title(&self) -> &str {
        self.value["title"].as_str().unwrap_or_default()
    }
}

/// The task meant by these words, or those which it may be.
pub(super) fn find(tasks: &[Task], wanted: &str) -> Vec<Task> {
    let words = content(wanted);
    let exact = |task: &&Task| task.title().eq_ignore_ascii_case(wanted);
    if let Some(task) = tasks.iter().find(exact) {
        return vec![task.clone()];
    }
    let scores = || tasks.iter().map(|task| (score(&words, &task.words), task));
    let best = scores().map(|(score, _)| score).max().unwrap_or(0);
    let top = scores().filter(|(score, _)| *score > 0 && *score == best);
    top.map(|(_, task)| task.clone()).collect()
}

/// The view whose tasks "everything" or "what is overdue" means, if it is said; `None` when the words are a title.
pub(super) fn all(wanted: &str) -> Option<&'static str> {
    let words = words(wanted);
    let is = |pattern: &str| whole(pattern, &words).is_some();
    if is("everything|all|what|what's of? the|my? is|that's? overdue task|tasks?") {
        return Some("overdue");
    }
    is("everything|all of? the|my? them|tasks?").then_some("")
}

/// Whether titles begin with this verb, in whatever form.
pub(super) fn is_verb(word: &str) -> bool {
    let mut verbs = VERBS.split_whitespace().chain(PAST.split_whitespace());
    verbs.any(|verb| stem(verb) == stem(word))
}

/// Whether a word is a verb in the past: "bought", "called".
pub(super) fn is_past(word: &str) -> bool {
    PAST.split_whitespace().any(|past| past == word) || word.len() > 4 && word.ends_with("ed")
}

/// The number of shared words, or 0 when that is too little: less than half, or verbs alone although there are nouns, so that "I called
/// Bob" is not "call Ann".
fn score(wanted: &[String], title: &[String]) -> usize {
    let shared = wanted.iter().filter(|word| has(title, word));
    let nouns = shared.clone().filter(|word| !is_verb(word)).count();
    let has_noun = wanted.iter().any(|word| !is_verb(word));
    let is_enough = shared.clone().count() * 2 >= wanted.len() && (nouns > 0 || !has_noun);
    // Of two titles with these words the one without others fits better.
    let is_all = title.iter().all(|word| has(wanted, word));
    usize::from(is_enough) * (shared.count() * 2 + usize::from(is_all))
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|other| stem(other) == stem(word))
}

/// What the forms of a word have in common: "plan" of "planning", "cal" of "called" and "call".
fn stem(word: &str) -> &str {
    let endings = ["ing", "ied", "ies", "ed", "es", "e", "s", "y"];
    let mut roots = endings
        .iter()
        .filter_map(|ending| word.strip_suffix(ending));
    let root = roots.find(|root| root.len() > 2).unwrap_or(word);
    let last = root.chars().next_back().unwrap_or_default();
    let once = root.strip_suffix(last).filter(|once| once.ends_with(last));
    once.unwrap_or(root)
}

/// The words that say something, of no more text than a title may have.
fn content(text: &str) -> Vec<String> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase);
    let is_filler = |word: &str| FILLERS.split_whitespace().any(|filler| filler == word);
    let words = words.filter(|word| !word.is_empty() && !is_filler(word));
    words.take(128).collect()
}

//! The tasks of the list, and which of them words mean. Must not know what is to be done with it.

use serde_json::Value;

use super::words::{whole, words};
use crate::model::request::Step;

/// A task as a tool result shows it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) value: Value,
    words: Vec<String>,
}

/// Verbs with which titles begin. They tell "buy milk and call Ann" from "call Ann and Bob".
const VERBS: &str = "answer ask bake book bring buy call cancel change check clean collect cook do email feed file find finish fix get give \
    go invite learn mail make meet message mow open order organise organize pack paint pay phone pick plan post prepare print read renew \
    repair reply return ring schedule send sort study submit take text tidy visit walk wash water work write";
const FILLERS: &str = "a an the my our your his her their this that these those to for of on in at with and or from is are was be i it me \
    task tasks item thing one do done some already just all up about as please today yesterday list s i for look";
/// Past forms that do not begin as their verbs do.
const PAST: &str = "bought paid sent wrote written made got did done took went rang gave found fed met brought told ran sold built cut put \
    drove ate saw won caught read";

impl Task {
    /// The tasks that a call has listed.
    pub(super) fn all(step: &Step) -> Vec<Self> {
        let task = |value: &Value| Self {
            words: content(value["title"].as_str().unwrap_or_default()),
            value: value.clone(),
        };
        let tasks = step.answer("tasks").as_array().into_iter().flatten();
        tasks.map(task).collect()
    }

    pub(super) fn title(&self) -> &str {
        self.value["title"].as_str().unwrap_or_default()
    }

    /// Whether all these words are about it.
    pub(super) fn covers(&self, wanted: &str) -> bool {
        content(wanted).iter().all(|word| has(&self.words, word))
    }
}

/// The task meant by these words, or those which it may be.
pub(super) fn find(tasks: &[Task], wanted: &str) -> Vec<Task> {
    let words = content(wanted);
    let scores = || tasks.iter().map(|task| (score(&words, &task.words), task));
    let best = scores().map(|(score, _)| score).max().unwrap_or(0);
    let top = scores().filter(|(score, _)| *score > 0 && *score == best);
    let mut exact = tasks
        .iter()
        .filter(|task| task.title().eq_ignore_ascii_case(wanted));
    match exact.next() {
        Some(task) => vec![task.clone()],
        None => top.map(|(_, task)| task.clone()).collect(),
    }
}

/// The view whose tasks "everything" or "all done tasks" means, if it is said; `None` when the words are a title.
pub(super) fn all(wanted: &str) -> Option<Option<&'static str>> {
    let words = words(wanted);
    let is = |pattern: &str| whole(pattern, &words).is_some();
    let overdue = "everything|all|every|what|what's of? the|my|is? overdue|late task|tasks?";
    let done = "everything|all|every of? the|my? done|completed|finished task|tasks?";
    let open = "everything|all|every of? the|my? open|deleted? them|task|tasks?";
    let views = [
        (overdue, Some("overdue")),
        (done, Some("completed")),
        (open, None),
    ];
    views
        .iter()
        .find(|(pattern, _)| is(pattern))
        .map(|(_, view)| *view)
}

/// The one word of a phrase that is best to search for.
pub(super) fn keyword(phrase: &str) -> Option<String> {
    let mut words = content(phrase);
    let noun = words.iter().rposition(|word| !is_verb(word));
    noun.or(words.len().checked_sub(1))
        .map(|at| words.swap_remove(at))
}

/// Whether titles begin with this verb, in whatever form.
pub(super) fn is_verb(word: &str) -> bool {
    let mut verbs = VERBS.split_whitespace().chain(PAST.split_whitespace());
    verbs.any(|verb| is_like(verb, word))
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
    let same = |other: &String| is_like(other, word) || is_like(word, other);
    words.iter().any(same)
}

/// Whether the second is the first or a form of it: "plants", "called", "planning".
fn is_like(short: &str, long: &str) -> bool {
    let root = short.trim_end_matches(['e', 'y']);
    let ending = long.strip_prefix(root).filter(|_| root.len() > 1);
    let once = |ending: &str| {
        ending
            .strip_prefix(root.chars().next_back()?)
            .map(str::to_owned)
    };
    let ends = |ending: &str| {
        "s es d ed ing ies ied"
            .split(' ')
            .any(|known| known == ending)
    };
    short == long
        || ending
            .is_some_and(|ending| ends(ending) || once(ending).is_some_and(|ending| ends(&ending)))
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

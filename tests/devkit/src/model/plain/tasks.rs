//! The tasks of the list, and which of them words mean. Must not know what is to be done with it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use serde_json::Value;

/// A task as a tool result shows it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) value: Value,
    words: BTreeSet<String>,
}

/// What a search for a task came to.
#[derive(Debug)]
pub(super) enum Found {
    One(Task),
    Several(Vec<Task>),
    None,
}

/// Verbs with which titles begin. They tell "buy milk and call Ann" from "call Ann and Bob".
const VERBS: &str = "answer ask bake book bring buy call cancel change check clean collect cook do email feed file find finish fix get give \
    go invite learn mail make meet message mow open order organise organize pack paint pay phone pick plan post prepare print read renew \
    repair reply return ring schedule send sort study submit take text tidy visit walk wash water work write";
const FILLERS: &str = "a an the my our your his her their this that these those to for of on in at with and or from is are was be i it me \
    task tasks item thing one do some already just all up about as please today yesterday list";
/// Past forms that no rule leads back to the verb, each behind its verb.
const IRREGULAR_VERBS: &str = "buy bought pay paid send sent write wrote write written make made get got do did do done take took take taken go went \
    read read ring rang give gave find found feed fed meet met bring brought tell told speak spoke run ran sweep swept sell sold build built \
    cut cut put put set set hang hung drive drove eat ate drink drank swim swam learn learnt see saw think thought teach taught win won \
    catch caught mow mown";

static IRREGULAR: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let words: Vec<&str> = IRREGULAR_VERBS.split_whitespace().collect();
    words
        .chunks_exact(2)
        .map(|pair| (pair[1], pair[0]))
        .collect()
});
static STEMS: LazyLock<HashSet<String>> =
    LazyLock::new(|| VERBS.split_whitespace().map(stem).collect());

impl Task {
    pub(super) fn new(value: &Value) -> Self {
        let words = content(value["title"].as_str().unwrap_or_default());
        Self {
            value: value.clone(),
            words,
        }
    }

    /// The tasks of a `list_tasks` result.
    pub(super) fn all(result: &Value) -> Vec<Self> {
        result["tasks"]
            .as_array()
            .map(|tasks| tasks.iter().map(Self::new).collect())
            .unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }

    pub(super) fn title(&self) -> &str {
        self.value["title"].as_str().unwrap_or_default()
    }
}

/// The task that was mentioned by its id, or in a line of a list, which begins with the title.
pub(super) fn mentioned<'a>(tasks: &'a [Task], mention: &str) -> Option<&'a Task> {
    let fits = |task: &&Task| {
        task.id() == mention || !task.title().is_empty() && mention.starts_with(task.title())
    };
    tasks
        .iter()
        .filter(fits)
        .max_by_key(|task| task.title().len())
}

/// The task meant by these words.
pub(super) fn find(tasks: &[Task], wanted: &str) -> Found {
    let same_title = |task: &&Task| task.title().eq_ignore_ascii_case(wanted.trim());
    if let Some(task) = tasks.iter().find(same_title) {
        return Found::One(task.clone());
    }
    let words = content(wanted);
    let best = tasks
        .iter()
        .map(|task| score(&words, &task.words))
        .max()
        .unwrap_or(0);
    let top: Vec<&Task> = tasks
        .iter()
        .filter(|task| best > 0 && score(&words, &task.words) == best)
        .collect();
    let same: Vec<&&Task> = top.iter().filter(|task| task.words == words).collect();
    match (same.as_slice(), top.as_slice()) {
        ([one], _) => Found::One((**one).clone()),
        (_, [one]) => Found::One((*one).clone()),
        (_, []) => Found::None,
        (_, several) => Found::Several(several.iter().map(|task| (*task).clone()).collect()),
    }
}

/// How well a title fits, from 0 to 100; for choosing between readings of the same sentence.
pub(super) fn fit(tasks: &[Task], wanted: &str) -> usize {
    let wanted = content(wanted);
    let overlap = |task: &Task| {
        100 * task.words.intersection(&wanted).count() / task.words.union(&wanted).count().max(1)
    };
    tasks.iter().map(overlap).max().unwrap_or(0)
}

/// Whether all the words are about one task.
pub(super) fn is_covered(task: &Task, wanted: &str) -> bool {
    content(wanted).is_subset(&task.words)
}

/// The one word of a phrase that is best to search for.
pub(super) fn keyword(phrase: &str) -> Option<String> {
    let words: Vec<&str> = split(phrase)
        .filter(|word| !is_in(FILLERS, &word.to_lowercase()))
        .collect();
    let noun = words
        .iter()
        .rfind(|word| !is_verb(&stem(&word.to_lowercase())));
    noun.or(words.last()).map(|word| (*word).to_owned())
}

/// Whether titles begin with this verb.
pub(super) fn is_verb(word: &str) -> bool {
    STEMS.contains(word) || is_in(VERBS, word)
}

/// Whether a word is a verb in the past: "bought", "called".
pub(super) fn is_past(word: &str) -> bool {
    IRREGULAR.contains_key(word) || word.len() > 4 && word.ends_with("ed")
}

/// The number of shared words, or 0 when that is too little: less than half, or verbs alone although there are nouns, so that "I called
/// Bob" is not "call Ann".
fn score(wanted: &BTreeSet<String>, title: &BTreeSet<String>) -> usize {
    let shared: Vec<&String> = wanted.intersection(title).collect();
    let nouns = wanted.iter().any(|word| !is_verb(word));
    if shared.len() * 2 < wanted.len() || nouns && shared.iter().all(|word| is_verb(word)) {
        return 0;
    }
    shared.len()
}

fn content(text: &str) -> BTreeSet<String> {
    let words = split(text)
        .map(str::to_lowercase)
        .filter(|word| !is_in(FILLERS, word));
    words
        .map(|word| stem(&word))
        .filter(|word| word != "do")
        .collect()
}

fn split(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && *word != "s")
}

fn is_in(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|other| other == word)
}

/// Brings plurals, past forms and "-ing" to a common, not always pretty, form.
fn stem(word: &str) -> String {
    if let Some(verb) = IRREGULAR.get(word) {
        return verb.trim_end_matches('e').to_owned();
    }
    let cut = |end: &str| {
        word.strip_suffix(end)
            .filter(|root| root.chars().count() >= 3)
    };
    if let Some(root) = cut("ies").or(cut("ied")) {
        return format!("{root}y");
    }
    let is_sibilant = |root: &&str| {
        ["ch", "sh", "x", "ss"]
            .iter()
            .any(|end| root.ends_with(end))
    };
    let verbal = cut("ing").or(cut("ed")).map(undouble);
    let plural = cut("es")
        .filter(is_sibilant)
        .or(cut("s").filter(|root| !root.ends_with('s')));
    let root = verbal.or(plural).unwrap_or(word);
    match root.len() {
        3.. => root.trim_end_matches('e').to_owned(),
        _ => root.to_owned(),
    }
}

/// "planned" came from "plan", "called" from "call".
fn undouble(root: &str) -> &str {
    let mut letters = root.chars().rev();
    match (letters.next(), letters.next()) {
        (Some(a), Some(b)) if a == b && !['l', 's', 'z'].contains(&a) => {
            &root[..root.len() - a.len_utf8()]
        }
        _ => root,
    }
}

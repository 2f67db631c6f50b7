//! Finding the task that the user means by comparing words. Must not know what is to be done with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::clauses::TASK_VERBS;

/// A task as a tool result shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) completed: bool,
}

/// What a search for a task came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    One(&'a Task),
    Several(Vec<&'a Task>),
    None,
}

const STOP_WORDS: [&str; 44] = [
    "a", "an", "the", "my", "our", "your", "his", "her", "their", "this", "that", "these", "those",
    "to", "for", "of", "on", "in", "at", "with", "and", "or", "from", "is", "are", "was", "be",
    "i", "it", "me", "task", "tasks", "item", "thing", "one", "do", "some", "already", "just",
    "all", "up", "about", "as", "please",
];

/// Past forms that no rule leads back to the verb.
const IRREGULAR: [(&str, &str); 41] = [
    ("bought", "buy"),
    ("paid", "pay"),
    ("sent", "send"),
    ("wrote", "write"),
    ("written", "write"),
    ("made", "make"),
    ("got", "get"),
    ("did", "do"),
    ("done", "do"),
    ("took", "take"),
    ("taken", "take"),
    ("went", "go"),
    ("read", "read"),
    ("rang", "ring"),
    ("gave", "give"),
    ("found", "find"),
    ("fed", "feed"),
    ("met", "meet"),
    ("brought", "bring"),
    ("told", "tell"),
    ("spoke", "speak"),
    ("ran", "run"),
    ("swept", "sweep"),
    ("sold", "sell"),
    ("built", "build"),
    ("cut", "cut"),
    ("put", "put"),
    ("set", "set"),
    ("hung", "hang"),
    ("drove", "drive"),
    ("ate", "eat"),
    ("drank", "drink"),
    ("swam", "swim"),
    ("learnt", "learn"),
    ("did", "do"),
    ("saw", "see"),
    ("thought", "think"),
    ("taught", "teach"),
    ("won", "win"),
    ("caught", "catch"),
    ("mown", "mow"),
];

impl Task {
    /// The tasks of a `list_tasks` result.
    pub(super) fn all(result: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let task = |t: &Value| Self {
            id: text(&t["id"]),
            title: text(&t["title"]),
            description: text(&t["description"]),
            completed: t["completed"] == true,
        };
        result["tasks"]
            .as_array()
            .map(|tasks| tasks.iter().map(task).collect())
            .unwrap_or_default()
    }
}

/// Whether a word is a verb in the past: "bought", "called".
pub(super) fn is_past(word: &str) -> bool {
    let word = word.to_lowercase();
    IRREGULAR.iter().any(|(past, _)| *past == word)
        || word.len() > 4 && word.ends_with("ed") && word != "need"
}

/// The one word of a phrase that is best to search for.
pub(super) fn keyword(phrase: &str) -> Option<String> {
    let words: Vec<&str> = split(phrase)
        .filter(|word| !STOP_WORDS.contains(&word.to_lowercase().as_str()))
        .collect();
    let noun = words.iter().rfind(|word| !is_verb(&stem(word)));
    noun.or(words.last()).map(|word| (*word).to_owned())
}

/// Finds the task meant by `target`. Among equals, those whose state is as preferred win.
pub(super) fn find<'a>(tasks: &'a [Task], target: &str, completed: bool) -> Found<'a> {
    let wanted = content(target);
    let best = |state: bool| {
        best(
            tasks.iter().filter(|t| t.completed == state),
            target,
            &wanted,
        )
    };
    match best(completed) {
        (_, Found::None) => best(!completed).1,
        (_, found) => found,
    }
}

/// As [`find`], but "milk and bread" may also be two tasks; each part comes with its own result.
pub(super) fn find_each<'a>(
    tasks: &'a [Task],
    target: &str,
    completed: bool,
) -> Vec<(String, Found<'a>)> {
    let wanted = content(target);
    let whole = find(tasks, target, completed);
    let complete = matches!(&whole, Found::One(task) if wanted.is_subset(&content(&task.title)));
    let parts: Vec<&str> = target
        .split(" and ")
        .flat_map(|part| part.split([',', ';']))
        .map(str::trim)
        .collect();
    if complete || parts.len() < 2 {
        return vec![(target.to_owned(), whole)];
    }
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts
        .map(|part| (part.to_owned(), find(tasks, part, completed)))
        .collect()
}

/// How well a title fits, from 0 to 100; for choosing between readings of the same sentence.
pub(super) fn fit(tasks: &[Task], target: &str) -> usize {
    let wanted = content(target);
    let overlap = |task: &Task| {
        let title = content(&task.title);
        100 * title.intersection(&wanted).count() / title.union(&wanted).count().max(1)
    };
    tasks.iter().map(overlap).max().unwrap_or(0)
}

fn best<'a>(
    tasks: impl Iterator<Item = &'a Task>,
    target: &str,
    wanted: &BTreeSet<String>,
) -> (usize, Found<'a>) {
    let mut top = (0, Vec::new());
    for task in tasks {
        if task.title.eq_ignore_ascii_case(target.trim()) {
            return (usize::MAX, Found::One(task));
        }
        let score = score(wanted, &content(&task.title));
        if score > top.0 {
            top = (score, vec![task]);
        } else if score > 0 && score == top.0 {
            top.1.push(task);
        }
    }
    let exact: Vec<&Task> = top
        .1
        .iter()
        .copied()
        .filter(|t| content(&t.title) == *wanted)
        .collect();
    match (exact.as_slice(), top.1.as_slice()) {
        ([one], _) | (_, [one]) => (top.0, Found::One(one)),
        (_, []) => (0, Found::None),
        _ => (top.0, Found::Several(top.1)),
    }
}

/// The number of shared words, or 0 when that is too little: less than half, or verbs alone although there are
/// nouns, so that "I called Bob" is not "call Ann".
fn score(wanted: &BTreeSet<String>, title: &BTreeSet<String>) -> usize {
    let shared: Vec<&String> = wanted.intersection(title).collect();
    let nouns = wanted.iter().any(|word| !is_verb(word));
    let noun_shared = shared.iter().any(|word| !is_verb(word));
    if shared.len() * 2 < wanted.len() || nouns && !noun_shared {
        0
    } else {
        shared.len()
    }
}

fn content(text: &str) -> BTreeSet<String> {
    let words = split(text)
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()));
    words
        .map(|word| stem(&word))
        .filter(|word| word != "do")
        .collect()
}

fn split(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && *word != "s")
}

fn is_verb(stemmed: &str) -> bool {
    TASK_VERBS.iter().any(|verb| stem(verb) == stemmed)
}

/// Brings plurals, past forms and "-ing" to a common, not always pretty, form.
fn stem(word: &str) -> String {
    let word = word.to_lowercase();
    if let Some((_, verb)) = IRREGULAR.iter().find(|(past, _)| *past == word) {
        return verb.trim_end_matches('e').to_owned();
    }
    let long = |s: &&str| s.chars().count() >= 3;
    let cut = |end: &str| word.strip_suffix(end).filter(long);
    if let Some(y) = cut("ies").or(cut("ied")) {
        return format!("{y}y");
    }
    let sibilant =
        |s: &&str| s.ends_with("ch") || s.ends_with("sh") || s.ends_with('x') || s.ends_with("ss");
    let verbal = cut("ing").or(cut("ed")).map(undouble);
    let plural = cut("es")
        .filter(sibilant)
        .or(cut("s").filter(|s| !s.ends_with('s')));
    let root = verbal.or(plural).unwrap_or(&word);
    if root.len() > 2 {
        root.trim_end_matches('e').to_owned()
    } else {
        root.to_owned()
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

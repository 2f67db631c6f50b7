//! Questions about the list. Must not answer them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Value, json};

use super::{
    details::{self, Details},
    intent::Wish,
    tasks::keyword,
    words::{Word, first_of, text, whole},
};

/// What to look up, and how to speak of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// The arguments of each look-up.
    pub(super) queries: Vec<Value>,
    /// "open ".
    pub(super) kind: &'static str,
    /// " due tomorrow".
    pub(super) about: String,
}

const ASKING: [&str; 6] = [
    "what|what's|whats|which|anything|any|how|do X",
    "show|list|display|view|see|read|give|tell X",
    "is|are there? anything|any|something X",
    "is|are there X",
    "i also? want|need to see|know|view X",
    "i'd like to see|know|view X",
];
const SEARCHING: [&str; 4] = [
    "find X",
    "search|look for? X",
    "is|are|was|did|have|when|where is|are|do|did|must|should|i? i|we? X",
    "is|are X",
];
const TOPICS: &str = "left list lists task tasks todo todos to-do to-dos do done have open pending remaining finished completed today \
    everything all did outstanding reminders due overdue late upcoming deleted trash undated plan plans planned agenda";

/// The wish of a question; `None` if it is not one about the list.
pub(super) fn asked(words: &[Word], now: NaiveDateTime) -> Option<Vec<Wish>> {
    if ["what|how * can you|i *", "how does|do this|it|you *"]
        .iter()
        .any(|pattern| whole(pattern, words).is_some())
    {
        return Some(vec![Wish::Help]);
    }
    let is_asking = first_of(&ASKING, words).is_some();
    let is_topic = |word: &Word| TOPICS.split_whitespace().any(|topic| topic == word.low);
    let is_short = words.len() <= 3
        && words
            .iter()
            .all(|word| is_topic(word) || ["my", "the", "is", "show"].contains(&&*word.low));
    let (date, rest) = details::prefix(words, now);
    let is_date = rest.is_empty() && date.span.is_some();
    if !is_asking && !is_short && !is_date {
        let topic = first_of(&SEARCHING, words)?;
        let topic = first_of(
            &[
                "X still? done|finished|completed|open|due|paid|ready",
                "X on my|the list",
            ],
            topic,
        )
        .unwrap_or(topic);
        let word = keyword(&text(topic))?;
        let queries = vec![
            json!({"search": word}),
            json!({"search": word, "completed": true}),
        ];
        return Some(vec![Wish::List(Question {
            queries,
            kind: "",
            about: format!(" about *{word}*"),
        })]);
    }
    let (found, left) = details::cut(words, now);
    let abouts = ["about", "containing", "mentioning"];
    let search = abouts
        .iter()
        .find_map(|about| whole(&format!("* {about} X"), words));
    let search = search.and_then(|found| keyword(&text(found.words[0])));
    let is_known =
        words.iter().any(is_topic) || search.is_some() || !found.is_empty() || left.len() == 1;
    is_known.then(|| vec![Wish::List(listing(words, &found, search, now))])
}

fn listing(
    words: &[Word],
    found: &Details,
    search: Option<String>,
    now: NaiveDateTime,
) -> Question {
    let has = |list: &str| {
        words
            .iter()
            .any(|word| list.split(' ').any(|listed| listed == word.low))
    };
    let is_open = has(
        "open left remaining pending undone incomplete unfinished outstanding still not isn't aren't be",
    );
    let (kind, mut queries) = if has("overdue late") {
        ("overdue ", vec![json!({"view": "overdue"})])
    } else if has("deleted trash") {
        ("deleted ", vec![json!({"view": "deleted"})])
    } else if !is_open && has("done finished completed complete did accomplished") {
        ("finished ", vec![json!({"completed": true})])
    } else if has("undated") || whole("* no|without a? date|deadline *", words).is_some() {
        ("undated ", vec![json!({"view": "undated"})])
    } else if has("upcoming coming soon") {
        ("upcoming ", vec![json!({"view": "upcoming"})])
    } else if !is_open && found.span.is_none() && has("everything all every") {
        ("", vec![json!({}), json!({"completed": true})])
    } else {
        ("open ", vec![json!({})])
    };
    let mut about = String::new();
    if let Some((from, to)) = found.span.filter(|_| kind == "open ") {
        let in_words = |date: NaiveDate| date.format("%a, %-d %b %Y").to_string();
        (queries, about) = match to {
            _ if from == to && from == now.date() => (
                vec![json!({"view": "today"})],
                " due today or overdue".to_owned(),
            ),
            _ if from == to => (
                vec![json!({"due_from": from, "due_to": to})],
                format!(" due on {}", in_words(from)),
            ),
            _ => (
                vec![json!({"due_from": from, "due_to": to})],
                format!(" due from {} to {}", in_words(from), in_words(to)),
            ),
        };
    }
    for query in &mut queries {
        if let Some(priority) = found.priority {
            query["priority"] = json!(format!("p{priority}"));
        }
        if !found.tags.is_empty() {
            query["tags"] = json!(found.tags);
        }
        if let Some(search) = &search {
            query["search"] = json!(search);
        }
    }
    about.extend(
        found
            .priority
            .map(|priority| format!(" of priority p{priority}")),
    );
    about.extend(found.tags.iter().map(|tag| format!(" tagged #{tag}")));
    about.extend(search.map(|word| format!(" about *{word}*")));
    Question {
        queries,
        kind,
        about,
    }
}

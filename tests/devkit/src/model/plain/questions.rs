//! Questions about the list. Must not answer them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Value, json};

use super::details::{self, date_of};
use super::tasks::keyword;
use super::words::{Word, first_of, strip, text, whole};

/// What to look up, and how to speak of it: "overdue ", " about milk".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) queries: Vec<Value>,
    pub(super) kind: &'static str,
    pub(super) about: String,
}

const ASKING: &[&str] = &[
    "what|what's|whats|which|anything|any|how|do X",
    "show|list|display|view|see|read|give|tell X",
    "is|are there X",
    "is|are anything|any|something X",
    "i also? want|need to see|know|view X",
    "i'd like to see|know|view X",
];
const SEARCHING: &[&str] = &[
    "find X",
    "search|look for? X",
    "when|where is|are|do|did|must|should i? X",
    "is|are|was|did|have i? X",
];
const TOPICS: &str = "left list lists task tasks todo todos to-do to-dos do done have open pending remaining finished completed \
    everything all did outstanding reminders due overdue late upcoming deleted trash undated plan plans planned";
/// Words that choose a view.
const VIEWS: [(&str, &str, &str); 5] = [
    ("overdue late", "overdue ", "overdue"),
    ("deleted trash", "deleted ", "deleted"),
    ("undated dateless", "undated ", "undated"),
    ("upcoming coming soon", "upcoming ", "upcoming"),
    (
        "done finished completed complete did accomplished",
        "finished ",
        "completed",
    ),
];
const OPEN: &str = "open left remaining pending undone incomplete unfinished outstanding still not isn't aren't be";

/// The question, if it is one about the list.
pub(super) fn asked(words: &[Word], now: NaiveDateTime) -> Option<Question> {
    let (date, rest) = details::prefix(words, now);
    let is_date = rest.is_empty() && date.contains_key("span");
    let is_short = words
        .iter()
        .all(|word| word.is(TOPICS) || word.is("my the"));
    if first_of(ASKING, words).is_none() && !is_short && !is_date {
        let topic = first_of(SEARCHING, words)?;
        let word = keyword(&text(strip(
            &["X still? done|open|due|paid", "X on my|the list"],
            topic,
        )))?;
        let queries = vec![
            json!({"search": word}),
            json!({"search": word, "completed": true}),
        ];
        return Some(Question {
            queries,
            kind: "",
            about: format!(" about *{word}*"),
        });
    }
    let (found, left) = details::cut(words, now);
    let search = whole("* about|containing|mentioning X", words);
    let search = search.and_then(|found| keyword(&text(found.words[0])));
    let is_known = words.iter().any(|word| word.is(TOPICS)) || !found.is_empty() || left.len() == 1;
    if !is_known && search.is_none() {
        return None;
    }
    let span = found
        .get("span")
        .and_then(|span| Some((date_of(&span[0])?, date_of(&span[1])?)));
    let is_open = words.iter().any(|word| word.is(OPEN));
    let has = |list: &str| words.iter().any(|word| word.is(list));
    let view = VIEWS
        .iter()
        .find(|(list, _, view)| has(list) && !(is_open && *view == "completed"));
    let no_date = whole("* no|without a? date|deadline", words).map(|_| &VIEWS[2]);
    let (kind, mut queries) = match no_date.or(view) {
        Some((_, kind, view)) => (*kind, vec![json!({"view": view})]),
        None if !is_open && span.is_none() && has("everything all every") => {
            ("", vec![json!({}), json!({"completed": true})])
        }
        None => ("open ", vec![json!({})]),
    };
    let mut about = String::new();
    let told = |date: NaiveDate| date.format("%a, %-d %b %Y").to_string();
    if let Some((from, to)) = span.filter(|_| kind == "open ") {
        queries = vec![json!({"due_from": from, "due_to": to})];
        about = format!(" due from {} to {}", told(from), told(to));
        if from == to {
            about = format!(" due on {}", told(from));
        }
        if to == now.date() {
            queries = vec![json!({"view": "today"})];
            about = " due today or overdue".to_owned();
        }
    }
    let asks = found
        .into_iter()
        .filter(|(name, _)| name == "priority" || name == "tags");
    let asks = asks.chain(search.iter().map(|word| ("search".to_owned(), json!(word))));
    for (name, value) in asks {
        let word = value.to_string().replace(['"', '[', ']'], "");
        about.push_str(&format!(" about *{word}*"));
        queries
            .iter_mut()
            .for_each(|query| query[&name] = value.clone());
    }
    Some(Question {
        queries,
        kind,
        about,
    })
}

//! Questions about the list. Must not answer them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Value, json};

use super::details::{self, date_of};
use super::words::{Word, start};

/// What to look up, and what tasks found so are: "overdue".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) query: Value,
    pub(super) told: String,
}

const ASKING: [&str; 5] = [
    "what|what's|whats|which|anything|show|list|view",
    "do i",
    "give|tell me",
    "how many",
    "is|are there? anything|any",
];
const TOPICS: &str = "left list lists task tasks todo todos to-do to-dos do done have open remaining finished completed everything did due \
    overdue late upcoming coming deleted trash";
const OPEN: &str = "open left remaining not isn't aren't be";

/// Words that choose a view, and its name.
const VIEWS: [(&str, &str); 4] = [
    ("overdue late", "overdue"),
    ("deleted trash", "deleted"),
    ("upcoming coming", "upcoming"),
    ("done finished completed did", "completed"),
];

/// The question, if it is one about the list.
pub(super) fn asked(words: &[Word], now: NaiveDateTime) -> Option<Question> {
    let has = |list: &str| words.iter().any(|word| word.is(list));
    let (found, left) = details::cut(words, now);
    let is_short = words.len() < 3 && words.iter().all(|word| word.is(TOPICS) || word.is("my"));
    let is_date = left.is_empty() && found.contains_key("span");
    let asks = ASKING.iter().any(|asking| start(asking, words).is_some());
    if !(asks && (has(TOPICS) || !found.is_empty()) || is_short || is_date) {
        return None;
    }
    let day = |date: NaiveDate| date.format("%a, %-d %b %Y").to_string();
    let span = found
        .get("span")
        .and_then(|span| Some((date_of(&span[0])?, date_of(&span[1])?)));
    let view = VIEWS
        .iter()
        .find(|(words, _)| has(words))
        .map(|(_, view)| *view);
    let is_view = |view: &&str| match *view {
        "overdue" => true,
        "completed" => !has(OPEN),
        _ => span.is_none(),
    };
    let (mut query, mut told) = match (view.filter(is_view), span) {
        (Some(view), _) => (json!({"view": view}), view.to_owned()),
        (_, None) => (json!({}), "open".into()),
        (_, Some((_, to))) if to == now.date() => {
            (json!({"view": "today"}), "due today or overdue".into())
        }
        (_, Some((from, to))) => {
            let until = if from == to {
                String::new()
            } else {
                format!(" to {}", day(to))
            };
            (
                json!({"due_from": from, "due_to": to}),
                format!("due on {}{until}", day(from)),
            )
        }
    };
    for name in ["priority", "tags"] {
        if let Some(value) = found.get(name) {
            let word = value.to_string().replace(['"', '[', ']'], "");
            told.push_str(&format!(" with {name} *{word}*"));
            query[name] = value.clone();
        }
    }
    Some(Question { query, told })
}

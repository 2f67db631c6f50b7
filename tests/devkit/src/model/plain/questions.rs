//! Questions about the list. Must not answer them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Value, json};

use super::details::{self, date_of};
use super::words::{Word, whole};

/// What to look up, and what tasks found so are: "overdue".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) query: Value,
    pub(super) told: String,
}

const ASKING: &str = "what|what's|whats|which|anything|show|list * / do i * / give|tell me * / is|are there? anything|any *";
const TOPICS: &str = "left list task tasks todo todos to-do to-dos do done have open remaining finished completed due overdue upcoming \
    coming deleted";

/// The question, if it is one about the list.
pub(super) fn asked(words: &[Word], now: NaiveDateTime) -> Option<Question> {
    let has = |list: &str| words.iter().any(|word| word.is(list));
    let (found, left) = details::cut(words, now);
    let is_short = words.len() < 3 && words.iter().all(|word| word.is(TOPICS) || word.is("my"));
    let is_date = left.is_empty() && found.contains_key("span");
    let mut asking = ASKING.split(" / ");
    let asks = asking.any(|asking| whole(asking, words).is_some());
    if !(asks && (has(TOPICS) || !found.is_empty()) || is_short || is_date) {
        return None;
    }
    let day = |at: usize| date_of(&found.get("span")?[at]);
    let told = |date: NaiveDate| date.format("%a, %-d %b %Y");
    let view = |view: &str| (json!({"view": view}), view.to_owned());
    let (query, told) = match (day(0), day(1)) {
        _ if has("overdue") => view("overdue"),
        _ if has("deleted") => view("deleted"),
        _ if has("done finished completed did") && !has("not isn't aren't be") => view("completed"),
        (_, Some(to)) if to == now.date() => {
            (json!({"view": "today"}), "due today or overdue".into())
        }
        (Some(from), Some(to)) => (
            json!({"due_from": from, "due_to": to}),
            match from == to {
                true => format!("due on {}", told(to)),
                false => format!("due from {} to {}", told(from), told(to)),
            },
        ),
        _ if has("upcoming coming") => view("upcoming"),
        _ => match found.get("priority") {
            Some(priority) => (json!({"priority": priority}), "of this priority".into()),
            None => (json!({}), "open".into()),
        },
    };
    Some(Question { query, told })
}

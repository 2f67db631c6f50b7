//! Questions about the list. Must not answer them.

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Value, json};

use super::details::{self, date_of};
use super::tasks::keyword;
use super::words::{Word, strip, text, whole};

/// What to look up, and how to speak of it: "overdue ", " about milk".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) queries: Vec<Value>,
    pub(super) kind: &'static str,
    pub(super) about: String,
}

const ASKING: &str =
    "what what's whats which anything any how do show list display view see read give tell i";
const SEARCHING: &str = "find search when where is are was did have do";
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
    let first = words
        .first()
        .filter(|word| words.len() < 6 || word.is(ASKING) || word.is(SEARCHING))?;
    let is = |pattern: &str| whole(pattern, words).is_some();
    let has = |list: &str| words.iter().any(|word| word.is(list));
    let (mut found, left) = details::cut(words, now);
    let is_short = words.len() < 3
        && words
            .iter()
            .all(|word| word.is(TOPICS) || word.is("my the"));
    let is_date = left.is_empty() && found.contains_key("span");
    let is_about = has(TOPICS) || !found.is_empty() || left.len() == 1 || is("* about X");
    let is_wish = is("i also? want|need to see|know|view *") || is("i'd like to see|know|view *");
    let asks =
        first.is(ASKING) && (is_wish || !first.is("i")) || is("is|are there? anything|any|there *");
    if !(asks && is_about || is_short || is_date) {
        let topic = strip(
            "X still? done|open|due|paid / X on my|the list",
            &words[1..],
        );
        let word = keyword(&text(topic)).filter(|_| first.is(SEARCHING))?;
        let about = format!(" about *{word}*");
        let queries = vec![
            json!({"search": word}),
            json!({"search": word, "completed": true}),
        ];
        return Some(Question {
            queries,
            kind: "",
            about,
        });
    }
    let is_open = has(OPEN);
    let is_view = |(list, _, view): &&(&str, _, &str)| match *view {
        "completed" => has(list) && !is_open,
        "upcoming" => has(list) && !found.contains_key("span"),
        _ => has(list),
    };
    let no_date = is("* no|without a? date|deadline").then_some(&VIEWS[2]);
    let (kind, view) = match no_date.or(VIEWS.iter().find(is_view)) {
        Some((_, kind, view)) => (*kind, json!({"view": view})),
        None => ("open ", json!({})),
    };
    let mut question = Question {
        queries: vec![view],
        kind,
        about: String::new(),
    };
    let span = found.get("span").filter(|_| kind == "open ").cloned();
    if span.is_none() && kind == "open " && !is_open && has("everything all every") {
        question.queries.push(json!({"completed": true}));
        question.kind = "";
    }
    if let Some((from, to)) = span.and_then(|span| Some((date_of(&span[0])?, date_of(&span[1])?))) {
        let told = |date: NaiveDate| date.format("%a, %-d %b %Y").to_string();
        let is_today = to == now.date();
        question.queries = match is_today {
            true => vec![json!({"view": "today"})],
            false => vec![json!({"due_from": from, "due_to": to})],
        };
        question.about = match from == to {
            _ if is_today => " due today or overdue".to_owned(),
            true => format!(" due on {}", told(from)),
            false => format!(" due from {} to {}", told(from), told(to)),
        };
    }
    let topic = whole("* about X", words).and_then(|found| keyword(&text(found.words[0])));
    found.retain(|name, _| name == "priority" || name == "tags");
    found.extend(topic.map(|word| ("search".to_owned(), json!(word))));
    for (name, value) in found {
        let word = value.to_string().replace(['"', '[', ']'], "");
        question.about.push_str(&format!(" about *{word}*"));
        question
            .queries
            .iter_mut()
            .for_each(|query| query[&name] = value.clone());
    }
    Some(question)
}

//! What a message asks for. Must not know the list: a target is still the user's words for a task.

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use super::clauses::{Clause, Place, clauses, items};
use super::details::{self, Fields};
use super::questions::{self, Question};
use super::reply::{HELLO, HELP, THANKS, UNKNOWN};
use super::tasks::{is_past, is_verb};
use super::words::{Found, Word, strip, text, whole};

/// One wish of the user.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// A new task.
    Add(Fields),
    List(Question),
    /// The words for a task, and the tool and arguments of what is to be done with it.
    Change(String, &'static str, Fields),
    /// To choose one of these titles for the words.
    Choose(String, Vec<String>),
    /// To take back what was done last.
    Undo,
    /// Small talk.
    Say(&'static str),
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Say(&'static str),
    Undo,
    Ask,
    Add,
    Complete,
    Delete,
    /// To complete, if it can be no new task: "finish the report by Friday".
    Finish,
    /// To complete, if the verb is one of the past.
    Report,
    /// A field with this value.
    Is(&'static str, bool),
    Clear(&'static str),
    /// A field with the second capture.
    Text(&'static str),
    Tag,
    Urgent,
    Shift,
    /// Details, with at least one of these fields.
    Set(&'static [&'static str]),
}

const REOPEN: Rule = Rule::Is("completed", false);
const RESTORE: Rule = Rule::Is("restore", true);
const TIME: &[&str] = &["due_date", "minutes", "repeat"];

/// The first that fits, and of which something can be made, counts.
#[rustfmt::skip]
const RULES: &[(&str, Rule)] = &[
    ("undo|revert that|it|this|everything?", Rule::Undo),
    ("undo|revert the|my? last|that|this change|action|step|one|thing?", Rule::Undo),
    ("take that|it back", Rule::Undo),
    ("restore|undelete|recover X", RESTORE),
    ("bring|get|put back X", RESTORE),
    ("bring|get|put X back", RESTORE),
    ("add|attach|put|make? a|the|this? note|description to|on|for X : X", Rule::Text("description")),
    ("clear|remove|delete|drop|cancel the? due|any? date|deadline of|from|for|on X", Rule::Clear("due_date")),
    ("clear|remove|delete|drop the? due? time of|from|for|on X", Rule::Clear("due_time")),
    ("clear|remove|delete|drop the? note|description of|from|for|on X", Rule::Clear("description")),
    ("clear|remove|delete|drop the? tag|tags of|from|for|on X", Rule::Clear("tags")),
    ("stop repeating X", Rule::Clear("repeat")),
    ("stop X from? repeating", Rule::Clear("repeat")),
    ("don't repeat X", Rule::Clear("repeat")),
    ("tag|label X with|as X", Rule::Tag),
    ("prioritise|prioritize X", Rule::Urgent),
    ("what|how * can you|i *", Rule::Say(HELP)),
    ("how does|do this|it|you *", Rule::Say(HELP)),
    ("help *", Rule::Say(HELP)),
    ("who|what are you *", Rule::Say(HELP)),
    ("how are *", Rule::Say(HELLO)),
    ("*", Rule::Ask),
    ("put X on|to|in my|the to-do|todo|task|shopping? list|tasks|todos", Rule::Add),
    ("add|create|new a|another? new? task|todo|to-do|reminder", Rule::Say(HELP)),
    ("add|create|insert X", Rule::Add),
    ("new? task|todo|to-do|reminder X", Rule::Add),
    ("make a task|note|reminder X", Rule::Add),
    ("note down X", Rule::Add),
    ("remember to|that? X", Rule::Add),
    ("remind me to|about|of|that? X", Rule::Add),
    ("don't forget to|about? X", Rule::Add),
    ("don't let me forget to|about? X", Rule::Add),
    ("i also|still? need|have|want to X", Rule::Add),
    ("i also|still? must|should X", Rule::Add),
    ("i've|i'd got|like to X", Rule::Add),
    ("rename|retitle X to|as|into X", Rule::Text("title")),
    ("change|update|set the? title|name of|for X to X", Rule::Text("title")),
    ("change|update X", Rule::Set(TIME)),
    ("change|update X to|into X", Rule::Text("title")),
    ("postpone|delay|push|move|snooze|defer|shift|put X by|for|back|off? N U", Rule::Shift),
    ("mark|tick|check|set X as? not done|finished|completed|complete", REOPEN),
    ("mark|set X as? open|undone|incomplete|todo", REOPEN),
    ("reopen|uncheck|untick|unmark|undo|revert X", REOPEN),
    ("X is|are not done|finished|completed|complete yet?", REOPEN),
    ("X isn't|aren't|wasn't done|finished|completed|complete yet?", REOPEN),
    ("mark|set X as? done|complete|completed|finished|bought|paid|read", Rule::Complete),
    ("tick|check|cross|strike off X", Rule::Complete),
    ("tick|check|cross|strike X off", Rule::Complete),
    ("i'm|we're done|finished", Rule::Say(THANKS)),
    ("i'm? done|finished with X", Rule::Complete),
    ("X is|are|was|has|have been? now|already? done|finished|complete|completed|ready|bought|paid", Rule::Complete),
    ("X done|finished", Rule::Complete),
    ("complete|completed|finish|finished|done X", Rule::Finish),
    ("i|i've|we|we've have? already|just? did|done|finished|completed X", Rule::Complete),
    ("i|i've|we|we've have? already|just? X", Rule::Report),
    ("take X off my|the list", Rule::Delete),
    ("delete|remove|drop|erase X", Rule::Delete),
    ("forget about? X", Rule::Delete),
    ("get rid of X", Rule::Delete),
    ("move|postpone|push|reschedule|shift|delay|defer|snooze|set|put|mark|repeat X", Rule::Set(&[])),
    ("make X", Rule::Set(&["priority"])),
    ("X is|are now? urgent|important", Rule::Urgent),
    ("X is|are due X", Rule::Set(TIME)),
    ("hello|hi|hey|there|greetings there?", Rule::Say(HELLO)),
    ("good morning|evening|afternoon", Rule::Say(HELLO)),
    ("thanks|thank|thx|cheers|great|cool|nice|perfect|well|good|bye|ok|okay|very|so|a *", Rule::Say(THANKS)),
];

/// The wishes of a message, in order. Small talk counts only when there is nothing else; what only looks like a task only if `may_guess`.
pub(super) fn wishes(message: &str, now: NaiveDateTime, may_guess: bool) -> Vec<Wish> {
    let clauses = clauses(message);
    let all = clauses
        .iter()
        .flat_map(|clause| read(clause, now, may_guess));
    let (talk, real): (Vec<Wish>, Vec<Wish>) = all.partition(|wish| matches!(wish, Wish::Say(_)));
    if !real.is_empty() {
        return real;
    }
    let known = talk.into_iter().find(|wish| *wish != Wish::Say(UNKNOWN));
    vec![known.unwrap_or(Wish::Say(UNKNOWN))]
}

fn read(clause: &Clause, now: NaiveDateTime, may_guess: bool) -> Vec<Wish> {
    let (header, words, place) = clause;
    let all = [header.as_slice(), words].concat();
    // "Tomorrow I need to …" asks for the same as without the first word.
    let (early, rest) = details::prefix(&all, now);
    let readings = [(all.as_slice(), &Fields::new()), (rest, &early)];
    for (words, shared) in readings.into_iter().take(1 + early.len().min(1)) {
        let make = |(pattern, rule): &(&str, Rule)| {
            let found = whole(pattern, words)?;
            match rule {
                Rule::Add => adding(found.words[0], shared, *place == Place::Item, now),
                _ => Some(vec![made(*rule, &found, words, now)?]),
            }
        };
        if let Some(wishes) = RULES.iter().find_map(make) {
            return wishes;
        }
    }
    let (found, left) = details::cut(words, now);
    let is_order = left.first().is_some_and(|word| is_verb(&word.low));
    let is_dated = TIME.iter().any(|field| found.contains_key(*field));
    let is_question = words.last().is_some_and(|word| word.ends(&['?']));
    let is_task = match place {
        Place::Item => true,
        Place::Line if left.len() < 12 => true,
        _ => (is_order || is_dated) && !is_question,
    };
    let shared = details::cut(header, now).0;
    let guess = adding(words, &shared, *place != Place::Sentence, now);
    guess
        .filter(|_| may_guess && is_task)
        .unwrap_or(vec![Wish::Say(UNKNOWN)])
}

fn made(rule: Rule, found: &Found<'_>, words: &[Word], now: NaiveDateTime) -> Option<Wish> {
    let captured = &found.words;
    let first = captured.first().copied().unwrap_or_default();
    let second = captured.get(1).copied().unwrap_or_default();
    let update = |fields| change(first, "update_task", fields);
    match rule {
        Rule::Say(text) => Some(Wish::Say(text)),
        Rule::Undo => Some(Wish::Undo),
        Rule::Ask => questions::asked(words, now).map(Wish::List),
        Rule::Finish if made(Rule::Set(TIME), found, words, now).is_some() => None,
        Rule::Report if !is_past(&first[0].low) => None,
        Rule::Complete | Rule::Finish | Rule::Report => change(first, "complete_task", json!({})),
        Rule::Delete => change(first, "delete_task", json!({})),
        Rule::Is(field, value) => update(json!({field: value})),
        Rule::Clear(field) => update(json!({"clear": [field]})),
        Rule::Text(field) => update(json!({field: text(second)})),
        Rule::Urgent => update(json!({"priority": "p1"})),
        Rule::Shift => update(json!({"shift": found.numbers})),
        Rule::Tag => {
            let tags = second.iter().filter(|word| word.low != "and");
            let tags: Vec<&str> = tags.map(|word| word.low.trim_start_matches('#')).collect();
            update(json!({"tags": tags}))
        }
        Rule::Set(needed) => {
            let words = if captured.len() > 1 { words } else { first };
            let (fields, left) = details::cut(words, now);
            let left = strip(
                "X to|into|until|till|is|are|as|be|by|for|back|off|due",
                &left,
            );
            let fits = needed.is_empty() || needed.iter().any(|field| fields.contains_key(*field));
            change(left, "update_task", json!(fields)).filter(|_| fits)
        }
        Rule::Add => None,
    }
}

const FRAMES: &str = "X from|off|to|on|in my|the to-do|todo|task|shopping? list|tasks|todos / X task|item / \
    the|my? task|item|todo called|named? X";
const IN_LIST: &str = "X from|off|to|on|in my|the to-do|todo|task|shopping? list|tasks|todos";

fn change(words: &[Word], tool: &'static str, fields: Value) -> Option<Wish> {
    let target = text(strip(FRAMES, words));
    let fields = fields.as_object()?.clone();
    (!target.is_empty()).then_some(Wish::Change(target, tool, fields))
}

/// The new tasks of "a task to x tomorrow, y and z".
fn adding(words: &[Word], shared: &Fields, is_one: bool, now: NaiveDateTime) -> Option<Vec<Wish>> {
    const OBJECTS: &str = "to|on|in my|the to-do|todo|task|shopping? list|tasks|todos X / N new? tasks|todos|items X / \
        a|an|another|the|this|these|my new|following? task|todo|to-do|item|reminder|tasks|todos|items X / \
        task:|tasks:|todo:|todos:|item:|items:|this:|following: X / to|called|named|for|that|- X / \
        i have|need a|an X / remember|not|forget to X";
    let (early, rest) = details::prefix(strip(OBJECTS, words), now);
    let words = strip(IN_LIST, strip(OBJECTS, rest));
    let mut items = items(words, now);
    if is_one {
        items = vec![words.to_vec()];
    }
    // "Buy milk, eggs and bread today": what is said behind mere things is said of all.
    let is_order = |item: &Vec<Word>| item.first().is_some_and(|word| is_verb(&word.low));
    let last = items.last().filter(|_| !items.iter().skip(1).any(is_order));
    let late = last
        .map(|item| details::cut(item, now).0)
        .unwrap_or_default();
    let mut wishes = Vec::new();
    for item in items {
        let (found, left) = details::cut(strip(IN_LIST, &item), now);
        let title = text(strip("to|and X", &left));
        if !title.is_empty() {
            let mut fields = Fields::from_iter([("title".to_owned(), json!(title))]);
            let said = [shared, &early, &late, &found].into_iter().flatten();
            fields.extend(said.map(|(name, value)| (name.clone(), value.clone())));
            wishes.push(Wish::Add(details::finish(fields, now, &Value::Null)));
        }
    }
    Some(wishes).filter(|wishes| !wishes.is_empty())
}

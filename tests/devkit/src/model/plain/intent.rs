//! What a message asks for. Must not know the list: a target is still the user's words for a task.

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use super::clauses::{clauses, items};
use super::details::{self, Fields, field};
use super::questions::{self, Question};
use super::reply::{HELLO, HELP, THANKS, UNKNOWN};
use super::tasks::{is_past, is_verb};
use super::words::{Word, strip, text, whole};

/// One wish of the user.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// A new task.
    Add(Fields),
    List(Question),
    /// The words for a task, and the tool and arguments of what is to be done with it.
    Change(String, &'static str, Fields),
    /// To take back what was done last.
    Undo,
    /// Small talk.
    Say(&'static str),
}

/// Words, and what a pattern has captured of them.
struct Said<'a> {
    all: &'a [Word],
    captured: Vec<&'a [Word]>,
    now: NaiveDateTime,
}

type Make = fn(&Said<'_>) -> Option<Vec<Wish>>;

/// The first that fits, and of which something can be made, counts.
#[rustfmt::skip]
const RULES: &[(&str, Make)] = &[
    ("undo|revert that|it|this|the|my? last? change|action|step|one?", |_| Some(vec![Wish::Undo])),
    ("take that|it back", |_| Some(vec![Wish::Undo])),
    ("restore X", |said| said.update(field("restore", json!(true)))),
    ("bring|get|put back X", |said| said.update(field("restore", json!(true)))),
    ("bring|get|put X back", |said| said.update(field("restore", json!(true)))),
    ("what|how can you|i *", |_| say(HELP)),
    ("how do|does *", |_| say(HELP)),
    ("who|what are you *", |_| say(HELP)),
    ("help *", |_| say(HELP)),
    ("*", |said| Some(vec![Wish::List(questions::asked(said.all, said.now)?)])),
    ("put X on|to|in my|the to-do|todo|task|shopping? list|tasks|todos", |said| said.add()),
    ("add|create a|another? new? task|todo|reminder", |_| say(HELP)),
    ("add|create X", |said| said.add()),
    ("new? task|todo|to-do|reminder X", |said| said.add()),
    ("remember to|that? X", |said| said.add()),
    ("remind me to|about|of|that? X", |said| said.add()),
    ("don't forget to|about? X", |said| said.add()),
    ("i also|still? need|have|want to X", |said| said.add()),
    ("i must|should X", |said| said.add()),
    ("rename|retitle|change X to|as|into X", |said| said.rename()),
    ("mark|set? X as? isn't|not done|finished|completed|complete yet?", |said| said.update(field("completed", json!(false)))),
    ("reopen|uncheck|undo X", |said| said.update(field("completed", json!(false)))),
    ("mark|set X as? done|complete|completed|finished", |said| said.complete()),
    ("tick|check|cross off X", |said| said.complete()),
    ("tick|check|cross X off", |said| said.complete()),
    ("i'm|we're done|finished", |_| say(THANKS)),
    ("i'm? done|finished with X", |said| said.complete()),
    ("X is|are|was|has been? now|already? done|finished|complete|completed|bought|paid", |said| said.complete()),
    ("X done|finished", |said| said.complete()),
    // But "finish the report by Friday" is a new task.
    ("complete|finish|finished|done X", |said| said.complete().filter(|_| said.set("span").is_none())),
    ("i|i've|we|we've already|just? X", |said| said.complete().filter(|_| is_past(&said.captured[0][0].low))),
    ("delete|remove|drop|forget about? X", |said| said.change(said.captured[0], "delete_task", Fields::new())),
    ("take X off my|the list", |said| said.change(said.captured[0], "delete_task", Fields::new())),
    ("move|postpone|push|reschedule|delay|snooze|set|repeat X", |said| said.set("span minutes repeat shift priority")),
    ("make X", |said| said.set("priority")),
    ("* is|are due|urgent|important *", |said| said.set("span minutes priority")),
    ("hello|hi|hey|there|greetings there?", |_| say(HELLO)),
    ("good morning|evening|afternoon", |_| say(HELLO)),
    ("thanks|thank|thx|cheers|great|cool|nice|perfect|well|good|bye|ok|okay *", |_| say(THANKS)),
];

/// The wishes of a message, in order. Small talk counts only when there is nothing else; what only looks like a task only if `may_guess`.
pub(super) fn wishes(message: &str, now: NaiveDateTime, may_guess: bool) -> Vec<Wish> {
    let clauses = clauses(message).into_iter();
    let all = clauses.flat_map(|(words, is_item)| read(&words, is_item, now, may_guess));
    let (talk, real): (Vec<Wish>, Vec<Wish>) =
        all.flatten().partition(|wish| matches!(wish, Wish::Say(_)));
    if !real.is_empty() {
        return real;
    }
    vec![talk.into_iter().next().unwrap_or(Wish::Say(UNKNOWN))]
}

fn read(all: &[Word], is_item: bool, now: NaiveDateTime, may_guess: bool) -> Option<Vec<Wish>> {
    let fits = |(pattern, make): &(&str, Make)| {
        let captured = whole(pattern, all)?.words;
        make(&Said { all, captured, now })
    };
    let rules = if is_item { &[] } else { RULES };
    rules.iter().find_map(fits).or_else(|| {
        let (found, left) = details::cut(all, now);
        let is_order = left.first().is_some_and(|word| is_verb(&word.low));
        let is_dated = found.contains_key("span") || found.contains_key("repeat");
        let is_question = all.last().is_some_and(|word| word.ends(&['?']));
        let is_task = is_item || (is_order || is_dated) && !is_question;
        adding(all, is_item, now).filter(|_| may_guess && is_task)
    })
}

fn say(text: &'static str) -> Option<Vec<Wish>> {
    Some(vec![Wish::Say(text)])
}

const IN_LIST: &str = "X from|off|to|on|in my|the to-do|todo|task|shopping? list|tasks|todos";
const FRAMES: &str =
    "X task|item / the|my? task|item|todo called|named? X / these|this|following X";

impl Said<'_> {
    fn change(&self, words: &[Word], tool: &'static str, fields: Fields) -> Option<Vec<Wish>> {
        let targets = items(strip(IN_LIST, words), self.now).into_iter();
        let targets = targets.map(|words| text(strip(FRAMES, &words)));
        let targets = targets.filter(|target| !target.is_empty());
        Some(
            targets
                .map(|target| Wish::Change(target, tool, fields.clone()))
                .collect(),
        )
    }

    fn update(&self, fields: Fields) -> Option<Vec<Wish>> {
        self.change(self.captured[0], "update_task", fields)
    }

    fn complete(&self) -> Option<Vec<Wish>> {
        self.change(self.captured[0], "complete_task", Fields::new())
    }

    fn add(&self) -> Option<Vec<Wish>> {
        adding(self.captured[0], false, self.now)
    }

    fn rename(&self) -> Option<Vec<Wish>> {
        // "Change it to tomorrow" is no new title.
        match details::prefix(self.captured[1], self.now) {
            (fields, []) => self.update(fields),
            _ => self.update(field("title", json!(text(self.captured[1])))),
        }
    }

    /// To set details, one of these at least.
    fn set(&self, needed: &str) -> Option<Vec<Wish>> {
        let (fields, left) = details::cut(self.captured.first().unwrap_or(&self.all), self.now);
        let left = strip("X to|until|is|are|by|for|back|due", &left);
        let fits = needed.split(' ').any(|name| fields.contains_key(name));
        self.change(left, "update_task", fields).filter(|_| fits)
    }
}

/// The new tasks of "a task to x tomorrow, y and z".
fn adding(words: &[Word], is_one: bool, now: NaiveDateTime) -> Option<Vec<Wish>> {
    const OBJECTS: &str = "to|on|in my|the to-do|todo|task|shopping? list|tasks|todos X / N new? tasks|todos|items X / \
        a|an|another|the|this|these|my new|following? task|todo|to-do|item|reminder|tasks|todos|items X / task|todo|this|following X / \
        to|called|named|for|that|- X / i also? need|have|want to X / i must|should X / i have|need a|an X / remember|not|forget to X";
    let (early, rest) = details::prefix(strip(OBJECTS, words), now);
    let words = strip(IN_LIST, strip(OBJECTS, rest));
    let items = match is_one {
        true => vec![words.to_vec()],
        false => items(words, now),
    };
    // "Buy milk, eggs and bread today": what is said behind mere things is said of all.
    let is_order = |item: &Vec<Word>| item.first().is_some_and(|word| is_verb(&word.low));
    let last = items.last().filter(|_| !items.iter().skip(1).any(is_order));
    let late = last.map_or(Fields::new(), |item| details::cut(item, now).0);
    let mut wishes = Vec::new();
    for item in items {
        let (found, left) = details::cut(strip(IN_LIST, &item), now);
        let title = text(strip("to|and X", &left));
        if !title.is_empty() {
            let mut fields = early.clone();
            fields.extend(late.clone());
            fields.extend(found);
            fields.extend(field("title", json!(title)));
            wishes.push(Wish::Add(details::finish(fields, now, &Value::Null)));
        }
    }
    Some(wishes).filter(|wishes| !wishes.is_empty())
}

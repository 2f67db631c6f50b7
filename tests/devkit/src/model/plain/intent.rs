//! What a message asks for. Must not know the list: a target is still the user's words for a task.

use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};

use super::{
    clauses::{Clause, Place, clauses, items},
    details::{self, Details},
    questions::{self, Question},
    tasks::{is_past, is_verb},
    words::{Found, Word, first_of, text, whole, words},
};

/// One wish of the user.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// The arguments of a new task.
    Add(Map<String, Value>),
    List(Question),
    /// What to do with which task, in each way to read it.
    Change(Vec<(String, Deed)>),
    /// To take back what was done last.
    Undo,
    Hello,
    Help,
    Thanks,
    Unknown,
}

/// What can be done with a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Deed {
    Complete,
    Reopen,
    Delete,
    Restore,
    /// Details and other arguments of an update.
    Set(Details, Map<String, Value>),
    /// So many units later than it is due.
    Shift(i64, i64),
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Undo,
    Restore,
    Note,
    Clear(&'static str),
    Tag,
    Urgent,
    Ask,
    Add,
    Rename,
    Change,
    Shift,
    Set,
    Make,
    Due,
    Complete,
    Finish,
    Report,
    Reopen,
    Delete,
    Hello,
    Help,
    Thanks,
}

/// The first that fits, and of which something can be made, counts.
#[rustfmt::skip]
const RULES: &[(&str, Rule)] = &[
    ("undo|revert that|it|this|everything?", Rule::Undo),
    ("undo|revert the|my? last|that|this change|action|step|one|thing?", Rule::Undo),
    ("take that|it back", Rule::Undo),
    ("restore|undelete|recover X", Rule::Restore),
    ("bring|get|put back X", Rule::Restore),
    ("bring|get|put X back", Rule::Restore),
    ("add|attach|put|make? a|the|this? note|description to|on|for X : X", Rule::Note),
    ("add|attach|put|make? a|the|this? note|description to|on|for X that|saying|as|- X", Rule::Note),
    ("describe X as X", Rule::Note),
    ("change|set|update the? description|note of|on|for X to X", Rule::Note),
    ("clear|remove|delete|drop|cancel the? due|any? date|deadline of|from|for|on X", Rule::Clear("due_date")),
    ("X has|needs no date|deadline", Rule::Clear("due_date")),
    ("clear|remove|delete|drop the? due? time of|from|for|on X", Rule::Clear("due_time")),
    ("clear|remove|delete|drop the? repeat|repetition|recurrence of|from|for|on X", Rule::Clear("repeat")),
    ("stop repeating X", Rule::Clear("repeat")),
    ("stop X from? repeating", Rule::Clear("repeat")),
    ("don't repeat X", Rule::Clear("repeat")),
    ("clear|remove|delete|drop the? tag|tags|label|labels of|from|for|on X", Rule::Clear("tags")),
    ("untag X", Rule::Clear("tags")),
    ("clear|remove|delete|drop the? note|notes|description of|from|for|on X", Rule::Clear("description")),
    ("tag|label X with|as X", Rule::Tag),
    ("prioritise|prioritize X", Rule::Urgent),
    ("*", Rule::Ask),
    ("put X on|to|in my|the to-do|todo|task|shopping? list|tasks|todos", Rule::Add),
    ("add|create|insert X", Rule::Add),
    ("new? task|todo|to-do|reminder : X", Rule::Add),
    ("new task|todo|to-do|reminder X", Rule::Add),
    ("todo|to-do|task X", Rule::Add),
    ("make a task|note|reminder X", Rule::Add),
    ("note down X", Rule::Add),
    ("remember to|that? X", Rule::Add),
    ("remind me to|about|of|that? X", Rule::Add),
    ("don't forget to|about? X", Rule::Add),
    ("don't let me forget to|about? X", Rule::Add),
    ("i also|still? need|have|want to X", Rule::Add),
    ("i also|still? must|should|gotta X", Rule::Add),
    ("i've|i'd got|like to X", Rule::Add),
    ("rename|retitle X to|as|into X", Rule::Rename),
    ("change|update|set the? title|name of|for X to X", Rule::Rename),
    ("change|update|edit X to|into X", Rule::Change),
    ("postpone|delay|push|move|snooze|defer|shift|put X by|for|back|off N U", Rule::Shift),
    ("postpone|delay|push|snooze|defer X N U", Rule::Shift),
    ("mark|tick|check|set X as? not done|finished|completed|complete", Rule::Reopen),
    ("mark|set X as? open|undone|incomplete|todo", Rule::Reopen),
    ("reopen|uncheck|untick|unmark|undo|revert X", Rule::Reopen),
    ("X is|are not done|finished|completed|complete yet?", Rule::Reopen),
    ("X isn't|aren't|wasn't done|finished|completed|complete yet?", Rule::Reopen),
    ("mark|set X as? done|complete|completed|finished|bought|paid|read", Rule::Complete),
    ("tick|check|cross|strike off X", Rule::Complete),
    ("tick|check|cross|strike X off from|of? my|the? list?", Rule::Complete),
    ("tick X", Rule::Complete),
    ("i'm|we're done|finished", Rule::Thanks),
    ("i'm? done|finished with X", Rule::Complete),
    ("X is|are|was|has|have been? now|already? done|finished|complete|completed|ready|bought|paid", Rule::Complete),
    ("X done|finished", Rule::Complete),
    ("complete|completed|finish|finished|done X", Rule::Finish),
    ("i|i've|we|we've have? already|just? X", Rule::Report),
    ("take X off my|the list", Rule::Delete),
    ("delete|remove|drop|erase|scratch X", Rule::Delete),
    ("forget about? X", Rule::Delete),
    ("get rid of X", Rule::Delete),
    ("move|postpone|push|reschedule|shift|delay|defer|snooze|set|change|update|put|mark|repeat X", Rule::Set),
    ("make X", Rule::Make),
    ("X is|are now? urgent|important", Rule::Urgent),
    ("X is|are due X", Rule::Due),
    ("hello|hi|hey|greetings there?", Rule::Hello),
    ("good morning|evening|afternoon", Rule::Hello),
    ("how are *", Rule::Hello),
    ("help *", Rule::Help),
    ("who|what are you *", Rule::Help),
    ("thanks|thank|thx|cheers|great|cool|nice|perfect|well|good|bye|ok|okay *", Rule::Thanks),
];

/// The wishes of a message, in order. Small talk counts only when there is nothing else; what only looks like a task only if `may_guess`.
pub(super) fn wishes(message: &str, now: NaiveDateTime, may_guess: bool) -> Vec<Wish> {
    let all: Vec<Wish> = clauses(message)
        .iter()
        .flat_map(|clause| read(clause, now, may_guess))
        .collect();
    let is_talk = |wish: &&Wish| {
        matches!(
            wish,
            Wish::Hello | Wish::Help | Wish::Thanks | Wish::Unknown
        )
    };
    let real: Vec<Wish> = all.iter().filter(|wish| !is_talk(wish)).cloned().collect();
    match all.into_iter().find(|wish| *wish != Wish::Unknown) {
        _ if !real.is_empty() => real,
        Some(talk) => vec![talk],
        None => vec![small_talk(&words(message)).unwrap_or(Wish::Unknown)],
    }
}

/// Politeness is cut from the clauses: what is nothing else is found in the message.
fn small_talk(words: &[Word]) -> Option<Wish> {
    let said = |(pattern, rule): &(&str, Rule)| match rule {
        Rule::Hello => whole(pattern, words).map(|_| Wish::Hello),
        Rule::Thanks => whole(pattern, words).map(|_| Wish::Thanks),
        _ => None,
    };
    RULES.iter().find_map(said)
}

fn read(clause: &Clause, now: NaiveDateTime, may_guess: bool) -> Vec<Wish> {
    let Clause {
        header,
        words,
        place,
    } = clause;
    let all = [header.as_slice(), words].concat();
    let by_rule = |words: &[Word], shared: &Details| {
        let make = |(pattern, rule): &(&str, Rule)| {
            made(*rule, &whole(pattern, words)?, words, (shared, *place), now)
        };
        RULES.iter().find_map(make)
    };
    if let Some(wishes) = by_rule(&all, &Details::default()) {
        return wishes;
    }
    // "Tomorrow I need to …" asks for the same as without the first word.
    let (early, rest) = details::prefix(&all, now);
    if let Some(wishes) = by_rule(rest, &early).filter(|_| early != Details::default()) {
        return wishes;
    }
    let (found, left) = details::cut(words, now);
    let is_order = left.first().is_some_and(|word| is_verb(&word.low));
    let looks_like_a_task = *place != Place::Sentence || is_order || found.has_time();
    let asks = words.last().is_some_and(|word| word.ends(&['?']));
    if !may_guess || !looks_like_a_task || asks || text(&left).is_empty() {
        return vec![Wish::Unknown];
    }
    let shared = details::cut(header, now).0;
    adding(words, &shared, *place != Place::Sentence, now).unwrap_or_else(|| vec![Wish::Unknown])
}

fn made(
    rule: Rule,
    found: &Found<'_>,
    all: &[Word],
    (shared, place): (&Details, Place),
    now: NaiveDateTime,
) -> Option<Vec<Wish>> {
    let Found { words, numbers, .. } = found;
    let first = words.first().copied().unwrap_or_default();
    let second = words.get(1).copied().unwrap_or_default();
    let on = |words: &[Word], deed: Deed| {
        Some(object(words))
            .filter(|object| !object.is_empty())
            .map(|object| vec![(object, deed)])
    };
    let with = |field: &str, value: Value| {
        Deed::Set(
            Details::default(),
            Map::from_iter([(field.to_owned(), value)]),
        )
    };
    let set = |words: &[Word]| {
        let (details, left) = details::cut(words, now);
        let left = first_of(
            &["X to|until|till|is|are|as|be|repeat|recur|back|forward|with"],
            &left,
        )
        .unwrap_or(&left);
        on(left, Deed::Set(details, Map::new()))
    };
    let readings = match rule {
        Rule::Undo => return Some(vec![Wish::Undo]),
        Rule::Hello => return Some(vec![Wish::Hello]),
        Rule::Help => return Some(vec![Wish::Help]),
        Rule::Thanks => return Some(vec![Wish::Thanks]),
        Rule::Ask => return questions::asked(all, now),
        Rule::Add => return adding(first, shared, place == Place::Item, now),
        Rule::Restore => on(first, Deed::Restore),
        Rule::Note => on(first, with("description", json!(text(second)))),
        Rule::Clear(field) => on(first, with("clear", json!([field]))),
        Rule::Tag => {
            let tags = second
                .iter()
                .map(|word| word.low.trim_start_matches('#').to_owned());
            let tags = tags.filter(|tag| tag != "and").collect();
            on(first, Deed::Set(Details::tagged(tags), Map::new()))
        }
        Rule::Urgent => on(first, Deed::Set(Details::urgent(), Map::new())),
        Rule::Change if details::prefix(second, now).1.is_empty() => set(&all[1..]),
        Rule::Rename | Rule::Change => Some(renamings(
            &all[all.len() - first.len() - second.len() - 1..],
        )),
        Rule::Shift => on(first, Deed::Shift(numbers[0], numbers[1])),
        Rule::Set => set(first),
        Rule::Due => set(all),
        // "Make a cake tomorrow" is a task.
        Rule::Make if details::cut(first, now).0.priority.is_none() => return None,
        Rule::Make => set(first),
        Rule::Finish if details::cut(first, now).0.has_time() => return None,
        Rule::Report if !is_past(&first[0].low) => return None,
        Rule::Report => on(
            first_of(&["did|done|finished|completed X"], first).unwrap_or(first),
            Deed::Complete,
        ),
        Rule::Complete | Rule::Finish => on(first, Deed::Complete),
        Rule::Reopen => on(first, Deed::Reopen),
        Rule::Delete => on(first, Deed::Delete),
    };
    Some(vec![Wish::Change(readings?)])
}

/// Each way to read "x to y", where a title may have a "to" of its own.
fn renamings(words: &[Word]) -> Vec<(String, Deed)> {
    let splits = (1..words.len().saturating_sub(1))
        .filter(|at| ["to", "as", "into"].contains(&&*words[*at].low));
    let title = |at: usize| Map::from_iter([("title".to_owned(), json!(text(&words[at + 1..])))]);
    splits
        .map(|at| {
            (
                object(&words[..at]),
                Deed::Set(Details::default(), title(at)),
            )
        })
        .collect()
}

/// The new tasks of "a task to x tomorrow, y and z".
fn adding(words: &[Word], shared: &Details, is_one: bool, now: NaiveDateTime) -> Option<Vec<Wish>> {
    const OBJECTS: [&str; 6] = [
        "to|on|in my|the to-do|todo|task|shopping? list|tasks|todos X",
        "a|an|another|the|this|these|following|my new|following? task|todo|to-do|item|reminder|tasks|todos|items|reminders X",
        "N new? tasks|todos|items|reminders X",
        "task|tasks|todo|todos|item|items|this|following : X",
        "to|called|named|for|that|- X",
        "remember|not|forget to X",
    ];
    let (mut shared, mut words) = (shared.clone(), words);
    loop {
        let (found, rest) = details::prefix(words, now);
        shared = found.or(&shared);
        match first_of(&OBJECTS, rest) {
            Some(rest) => words = rest,
            None => {
                words = rest;
                break;
            }
        }
    }
    let noted = whole("X with the? note|description X", words);
    let words = noted.as_ref().map_or(words, |found| found.words[0]);
    let words = first_of(&[IN_LIST], words).unwrap_or(words);
    let items = if is_one {
        vec![words.to_vec()]
    } else {
        items(words, now)
    };
    let add = |item: Vec<Word>| {
        let (found, left) = details::cut(first_of(&[IN_LIST], &item).unwrap_or(&item), now);
        let title = text(first_of(&["to|and X"], &left).unwrap_or(&left));
        let mut arguments = Map::from_iter([("title".to_owned(), json!(title))]);
        arguments.extend(
            noted
                .as_ref()
                .map(|found| ("description".to_owned(), json!(text(found.words[1])))),
        );
        arguments.extend(found.or(&shared).arguments(now, false));
        (!title.is_empty()).then_some(Wish::Add(arguments))
    };
    Some(items.into_iter().filter_map(add).collect())
        .filter(|wishes: &Vec<Wish>| !wishes.is_empty())
}

const IN_LIST: &str = "X from|off|to|on|in my|the to-do|todo|task|shopping? list|tasks|todos";

/// The words for a task without "the task", quotation marks and the like.
fn object(words: &[Word]) -> String {
    const FRAMES: [&str; 4] = [
        IN_LIST,
        "the|my? task|item|todo called|named? X",
        "the X task|item|one",
        "X task|item",
    ];
    let words = std::iter::successors(Some(words), |words| first_of(&FRAMES, words))
        .last()
        .unwrap_or(words);
    text(words)
}

//! Cutting what the user wrote: into sentences, into clauses with one wish each, into the items of a list.
//! Must not decide what a clause means.

/// Words that open a clause of their own even after "add …", where almost anything could be a title.
const OPENERS: [&str; 19] = [
    "add",
    "delete",
    "remove",
    "show",
    "list",
    "what",
    "what's",
    "mark",
    "tick",
    "rename",
    "remind me",
    "also add",
    "tell me",
    "reopen",
    "i need to",
    "i have to",
    "i must",
    "i should",
    "i also need to",
];

/// Words that open a clause after any other kind of wish.
const MORE_OPENERS: [&str; 11] = [
    "complete", "finish", "drop", "forget", "i", "i've", "i'm", "change", "put", "remember",
    "cross",
];

/// Verbs with which titles begin. They tell "buy milk and call Ann" from "call Ann and Bob".
pub(super) const TASK_VERBS: [&str; 62] = [
    "answer", "ask", "bake", "book", "bring", "buy", "call", "cancel", "change", "check", "clean",
    "collect", "cook", "do", "email", "feed", "file", "find", "finish", "fix", "get", "give", "go",
    "invite", "learn", "mail", "make", "meet", "message", "mow", "open", "order", "organise",
    "organize", "pack", "paint", "pay", "phone", "pick", "plan", "post", "prepare", "print",
    "read", "renew", "repair", "reply", "return", "ring", "schedule", "send", "sort", "study",
    "take", "text", "tidy", "visit", "walk", "wash", "water", "work", "write",
];

/// What may stand before a request without changing it.
const LEAD_INS: [&str; 38] = [
    "hi there",
    "hi",
    "hello",
    "hey there",
    "hey",
    "good morning",
    "good evening",
    "good afternoon",
    "thank you",
    "thanks",
    "ok",
    "okay",
    "great",
    "cool",
    "nice",
    "well",
    "so",
    "and",
    "also",
    "then",
    "now",
    "oh",
    "yes",
    "no",
    "please",
    "can you",
    "could you",
    "would you",
    "will you",
    "you can",
    "i'd like you to",
    "i want you to",
    "i would like you to",
    "let's",
    "just",
    "go ahead and",
    "actually",
    "quickly",
];

const TAILS: [&str; 7] = [
    "please",
    "thanks",
    "thank you",
    "for me",
    "too",
    "as well",
    "right now",
];

/// The list itself, as people name it beside a task.
pub(super) const LISTS: [&str; 16] = [
    "to my list",
    "on my list",
    "to the list",
    "on the list",
    "to my to-do list",
    "on my to-do list",
    "to my todo list",
    "on my todo list",
    "to my tasks",
    "to my todos",
    "to my task list",
    "from my list",
    "from the list",
    "off my list",
    "off the list",
    "from my tasks",
];

/// The rest of `text` after a phrase at its beginning, case ignored, at a word boundary.
pub(super) fn after<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let head = text.get(..phrase.len())?;
    let rest = &text[phrase.len()..];
    let whole = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '\'');
    (whole && head.eq_ignore_ascii_case(phrase))
        .then(|| rest.trim_start_matches([' ', ',', ':', ';', '!']))
}

/// The first of several phrases that `text` begins with, as [`after`].
pub(super) fn after_any<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    phrases.iter().find_map(|phrase| after(text, phrase))
}

/// The part of `text` before a phrase at its end, case ignored, at a word boundary.
pub(super) fn before<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let cut = text.len().checked_sub(phrase.len())?;
    let tail = text.get(cut..)?;
    let head = &text[..cut];
    let whole = head.is_empty() || head.ends_with(|c: char| !c.is_alphanumeric());
    (whole && tail.eq_ignore_ascii_case(phrase)).then(|| head.trim_end_matches([' ', ',']))
}

/// As [`before`], for the first of several phrases.
pub(super) fn before_any<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    phrases.iter().find_map(|phrase| before(text, phrase))
}

/// The wishes in a message, one clause each, without politeness.
pub(super) fn clauses(message: &str) -> Vec<String> {
    let text = message
        .replace(['\u{2019}', '\u{2018}'], "'")
        .replace(['\u{201c}', '\u{201d}'], "\"");
    sentences(&bullets_to_items(&text))
        .iter()
        .flat_map(|sentence| split_wishes(bare(sentence)))
        .collect()
}

/// The clause without greetings, politeness and the final mark. A greeting alone is kept.
pub(super) fn bare(clause: &str) -> &str {
    let mut text = clause.trim().trim_end_matches(['.', '!', '?', ' ']);
    while let Some(rest) = after_any(text, &LEAD_INS).filter(|rest| !rest.is_empty()) {
        text = rest;
    }
    while let Some(head) = before_any(text, &TAILS).filter(|head| !head.is_empty()) {
        text = head;
    }
    text
}

/// The items of "x, y and z". A quoted text is one item.
pub(super) fn items(text: &str) -> Vec<String> {
    let quoted = text.len() > 2 && text.starts_with('"') && text.ends_with('"');
    if quoted && !text[1..text.len() - 1].contains('"') {
        return vec![unquoted(text).to_owned()];
    }
    text.split([';', ',', '\n'])
        .flat_map(|piece| split_and(bare_item(piece)))
        .filter(|item| !item.is_empty())
        .collect()
}

/// The text without the quotation marks around it.
pub(super) fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '*', '`']).trim()
}

/// Whether the text begins with a verb that titles begin with.
pub(super) fn starts_with_task_verb(text: &str) -> bool {
    text.split_whitespace()
        .next()
        .is_some_and(|word| TASK_VERBS.contains(&word.to_lowercase().as_str()))
}

fn bare_item(piece: &str) -> &str {
    let piece = piece.trim().trim_end_matches(['.', '!']);
    let piece = after_any(piece, &["and", "also", "then"]).unwrap_or(piece);
    after_any(piece, &["to", "-", "*"]).unwrap_or(piece).trim()
}

/// Splits at " and ", unless what follows is the object of the same verb, as in "call Ann and Bob".
fn split_and(item: &str) -> Vec<String> {
    for (at, _) in item.match_indices(" and ") {
        let (head, tail) = (&item[..at], &item[at + 5..]);
        if starts_with_task_verb(tail) || !starts_with_task_verb(head) {
            return std::iter::once(unquoted(head).to_owned())
                .chain(split_and(bare_item(tail)))
                .collect();
        }
    }
    vec![unquoted(item).to_owned()]
}

/// Turns the lines of a Markdown list into items of the line above.
fn bullets_to_items(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let unmarked = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = (unmarked.len() < line.len())
            .then(|| unmarked.strip_prefix(". "))
            .flatten();
        let item = line
            .strip_prefix("- ")
            .or(line.strip_prefix("* "))
            .or(line.strip_prefix("\u{2022} "))
            .or(numbered);
        match item {
            Some(item) if !out.is_empty() => {
                out.push_str("; ");
                out.push_str(item);
            }
            _ => {
                out.push('\n');
                out.push_str(item.unwrap_or(line));
            }
        }
    }
    out
}

fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        let word = text[start..at].rsplit(' ').next().unwrap_or_default();
        // A short word before a full stop is more likely "Dr." than an end.
        let ends = match c {
            '\n' => true,
            '!' | '?' => rest.starts_with(' '),
            '.' => rest.starts_with(' ') && word.len() > 2 && word != "Mrs",
            _ => false,
        };
        if ends {
            found.push(&text[start..at + c.len_utf8()]);
            start = at + c.len_utf8();
        }
    }
    found.push(&text[start..]);
    found
        .into_iter()
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
        .collect()
}

fn split_wishes(sentence: &str) -> Vec<String> {
    let adding = after_any(
        sentence,
        &[
            "add",
            "remember",
            "remind me",
            "i need to",
            "i have to",
            "new task",
            "put",
        ],
    );
    for (at, separator) in separators(sentence) {
        let rest = bare(&sentence[at + separator.len()..]);
        let opens = after_any(rest, &OPENERS).is_some()
            || adding.is_none() && after_any(rest, &MORE_OPENERS).is_some();
        if opens && at > 0 {
            let mut wishes = vec![bare(&sentence[..at]).to_owned()];
            wishes.extend(split_wishes(rest));
            return wishes;
        }
    }
    vec![sentence.to_owned()]
}

fn separators(sentence: &str) -> Vec<(usize, &'static str)> {
    let mut found: Vec<_> = [" and then ", " and ", " then ", ", ", "; "]
        .into_iter()
        .flat_map(|separator| {
            sentence
                .match_indices(separator)
                .map(move |(at, _)| (at, separator))
        })
        .collect();
    found.sort_by_key(|(at, separator)| (*at, usize::MAX - separator.len()));
    found
}

//! Questions about the list. Must not answer them.

use super::clauses::{after_any, before_any};
use super::intent::{Intent, Which};
use super::titles;

pub(super) fn question(text: &str) -> Option<Intent> {
    const KEYWORDS: [&str; 24] = [
        "left",
        "list",
        "lists",
        "task",
        "tasks",
        "todo",
        "todos",
        "to-do",
        "to-dos",
        "do",
        "done",
        "have",
        "open",
        "pending",
        "remaining",
        "next",
        "finished",
        "completed",
        "today",
        "everything",
        "all",
        "did",
        "outstanding",
        "reminders",
    ];
    if let Some(topic) = after_any(
        text,
        &[
            "is",
            "are",
            "did i",
            "have i",
            "find",
            "search for",
            "search",
        ],
    ) {
        let topic = before_any(
            topic,
            &[
                "done",
                "finished",
                "completed",
                "open",
                "on my list",
                "still open",
            ],
        )
        .unwrap_or(topic);
        return titles::keyword(topic).map(|word| Intent::List {
            which: Which::All,
            search: Some(word),
        });
    }
    let lower = text.to_lowercase();
    if lower.contains("can you") || lower.contains("can i say") {
        return Some(Intent::Help);
    }
    let asks = after_any(
        text,
        &[
            "what", "what's", "whats", "which", "how many", "anything", "do i", "any",
        ],
    );
    let shows = after_any(
        text,
        &[
            "show", "list", "display", "view", "see", "give me", "tell me", "read",
        ],
    );
    let wants = after_any(text, &["i want to", "i need to", "i'd like to"])
        .filter(|rest| after_any(rest, &["see", "know", "view"]).is_some());
    let short = [
        "todo", "todos", "to do", "to-do", "tasks", "my tasks", "my list", "my todos",
    ]
    .contains(&&*lower);
    let rest = asks.or(shows).or(wants).or(short.then_some(text))?;
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .collect();
    let known = words.iter().any(|word| KEYWORDS.contains(word));
    let search = ["about ", "containing ", "mentioning "]
        .iter()
        .find_map(|s| rest.split_once(s));
    let search = search.and_then(|(_, topic)| titles::keyword(topic));
    let relevant = known || rest.is_empty() || search.is_some();
    relevant.then(|| Intent::List {
        which: which(&lower, &words),
        search,
    })
}

fn which(lower: &str, words: &[&str]) -> Which {
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    let undone = [
        "not done",
        "to be done",
        "not finished",
        "not completed",
        "isn't done",
    ];
    if has(&[
        "open",
        "left",
        "remaining",
        "pending",
        "undone",
        "incomplete",
        "unfinished",
        "outstanding",
    ]) || undone.iter().any(|phrase| lower.contains(phrase))
    {
        Which::Open
    } else if has(&[
        "done",
        "finished",
        "completed",
        "complete",
        "did",
        "accomplished",
    ]) {
        Which::Done
    } else if has(&["everything", "all", "every"]) {
        Which::All
    } else {
        Which::Open
    }
}

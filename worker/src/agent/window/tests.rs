//! Conversations of any length, laid out turn by turn.

use chrono::Utc;
use errand_core::calendar::Moment;
use errand_store::{
    lifecycle::RequestedCall,
    read::history::{Before, NextSummary, RecordedCall, RecordedStep, SummaryStatus, TurnEnd},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::agent::summary::{Due, due};

fn turn(position: i64, words: usize) -> PastTurn {
    PastTurn {
        position,
        message: format!("message {position}: {}", "word ".repeat(words)),
        said: Moment::new(Utc::now(), None),
        steps: Vec::new(),
        reply: Some(format!("reply {position}")),
        end: TurnEnd::Completed,
    }
}

/// A turn that lists so many tasks.
fn listing(position: i64, tasks: usize) -> PastTurn {
    let task = |n: usize| json!({"id": Uuid::nil(), "title": format!("task {n}"), "description": "d".repeat(200)});
    let result =
        json!({"success": true, "count": tasks, "tasks": (0..tasks).map(task).collect::<Value>()});
    let asked = RequestedCall {
        id: "call".to_owned(),
        name: "list_tasks".to_owned(),
        arguments: r#"{"view": "today", "limit": 200}"#.to_owned(),
        extra: Map::new(),
        is_unclear: false,
    };
    let call = RecordedCall {
        asked,
        result: Some(result),
        approved: None,
    };
    PastTurn {
        steps: vec![RecordedStep {
            run_id: Uuid::nil(),
            told_by: Uuid::nil(),
            step: 1,
            content: String::new(),
            calls: vec![call],
            model: None,
            extra: Map::new(),
        }],
        ..turn(position, 5)
    }
}

/// What is read of these turns, in their order, behind a summary.
fn read(turns: &[PastTurn], before: &Before) -> History {
    let since = before.covers_to.unwrap_or(-1);
    let turns = turns.iter().rev().filter(|turn| turn.position > since);
    History {
        turns: turns
            .take(usize::try_from(READ_TURNS).unwrap())
            .cloned()
            .collect(),
        before: before.clone(),
    }
}

fn spent(messages: &[Message]) -> usize {
    messages.iter().map(Message::tokens).sum()
}

/// Each request as its messages, written.
fn requests(turns: &[PastTurn], before: &Before, budget: usize) -> Vec<Vec<Message>> {
    let lengths = 1..=turns.len();
    let shown = lengths.map(|length| window(&read(&turns[..length], before), budget, "m"));
    shown.collect()
}

/// Of neighbours, how many begin with the whole of the one before.
fn prefixes(requests: &[Vec<Message>]) -> usize {
    let pairs = requests.windows(2);
    pairs.filter(|pair| pair[1].starts_with(&pair[0])).count()
}

#[test]
fn the_budget_holds_and_the_beginning_stays_but_for_jumps() {
    let talk: Vec<PastTurn> = (0..45).map(|n| turn(n, 20 + n as usize % 7)).collect();
    let lists: Vec<PastTurn> = (0..40)
        .map(|n| {
            if n % 3 == 0 {
                listing(n, 10)
            } else {
                turn(n, 10)
            }
        })
        .collect();
    for (turns, budget) in [
        (&talk, 1_000),
        (&talk, 8_000),
        (&lists, 4_000),
        (&lists, 8_000),
    ] {
        let requests = requests(turns, &Before::default(), budget);
        for shown in &requests {
            assert!(spent(shown) <= budget, "{} of {budget}", spent(shown));
            let Some(Message::Assistant { content, .. }) = shown.last() else {
                panic!("{shown:?}");
            };
            assert!(
                content
                    .as_ref()
                    .is_some_and(|reply| reply.starts_with("reply"))
            );
        }
        let (kept, all) = (prefixes(&requests), requests.len() - 1);
        assert!(kept * 10 >= all * 6, "{kept} of {all} at {budget}");
    }
    // Whatever fits is shown: nothing jumps before it must.
    assert_eq!(
        prefixes(&requests(&talk[..40], &Before::default(), 8_000)),
        39
    );
}

/// Results are shortened before turns are left out, the oldest first, and say which call gets the rest.
#[test]
fn old_results_go_first_and_say_how_to_read_on() {
    let turns: Vec<PastTurn> = (0..6).map(|n| listing(n, 10)).collect();
    let shown = window(&read(&turns, &Before::default()), 4_000, "m");
    let users = shown
        .iter()
        .filter(|message| matches!(message, Message::User { .. }));
    assert_eq!(users.count(), 6);
    let results: Vec<Value> = shown
        .iter()
        .filter_map(|message| match message {
            Message::Tool { content, .. } => serde_json::from_str(content).ok(),
            _ => None,
        })
        .collect();
    let notes = results.iter().map(|result| result["shortened"].is_string());
    let notes: Vec<bool> = notes.collect();
    assert!(
        notes[0] && notes.is_sorted_by(|old, new| old >= new),
        "{notes:?}"
    );
    let note = results[0]["shortened"].as_str().unwrap();
    assert!(
        note.contains(r#"{"view":"today","limit":10}"#) && note.contains("next_cursor"),
        "{note}"
    );
}

fn summarised(covers_to: i64, content: &str, next: Option<NextSummary>) -> Before {
    Before {
        covers_to: Some(covers_to),
        content: Some(content.to_owned()),
        next,
    }
}

#[test]
fn a_summary_stands_before_the_turns_and_takes_its_part_at_most() {
    let turns: Vec<PastTurn> = (0..20).map(|n| turn(n, 20)).collect();
    let before = summarised(9, "Ann is the user's sister.", None);
    let shown = window(&read(&turns, &before), 8_000, "m");
    let Message::User { content } = &shown[0] else {
        panic!("{shown:?}")
    };
    assert!(content.ends_with("Ann is the user's sister."));
    assert!(matches!(&shown[2], Message::User { content } if content.starts_with("message 10:")));
    assert_eq!(shown.len(), 2 + 20);
    // The prefix is the same until the next jump, the summary included.
    assert_eq!(prefixes(&requests(&turns[10..], &before, 8_000)), 9);
    let long = summarised(9, &"a long note on everything ".repeat(500), None);
    let shown = window(&read(&turns, &long), 2_000, "m");
    assert!(spent(&shown[..1]) < 600 && spent(&shown) <= 2_000);
    assert!(window(&read(&turns, &long), 0, "m").is_empty());
}

fn waiting(covers_to: i64, status: SummaryStatus, attempt: i32) -> NextSummary {
    NextSummary {
        id: Uuid::nil(),
        covers_to,
        status,
        attempt,
    }
}

/// Where no summary comes, what is shown begins at a place that stays, and the next one is asked for when there is much that is new.
#[test]
fn without_a_summary_the_window_jumps_all_the_same() {
    let turns: Vec<PastTurn> = (0..200).map(|n| turn(n, 5)).collect();
    let mut before = Before::default();
    let mut asked = Vec::new();
    let mut shown = Vec::new();
    for length in 1..=turns.len() {
        let history = read(&turns[..length], &before);
        shown.push(window(&history, 8_000, "m"));
        if let Some(Due::UpTo(covers_to)) = due(&history, 8_000) {
            asked.push(covers_to);
            before.next = Some(waiting(covers_to, SummaryStatus::Failed, 3));
        }
    }
    assert!((8..=12).contains(&asked.len()), "{asked:?}");
    assert!(asked.is_sorted());
    let kept = prefixes(&shown);
    assert!(kept >= 199 - 2 * asked.len(), "{kept} of 199; {asked:?}");
    assert!(shown.iter().all(|shown| shown.len() <= 2 * MAX_TURNS));
}

#[test]
fn a_summary_is_due_when_talk_fills_the_window_and_not_for_lists() {
    let before = Before::default();
    let few: Vec<PastTurn> = (0..10).map(|n| turn(n, 20)).collect();
    assert_eq!(due(&read(&few, &before), 8_000), None);
    assert_eq!(due(&read(&few, &before), 100), None);
    let lists: Vec<PastTurn> = (0..10).map(|n| listing(n, 50)).collect();
    assert_eq!(due(&read(&lists, &before), 8_000), None);
    let many: Vec<PastTurn> = (0..31).map(|n| turn(n, 20)).collect();
    assert_eq!(due(&read(&many, &before), 8_000), Some(Due::UpTo(20)));
    let long: Vec<PastTurn> = (0..10).map(|n| turn(n, 800)).collect();
    let Some(Due::UpTo(covers_to)) = due(&read(&long, &before), 8_000) else {
        panic!("not due");
    };
    assert!((6..9).contains(&covers_to), "{covers_to}");
    // One turn alone has nothing before it.
    assert_eq!(due(&read(&long[..1], &before), 800), None);
    // One that was cancelled is asked for again, but not for ever; one that failed is not.
    let next = |status, attempt| Before {
        next: Some(waiting(20, status, attempt)),
        ..Before::default()
    };
    let again = |status, attempt| due(&read(&many, &next(status, attempt)), 8_000);
    assert!(matches!(
        again(SummaryStatus::Cancelled, 2),
        Some(Due::Again(_))
    ));
    assert_eq!(again(SummaryStatus::Cancelled, 3), None);
    assert_eq!(again(SummaryStatus::Failed, 1), None);
}

//! Models that are made of the cases themselves: one that does everything right, and some that do not.

use serde_json::{Value, json};

use crate::{
    cases::{Case, Turn},
    recording::{Answer, Attempt, Call, solution},
};

fn saying(text: &str) -> Answer {
    Answer {
        text: text.to_owned(),
        ..Answer::default()
    }
}

/// "Done", without a call.
pub(super) fn claim() -> Answer {
    saying("Done!")
}

/// The calls of the solution; what is looked up is looked up first, in an answer of its own.
pub(super) fn solved(turn: &Turn) -> Vec<Answer> {
    let calls = solution(turn);
    let is_question = calls.is_empty();
    let mut answers = Vec::new();
    for call in calls {
        let reads = |call: &Call| call.tool == "list_tasks";
        match answers.last_mut() {
            Some(Answer { calls, .. }) if !reads(&call) && !calls.iter().any(reads) => {
                calls.push(call)
            }
            _ => answers.push(Answer {
                text: String::new(),
                calls: vec![call],
            }),
        }
    }
    answers.push(saying(if is_question {
        "Which one do you mean?"
    } else {
        "Done."
    }));
    answers
}

/// Deletes the first task that is not deleted, and adds one that nobody wanted.
pub(super) fn rash(case: &Case) -> Vec<Answer> {
    let call = |tool: &str, arguments: Value| Call {
        tool: tool.to_owned(),
        arguments,
    };
    let first = case.start.iter().find(|task| !task.deleted);
    let mut calls = Vec::new();
    calls.extend(first.map(|task| {
        call(
            "delete_task",
            json!({"task_id": format!("${}", task.key())}),
        )
    }));
    calls.push(call(
        "add_task",
        json!({"title": "Look into it some day", "priority": "p1"}),
    ));
    vec![
        Answer {
            text: String::new(),
            calls,
        },
        claim(),
    ]
}

/// Errs in three of four cases. Which ones is a matter of their names, so that it is always the same.
pub(super) fn attempt(case: &Case) -> Attempt {
    let sum: usize = case.name.bytes().map(usize::from).sum();
    let turns = case.turn.iter();
    match sum % 4 {
        _ if case.allows_nothing() && sum.is_multiple_of(2) => turns.map(|_| rash(case)).collect(),
        0 => turns.map(|_| vec![claim()]).collect(),
        1 => turns.map(|turn| elsewhere(turn, case)).collect(),
        2 => turns.map(late).collect(),
        _ => turns.map(solved).collect(),
    }
}

/// The right calls for the wrong task.
fn elsewhere(turn: &Turn, case: &Case) -> Vec<Answer> {
    changed(turn, |call| {
        let named = call.arguments["task_id"]
            .as_str()
            .and_then(|id| id.strip_prefix('$'));
        let place = named.and_then(|named| case.start.iter().position(|task| task.key() == named));
        match place {
            Some(place) => {
                let other = &case.start[(place + 1) % case.start.len()];
                call.arguments["task_id"] = json!(format!("${}", other.key()));
            }
            None if call.tool == "add_task" => call.arguments["due_date"] = json!("+40d"),
            None => {}
        }
    })
}

/// A day late, and of several calls the last is forgotten.
fn late(turn: &Turn) -> Vec<Answer> {
    let mut answers = changed(turn, |call| {
        if let Some(date) = call.arguments["due_date"].as_str() {
            let is_shifted = date.contains(['+', '-']);
            call.arguments["due_date"] = json!(if is_shifted {
                "+41d".to_owned()
            } else {
                format!("{date}+1d")
            });
        }
    });
    for answer in &mut answers {
        answer.calls.pop();
    }
    answers.retain(|answer| !answer.calls.is_empty() || !answer.text.is_empty());
    answers
}

fn changed(turn: &Turn, mut change: impl FnMut(&mut Call)) -> Vec<Answer> {
    let mut answers = solved(turn);
    answers
        .iter_mut()
        .flat_map(|answer| &mut answer.calls)
        .for_each(&mut change);
    answers
}

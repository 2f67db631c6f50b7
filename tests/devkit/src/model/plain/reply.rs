//! The wording of the plain model's answers, in Markdown. Titles in bold are what "it" refers to later.

use super::intent::{Intent, Which};
use super::titles::Task;
use crate::model::request::Step;

/// The question that makes the next message an answer to it.
pub(super) const WHICH_ONE: &str = "Which one do you mean?";

/// How many open tasks are named when a task was not found.
const NAMED: usize = 10;

const HELLO: &str = "Hello! I look after your to-do list. Tell me what you need to do, for example \
    *remind me to call Ann*, or ask *what is left?*";

const HELP: &str = "I can look after your to-do list. You can say, for example:\n\n\
    - *add buy milk and call Ann*\n\
    - *what is left?* or *what have I done?*\n\
    - *I bought the milk*\n\
    - *rename buy milk to buy oat milk*\n\
    - *add a note to call Ann: after six*\n\
    - *delete call Ann*";

const THANKS: &str = "You're welcome! Ask *what is left?* whenever you like.";

const UNKNOWN: &str = "I'm sorry, I'm only a stand-in for a real model and did not understand that. I do understand \
    simple requests such as *add buy milk*, *what is left?*, *I bought the milk*, *rename buy milk to buy bread* \
    and *delete buy milk*.";

/// The answer to small talk; `None` for wishes that tools fulfil.
pub(super) fn talk(wish: &Intent) -> Option<&'static str> {
    match wish {
        Intent::Hello => Some(HELLO),
        Intent::Help => Some(HELP),
        Intent::Thanks => Some(THANKS),
        Intent::Unknown => Some(UNKNOWN),
        _ => None,
    }
}

/// What came of the new tasks.
pub(super) fn added(steps: &[&Step]) -> String {
    let (good, bad): (Vec<&Step>, Vec<&Step>) =
        steps.iter().copied().partition(|step| step.succeeded());
    let title = |step: &Step| {
        step.arguments["title"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut parts = Vec::new();
    match good.as_slice() {
        [] => {}
        [one] => parts.push(format!("I've added **{}** to your list.", title(one))),
        many => {
            let titles: Vec<String> = many
                .iter()
                .map(|step| format!("- **{}**", title(step)))
                .collect();
            parts.push(format!(
                "I've added {} tasks to your list:\n\n{}",
                many.len(),
                titles.join("\n")
            ));
        }
    }
    parts.extend(
        bad.into_iter()
            .map(|step| failed(&format!("add **{}**", title(step)), step)),
    );
    parts.join("\n\n")
}

/// A tool's failure, in the tool's words.
pub(super) fn failed(what: &str, step: &Step) -> String {
    let reason = step.result.as_ref().and_then(|result| {
        let message = result["error"]["message"]
            .as_str()
            .or(result["error"].as_str());
        message.or(result["message"].as_str()).or(result.as_str())
    });
    match reason {
        Some(reason) => format!("I'm sorry, I could not {what}: {reason}"),
        None => format!("I'm sorry, I could not {what}."),
    }
}

/// Asks which of several tasks is meant.
pub(super) fn which_one(tasks: &[&Task]) -> String {
    let titles: Vec<String> = tasks
        .iter()
        .map(|task| format!("- **{}**", task.title))
        .collect();
    format!("{WHICH_ONE}\n\n{}", titles.join("\n"))
}

/// Says that no task fits, and which there are.
pub(super) fn not_found(target: &str, tasks: &[Task]) -> String {
    let open: Vec<String> = tasks
        .iter()
        .filter(|t| !t.completed)
        .map(|t| format!("- {}", t.title))
        .collect();
    let sorry = format!("I could not find a task like \u{201c}{target}\u{201d}.");
    match open.len() {
        0 => format!("{sorry} There is nothing open on your list."),
        n if n <= NAMED => format!("{sorry} These are open:\n\n{}", open.join("\n")),
        n => format!("{sorry} You have {n} open tasks; ask *what is left?* to see them."),
    }
}

/// The answer to a question about the list.
pub(super) fn list(question: &Intent, step: &Step) -> String {
    let Intent::List { which, search } = question else {
        return String::new();
    };
    let Some(result) = step.result.as_ref().filter(|_| step.succeeded()) else {
        return failed("read your list", step);
    };
    let tasks = Task::all(result);
    if tasks.is_empty() {
        return nothing(*which, search.as_deref());
    }
    let kind = match which {
        Which::Open => "open ",
        Which::Done => "finished ",
        Which::All => "",
    };
    let about = search
        .as_ref()
        .map(|word| format!(" about *{word}*"))
        .unwrap_or_default();
    let plural = if tasks.len() == 1 { "" } else { "s" };
    let lines: Vec<String> = tasks
        .iter()
        .map(|task| line(task, *which == Which::All))
        .collect();
    let more = if result["next_cursor"].is_string() {
        "\n\nThere are more."
    } else {
        ""
    };
    format!(
        "You have {} {kind}task{plural}{about}:\n\n{}{more}",
        tasks.len(),
        lines.join("\n")
    )
}

fn line(task: &Task, boxed: bool) -> String {
    let mark = match (boxed, task.completed) {
        (false, _) => "",
        (true, true) => "[x] ",
        (true, false) => "[ ] ",
    };
    let note = if task.description.is_empty() {
        String::new()
    } else {
        format!(": *{}*", task.description)
    };
    format!("- {mark}{}{note}", task.title)
}

fn nothing(which: Which, search: Option<&str>) -> String {
    match (which, search) {
        (_, Some(word)) => format!("There is nothing about *{word}* on your list."),
        (Which::Open, None) => "Nothing is left: your list is clear.".into(),
        (Which::Done, None) => "You have not finished anything yet.".into(),
        (Which::All, None) => "Your list is empty. Tell me what you need to do.".into(),
    }
}

//! What was said and done before: what "it" and "the second one" are, which question a bare title answers, what "undo" takes back.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::clauses::bare;
use super::intent::{Wish, wishes};
use super::reply::{UNKNOWN, WHICH_ONE, quoted};
use super::tasks::Task;
use super::words::{text, whole, words};
use crate::model::answer::Call;
use crate::model::request::{self, Step};

/// The turns of the user, the last of which is to be answered.
pub(super) struct Conversation<'a> {
    turns: Vec<&'a [Value]>,
    pub(super) now: NaiveDateTime,
}

impl<'a> Conversation<'a> {
    pub(super) fn read(request: &'a Value) -> Self {
        let sent = request::sent(request).unwrap_or_default();
        let last = sent.rsplit("tried again: ").next().unwrap_or_default();
        let moment = last.split(", ").nth(1).unwrap_or_default();
        let now = NaiveDateTime::parse_from_str(moment, "%Y-%m-%d %H:%M");
        let now = now.unwrap_or(Utc::now().naive_utc());
        Self {
            turns: request::turns(request),
            now,
        }
    }

    /// The wishes of the last message, with titles for what stands for them.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for wish in self.wishes_of(&self.turns) {
            match &wish {
                Wish::Change(wanted, tool, fields) => match self.titles(wanted) {
                    Some(titles) if titles.len() > 1 && words(wanted)[0].is("it this that") => {
                        wishes.push(Wish::Choose(wanted.clone(), titles));
                    }
                    Some(titles) if !titles.is_empty() => {
                        let change = |title| Wish::Change(title, tool, fields.clone());
                        wishes.extend(titles.into_iter().map(change));
                    }
                    _ => wishes.push(wish),
                },
                _ => wishes.push(wish),
            }
        }
        wishes
    }

    fn wishes_of(&self, turns: &[&[Value]]) -> Vec<Wish> {
        let Some((last, before)) = turns.split_last() else {
            return vec![Wish::Say(UNKNOWN)];
        };
        let message = request::asked(last);
        let asked = before.last().map(|turn| said(turn)).unwrap_or_default();
        let is_answer = asked.lines().any(|line| line.starts_with(WHICH_ONE));
        let mut plain = wishes(&message, self.now, !is_answer);
        if is_answer && plain == [Wish::Say(UNKNOWN)] {
            // The answer to a question is a target for the wish that raised it.
            let is_raiser = |wish: &Wish| matches!(wish, Wish::Change(wanted, ..) if asked.contains(&quoted(wanted)));
            let raiser = self.wishes_of(before).into_iter().find(is_raiser);
            if let Some(Wish::Change(_, tool, fields)) = raiser {
                plain = vec![Wish::Change(text(bare(&words(&message))), tool, fields)];
            }
        }
        plain
    }

    /// The titles that "it", "the second one" or "both" may stand for; `None` if the words are no such reference.
    fn titles(&self, wanted: &str) -> Option<Vec<String>> {
        let words = words(wanted);
        let is = |pattern: &str| whole(pattern, &words).is_some();
        let mut said = self.before().map(|turn| titles(&said(turn)));
        let (mut titles, is_list) = said
            .find(|(titles, _)| !titles.is_empty())
            .unwrap_or_default();
        let nth = whole("the? O one|task|item?", &words).map(|found| found.numbers[0]);
        let is_it = is("it|that|this") || is("that|this|the one|task|item");
        match nth {
            None if is("them|both|those|these") || is("all|both of them|those|these") => {}
            None if is_it && is_list => {}
            None if !is_it => return None,
            Some(nth @ 1..) => titles = titles.into_iter().skip(nth as usize - 1).take(1).collect(),
            _ => titles = titles.pop().into_iter().collect(),
        }
        Some(titles)
    }

    fn before(&self) -> impl Iterator<Item = &'a [Value]> {
        self.turns.iter().rev().skip(1).copied()
    }

    /// The calls that take back what the last turn with changes did, the last first.
    pub(super) fn undoing(&self) -> Vec<Call> {
        let mut turns = self.before().map(request::calls);
        let is_change = |step: &&Step| step.succeeded() && step.name != "list_tasks";
        let steps = turns.find(|steps| steps.iter().any(|step| is_change(&step)));
        let steps = steps.unwrap_or_default();
        let known: Vec<Task> = steps.iter().flat_map(Task::all).collect();
        let undo = |step: &Step| {
            let given = step.arguments["task_id"].as_str();
            let id = given.or(step.answer("task_id").as_str())?;
            let was = known.iter().find(|task| task.value["id"] == id);
            reverse(step, id, was.map_or(&Value::Null, |task| &task.value))
        };
        steps
            .iter()
            .rev()
            .filter(is_change)
            .filter_map(undo)
            .collect()
    }
}

/// The call that takes back another one. What is known of the task is from before.
fn reverse(step: &Step, id: &str, was: &Value) -> Option<Call> {
    let (tool, mut arguments) = match step.name.as_str() {
        "add_task" => ("delete_task", json!({})),
        "delete_task" => ("update_task", json!({"restore": true})),
        "complete_task" if step.answer("next_due").is_null() => {
            ("update_task", json!({"completed": false}))
        }
        _ if step.arguments["restore"] == true => ("delete_task", json!({})),
        _ if step.arguments["completed"] == false => ("complete_task", json!({})),
        _ if was.is_null() => return None,
        _ => {
            let fields = [
                "title",
                "description",
                "due_date",
                "due_time",
                "priority",
                "tags",
                "repeat",
            ];
            let (unset, set): (Vec<&str>, Vec<&str>) =
                fields.iter().partition(|field| was[*field].is_null());
            let mut old = json!({"clear": unset});
            set.iter()
                .for_each(|field| old[*field] = was[*field].clone());
            ("update_task", old)
        }
    };
    arguments["task_id"] = json!(id);
    Some(Call::new(tool, &arguments))
}

/// The titles in a reply: those of its list, or else those that tools have put into quotation marks; and whether it is a list.
fn titles(reply: &str) -> (Vec<String>, bool) {
    let lines = reply.lines().filter_map(|line| line.strip_prefix("- "));
    let listed = lines.map(|line| line.trim_start_matches("[x] "));
    let listed: Vec<&str> = listed
        .map(|line| line.split(" (").next().unwrap_or(line))
        .collect();
    let quoted = reply
        .lines()
        .filter_map(|line| line.split_once('"')?.1.rsplit_once('"'));
    let is_list = !listed.is_empty();
    let titles = if is_list {
        listed
    } else {
        quoted.map(|(title, _)| title).collect()
    };
    (titles.into_iter().map(str::to_owned).collect(), is_list)
}

/// The last words of the assistant in a turn.
fn said(turn: &[Value]) -> String {
    let last = turn.iter().rfind(|message| message["role"] == "assistant");
    last.map(request::content).unwrap_or_default()
}

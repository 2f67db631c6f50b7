//! What of a list is asked for, checked: by `list_tasks`, and by whoever reads the list without a call.

use errand_core::calendar::Now;
use errand_store::tasks::{Filter, MAX_SEARCH, View};
use serde_json::json;

use super::{check, error::ToolError};

/// The filters of a list, as a client writes them. What is empty counts as not given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// A view's name.
    pub view: Option<&'a str>,
    /// Only done ones, or only open ones.
    pub completed: Option<bool>,
    /// Only those with this text in title or description.
    pub search: Option<&'a str>,
    /// Only those due on this date or later.
    pub due_from: Option<&'a str>,
    /// Only those due on this date or earlier.
    pub due_to: Option<&'a str>,
    /// Only those of this priority.
    pub priority: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// The filter that is meant, with these tags; `otherwise` is the view of whoever names none.
    ///
    /// # Errors
    /// A name, a date or a text that is not valid, or filters that exclude each other.
    pub fn filter(
        self,
        tags: Vec<String>,
        otherwise: View,
        now: &Now,
    ) -> Result<Filter<'a>, ToolError> {
        let date = |name: &str, text: Option<&str>| {
            let text = given(text);
            text.map(|text| check::date(name, text, now)).transpose()
        };
        Ok(Filter {
            view: view(given(self.view), self.completed, otherwise)?,
            completed: self.completed,
            search: search(self.search)?,
            due_from: date("due_from", self.due_from)?,
            due_to: date("due_to", self.due_to)?,
            tags,
            priority: given(self.priority).map(check::priority).transpose()?,
        })
    }
}

/// Tags that tasks must have, each once whatever its case.
///
/// # Errors
/// Too many, or one that no task can have.
pub fn tags(tags: Vec<String>) -> Result<Vec<String>, ToolError> {
    check::tags(tags)
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn search(text: Option<&str>) -> Result<Option<&str>, ToolError> {
    let text = given(text);
    text.map_or(Ok(()), check_search)?;
    Ok(text)
}

/// A text to search for, wherever.
///
/// # Errors
/// It is too long, or holds what no text of the database can.
pub fn check_search(text: &str) -> Result<(), ToolError> {
    if text.chars().count() > MAX_SEARCH {
        let message = format!("search must be at most {MAX_SEARCH} characters.");
        return Err(check::field("search", message));
    }
    if text.contains('\0') {
        let message = "search must not contain the character NUL.";
        return Err(check::field("search", message));
    }
    Ok(())
}

/// The view that is asked for. `completed` alone says it, too; beside a view that has only the others it is a mistake.
fn view(name: Option<&str>, completed: Option<bool>, otherwise: View) -> Result<View, ToolError> {
    let view = match name {
        None => None,
        Some(name) => Some(View::named(name).ok_or_else(|| {
            ToolError::invalid("There is no such view; leave it out for all open tasks.")
                .with_details(json!({"field": "view", "valid": View::NAMED.map(|(name, _)| name)}))
        })?),
    };
    match (view, completed) {
        (None, None) => Ok(otherwise),
        (None, Some(true)) => Ok(View::Completed),
        (None, Some(false)) => Ok(View::Open),
        (Some(view @ View::Deleted), _) | (Some(view @ View::Completed), Some(true)) => Ok(view),
        (Some(view), None) => Ok(view),
        (Some(View::Completed), Some(false)) => Err(check::field(
            "completed",
            "The view completed has done tasks only: leave completed out, or choose another view.",
        )),
        (Some(view), Some(false)) => Ok(view),
        (Some(_), Some(true)) => Err(check::field(
            "completed",
            "This view has open tasks only: for done ones choose the view completed, with due_from and due_to for their dates.",
        )),
    }
}

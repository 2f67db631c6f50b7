//! The cases as their files have them, one file for each family; what each field means is in `docs/evals.md`.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

mod check;

/// A family of cases: a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    /// What it is about, for the report.
    about: String,
    case: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, unique among all.
    pub name: String,
    /// The name of its file.
    #[serde(skip)]
    pub family: String,
    /// The user's clock, as [`crate::clock::Clock::of`] has it.
    #[serde(default = "morning")]
    pub clock: String,
    /// The list at the beginning.
    #[serde(default)]
    pub start: Vec<Start>,
    /// So many tasks besides, which must stay as they are.
    #[serde(default)]
    pub filler: usize,
    /// What is said.
    pub turn: Vec<Turn>,
    /// Calls in all, if not as many as the solution has and four more for each turn.
    pub max_calls: Option<usize>,
}

fn morning() -> String {
    "morning".to_owned()
}

/// A task at the beginning.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// What the case calls it; its title, if it has no name.
    pub key: Option<String>,
    pub title: String,
    pub description: Option<String>,
    /// A date.
    pub due: Option<String>,
    pub time: Option<String>,
    pub priority: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub repeat: Option<String>,
    pub repeat_from: Option<String>,
    #[serde(default)]
    pub done: bool,
    #[serde(default)]
    pub deleted: bool,
}

impl Start {
    /// What the case calls it.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.title)
    }
}

/// What the user says, and what may have become of the list since the beginning.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    pub say: String,
    /// Any of these; none if it is not looked at.
    pub after: Option<After>,
    /// Calls that may not succeed, even if their effect is taken back: a tool, or a tool and a task or words of a title.
    #[serde(default)]
    pub never: Vec<String>,
    /// The list has to be looked at: who tells of it without has made it up.
    #[serde(default)]
    pub look: bool,
    /// Calls by which it can be done, to prove that it can.
    #[serde(default)]
    pub solution: Vec<BTreeMap<String, Map<String, Value>>>,
}

/// Allowed states.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected \"unchanged\" or a list of ends")]
pub enum After {
    /// "unchanged"
    Word(Unchanged),
    /// One of these.
    Ends(Vec<End>),
}

/// The list as it was.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unchanged {
    Unchanged,
}

/// A state, as what is other than at the beginning; all else is as it was.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// New tasks.
    #[serde(default)]
    pub add: Vec<Added>,
    /// New tasks with these words in their titles, and without a date.
    #[serde(default)]
    pub titles: Vec<String>,
    #[serde(default)]
    pub change: Vec<Change>,
    /// Tasks that are done.
    #[serde(default)]
    pub done: Vec<String>,
    /// Tasks that are open again.
    #[serde(default)]
    pub open: Vec<String>,
    /// Tasks in the trash.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// Tasks that were in the trash.
    #[serde(default)]
    pub restored: Vec<String>,
    /// Tasks that repeat and were done once.
    #[serde(default)]
    pub once: Vec<Once>,
}

impl End {
    /// Whether all is as it was.
    fn is_nothing(&self) -> bool {
        let listed = [
            &self.titles,
            &self.done,
            &self.open,
            &self.deleted,
            &self.restored,
        ];
        let is_empty = listed.into_iter().all(Vec::is_empty);
        is_empty && self.add.is_empty() && self.change.is_empty() && self.once.is_empty()
    }
}

/// A new task, as patterns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Added {
    pub title: String,
    #[serde(default = "none")]
    pub due: String,
    #[serde(default = "none")]
    pub time: String,
    #[serde(default = "none")]
    pub repeat: String,
    pub priority: Option<String>,
    pub tags: Option<Vec<String>>,
    pub description: Option<String>,
    #[serde(default)]
    pub done: bool,
}

impl Added {
    /// With these words in its title, and without a date.
    pub(crate) fn titled(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            due: none(),
            time: none(),
            repeat: none(),
            priority: None,
            tags: None,
            description: None,
            done: false,
        }
    }
}

fn none() -> String {
    "none".to_owned()
}

/// Tasks that are other than at the beginning, as patterns; what is left out is as it was.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub task: Names,
    pub title: Option<String>,
    pub description: Option<String>,
    pub due: Option<String>,
    pub time: Option<String>,
    pub priority: Option<String>,
    pub tags: Option<Vec<String>>,
    pub repeat: Option<String>,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected the name of a task or a list of them")]
pub enum Names {
    One(String),
    More(Vec<String>),
}

impl Names {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::More(names) => names,
        };
        names.iter().map(String::as_str)
    }
}

/// A task that repeats was done: it is due on another date, and what was done is a task of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    pub task: String,
    /// The next date.
    pub due: String,
}

/// All cases, with what their families are about.
#[derive(Debug, Clone)]
pub struct Cases {
    pub all: Vec<Case>,
    pub families: BTreeMap<String, String>,
}

impl Cases {
    /// The cases that come with the product.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
    }

    /// Reads each `*.toml` of a folder, and checks that it can be played.
    ///
    /// # Errors
    /// Names the file or the case, and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut cases = Self {
            all: Vec::new(),
            families: BTreeMap::new(),
        };
        let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        paths.sort();
        for path in paths {
            let shown = path.display().to_string();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
            let family: Family = toml::from_str(&text).with_context(|| shown.clone())?;
            for mut case in family.case {
                case.family = name.clone().into_owned();
                check::check(&case).with_context(|| format!("{shown}: {}", case.name))?;
                cases.all.push(case);
            }
            cases.families.insert(name.into_owned(), family.about);
        }
        cases.tell_apart()?;
        Ok(cases)
    }

    /// Names are unique, and so are first messages: by them a stand-in knows which case it is in.
    fn tell_apart(&self) -> Result<()> {
        ensure!(!self.all.is_empty(), "there are no cases");
        let (mut names, mut said) = (HashSet::new(), HashSet::new());
        for case in &self.all {
            ensure!(names.insert(&case.name), "{} is there twice", case.name);
            let first = &case.turn[0].say;
            ensure!(
                said.insert(first),
                "{}: {first:?} is said elsewhere, too",
                case.name
            );
        }
        Ok(())
    }
}

impl Case {
    /// Whether one may do nothing: the list may stay as it is, and need not be looked at.
    #[must_use]
    pub fn allows_nothing(&self) -> bool {
        let stays = |after: &After| match after {
            After::Word(_) => true,
            After::Ends(ends) => ends.iter().any(End::is_nothing),
        };
        let mut turns = self.turn.iter();
        turns.all(|turn| !turn.look && turn.after.as_ref().is_none_or(stays))
    }

    /// The dates that its patterns name, for a recording to name them in the same way.
    pub(crate) fn dates(&self) -> Vec<&str> {
        let ends = self.turn.iter().filter_map(|turn| match &turn.after {
            Some(After::Ends(ends)) => Some(ends),
            _ => None,
        });
        let patterns = ends.flatten().flat_map(|end| {
            let added = end.add.iter().map(|added| added.due.as_str());
            let changed = end.change.iter().filter_map(|change| change.due.as_deref());
            added.chain(changed)
        });
        let one = patterns
            .flat_map(|pattern| pattern.split('|'))
            .map(str::trim);
        one.filter(|one| !one.contains("..") && !["none", "any"].contains(one))
            .collect()
    }
}

//! Files of a crate that use one another in a circle.
//!
//! A file uses what its `use` statements and paths beginning with `crate`, `self` or `super` name. A module and those below it are one room
//! with a front, so what they use of one another is no arrow. What only tests use is free.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

type Module = Vec<String>;

/// What each module uses of the others.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn files_of_a_crate_use_one_another_in_no_circle() {
    let mut found = Vec::new();
    for (folder, _) in super::ARROWS {
        let uses = uses(&super::root().join(folder).join("src"));
        assert!(uses.len() > 5, "{folder}: {uses:?}");
        found.extend(circle(&uses).map(|circle| format!("{folder}: {circle:?}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let uses = |pairs: &[(&str, &str)]| -> Uses {
        let mut uses = Uses::new();
        for (from, to) in pairs {
            uses.entry(module(to)).or_default();
            uses.entry(module(from)).or_default().insert(module(to));
        }
        uses
    };
    assert_eq!(circle(&uses(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let circle = circle(&uses(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert_eq!(circle, Some(vec![module("b"), module("c")]));
    let text = "use super::{a::{self, B}, super::c};\nuse std::fmt;\nlet x = crate::d::e();";
    let paths = paths(text);
    for path in ["super::a", "super::a::B", "super::super::c", "crate::d::e"] {
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
}

/// Modules that are left when those that use none of the others are taken away, again and again.
fn circle(uses: &Uses) -> Option<Vec<Module>> {
    let mut left = uses.clone();
    loop {
        let names: BTreeSet<Module> = left.keys().cloned().collect();
        let is_used = |name: &Module| {
            left.iter()
                .any(|(from, to)| from != name && to.contains(name))
        };
        let free = names
            .iter()
            .find(|name| left[*name].is_disjoint(&names) || !is_used(name));
        match free.cloned() {
            Some(name) => left.remove(&name),
            None => break,
        };
    }
    (!left.is_empty()).then(|| left.into_keys().collect())
}

fn uses(source: &Path) -> Uses {
    let files: BTreeMap<Module, String> = super::files(source)
        .into_iter()
        .filter_map(|(path, text)| Some((module(source, &path)?, text)))
        .collect();
    let front = |path: &[String]| {
        (0..=path.len())
            .rev()
            .map(|length| path[..length].to_vec())
            .find(|module| files.contains_key(module))
    };
    let used = |module: &Module, text: &str| {
        paths(text)
            .iter()
            .filter_map(|path| front(&absolute(module, path)?))
            .filter(|other| !other.starts_with(module) && !module.starts_with(other))
            .collect()
    };
    files
        .iter()
        .map(|(module, text)| (module.clone(), used(module, text)))
        .collect()
}

/// The module of a file; none of a program's beginning.
fn module(source: &Path, path: &str) -> Option<Module> {
    let inside = Path::new(path)
        .strip_prefix(source)
        .ok()?
        .with_extension("");
    let names: Module = inside
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    match names[0].as_str() {
        "main" | "bin" => None,
        "lib" => Some(Vec::new()),
        _ => Some(names),
    }
}

/// A path as it is from the crate's root.
fn absolute(module: &[String], path: &str) -> Option<Module> {
    let mut names = path.split("::").peekable();
    let mut base = match *names.peek()? {
        "crate" => Vec::new(),
        _ => module.to_vec(),
    };
    while let Some(name @ ("crate" | "self" | "super")) = names.peek().copied() {
        if name == "super" {
            base.pop()?;
        }
        names.next();
    }
    base.extend(names.map(str::to_owned));
    Some(base)
}

/// All paths in a text that stay in its crate, those of a `use` with braces one by one; without its tests and comments.
fn paths(text: &str) -> Vec<String> {
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code: String = shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut all = Vec::new();
    for root in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                flatten("", &mut code[at..].chars().peekable(), &mut all);
            }
        }
    }
    all
}

/// Reads one path, or those in braces, behind a prefix.
fn flatten(
    prefix: &str,
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    all: &mut Vec<String>,
) {
    let mut path = prefix.to_owned();
    while let Some(&c) = rest.peek() {
        match c {
            '{' if path.ends_with("::") => {
                rest.next();
                loop {
                    while rest.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                    if rest.next_if_eq(&'}').is_some() || rest.peek().is_none() {
                        return;
                    }
                    flatten(&path, rest, all);
                    // What stands behind a name: `as other`, or something that is no path.
                    while rest.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
                }
            }
            c if c.is_alphanumeric() || c == '_' || c == ':' => {
                path.push(c);
                rest.next();
            }
            _ => break,
        }
    }
    let path = path.trim_end_matches("::").trim_end_matches("::self");
    all.push(path.to_owned());
}

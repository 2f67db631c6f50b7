//! Modules packed into one file: a first visit takes a handful of requests, and a page is written in as many files as it likes.
//!
//! A module becomes a function that is called once, behind those that it needs, and returns what it exports. That covers what modules
//! here do, and nothing more: imports by name of modules without circles, and exports of declarations. Files of others (`vendor/`) stay as
//! they are, and are imported from where they are. What does not fit is an error, which a test has.

use std::collections::HashMap;

use super::assets;

/// A packed file.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) text: String,
    /// The modules in it.
    modules: Vec<String>,
    /// Files of others that it imports.
    pub(super) vendored: Vec<String>,
}

/// Why modules cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    #[error("{0} is needed by itself")]
    Circle(String),
    #[error("{0}: cannot pack {1:?}")]
    Unsupported(String, String),
    #[error("there is no {0}")]
    Missing(String),
}

/// Packs a module with all that it needs before it can run; what it fetches later (`import()`) is not among it.
///
/// What `before` has is taken from there: there is one of each module, however many packs there are.
pub(super) fn pack(entry: &str, before: Option<(&str, &Pack)>) -> Result<Pack, PackError> {
    let mut packer = Packer {
        before,
        ..Packer::default()
    };
    packer.add(entry)?;
    let mut text = String::new();
    for path in &packer.vendored {
        text.push_str(&packer.hoisted[path]);
        text.push('\n');
    }
    if let Some((path, _)) = before {
        let names: Vec<String> = packer.borrowed.iter().map(|path| id(path)).collect();
        text.push_str(&format!(
            "import {{ {} }} from \"./{path}\";\n",
            names.join(", ")
        ));
    }
    text.push_str(&packer.text);
    if !packer.exported.is_empty() {
        let names = packer.exported;
        text.push_str(&format!("export const {{ {names} }} = {};\n", id(entry)));
    }
    if before.is_none() {
        let names: Vec<String> = packer.done.iter().map(|path| id(path)).collect();
        text.push_str(&format!("export {{ {} }};\n", names.join(", ")));
    }
    Ok(Pack {
        text,
        modules: packer.done,
        vendored: packer.vendored,
    })
}

#[derive(Default)]
struct Packer<'a> {
    before: Option<(&'a str, &'a Pack)>,
    text: String,
    /// In the order in which they run.
    done: Vec<String>,
    /// Begun, and not yet done.
    open: Vec<String>,
    /// Of the pack before.
    borrowed: Vec<String>,
    vendored: Vec<String>,
    hoisted: HashMap<String, String>,
    /// What the last module exports: the entry, in the end.
    exported: String,
}

impl Packer<'_> {
    fn add(&mut self, path: &str) -> Result<(), PackError> {
        if self.done.iter().any(|done| done == path) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == path) {
            return Err(PackError::Circle(path.to_owned()));
        }
        if self
            .before
            .is_some_and(|(_, before)| before.modules.iter().any(|has| has == path))
        {
            if !self.borrowed.iter().any(|known| known == path) {
                self.borrowed.push(path.to_owned());
            }
            return Ok(());
        }
        let text = assets::text(path).ok_or_else(|| PackError::Missing(path.to_owned()))?;
        self.open.push(path.to_owned());
        let module = self.module(path, &text)?;
        self.open.pop();
        self.text.push_str(&module);
        self.done.push(path.to_owned());
        Ok(())
    }

    /// The module as a function that is called.
    fn module(&mut self, path: &str, text: &str) -> Result<String, PackError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut body = String::new();
        let mut exported: Vec<&str> = Vec::new();
        let mut lines = code(text);
        while let Some(line) = lines.next() {
            if line.starts_with("import ") || line.starts_with("import{") {
                let mut statement = line.to_owned();
                while !statement.ends_with(';') {
                    let more = lines.next().ok_or_else(|| unsupported(path, line))?;
                    statement.push_str(more.trim());
                }
                body.push_str(&self.import(path, folder, &statement)?);
            } else if let Some(declaration) = line.strip_prefix("export ") {
                exported.push(declared(declaration).ok_or_else(|| unsupported(path, line))?);
                body.push_str(declaration);
            } else {
                body.push_str(line);
            }
            body.push('\n');
        }
        let (id, exported) = (id(path), exported.join(", "));
        self.exported.clone_from(&exported);
        Ok(format!(
            "// {path}\nconst {id} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"
        ))
    }

    /// What takes an import's place. It is one line in any case, and so are its names.
    fn import(&mut self, path: &str, folder: &str, statement: &str) -> Result<String, PackError> {
        let parts = (|| {
            let (clause, rest) = statement.strip_prefix("import")?.split_once('"')?;
            let (name, end) = rest.split_once('"')?;
            (end == ";").then_some((clause.trim(), within(folder, name)?))
        })();
        let (clause, target) = parts.ok_or_else(|| unsupported(path, statement))?;
        if target.starts_with("vendor/") {
            if !self.vendored.contains(&target) {
                self.vendored.push(target.clone());
            }
            self.hoisted.insert(
                target.clone(),
                format!("import {clause} \"./{target}\";").replace("  ", " "),
            );
            return Ok(String::new());
        }
        self.add(&target)?;
        let names = clause
            .strip_suffix("from")
            .map(str::trim)
            .filter(|names| names.starts_with('{') && names.ends_with('}'))
            .ok_or_else(|| unsupported(path, statement))?;
        Ok(format!(
            "const {} = {};",
            names.replace(" as ", ": "),
            id(&target)
        ))
    }
}

/// The lines that are no comment alone: comments are a fifth of what is written here.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let mut is_comment = false;
    text.lines().filter(move |line| {
        let line = line.trim();
        let begins = line.starts_with("/**");
        let was_comment = is_comment || begins || line.starts_with("//");
        is_comment = (is_comment || begins) && !line.ends_with("*/");
        !was_comment
    })
}

fn unsupported(path: &str, line: &str) -> PackError {
    PackError::Unsupported(path.to_owned(), line.to_owned())
}

/// The name that a declaration gives.
fn declared(declaration: &str) -> Option<&str> {
    let rest = declaration.strip_prefix("async ").unwrap_or(declaration);
    let rest = ["function ", "class ", "const "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))?;
    (end > 0).then(|| &rest[..end])
}

/// A module's name within a pack.
fn id(path: &str) -> String {
    let name = path.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("${name}")
}

/// A relative path, from within a folder.
fn within(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    name.starts_with('.').then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_can_be_packed_and_has_each_module_once() {
        let first = pack("app.js", None).expect("a pack");
        assert!(
            (4..12).contains(&first.modules.len()),
            "{:?}",
            first.modules
        );
        let second = pack("signed-in.js", Some(("app.js", &first))).expect("a pack");
        assert!(second.modules.len() > 30, "{:?}", second.modules);
        assert!(second.vendored.len() == 2, "{:?}", second.vendored);
        for module in &first.modules {
            assert!(!second.modules.contains(module), "{module}");
        }
        assert!(
            second
                .text
                .ends_with("export const { run } = $signed_in_js;\n")
        );
        assert!(
            second.text.contains("import { $dom_js"),
            "{:.400}",
            second.text
        );
        for text in [&first.text, &second.text] {
            let statements = text.lines().filter(|line| line.starts_with("import "));
            assert!(
                statements.clone().count() <= 3,
                "{:?}",
                statements.collect::<Vec<_>>()
            );
            assert!(
                text.lines()
                    .filter(|line| line.starts_with("export "))
                    .count()
                    <= 1
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut packer = Packer::default();
        for text in [
            "export default 1;",
            "import all from \"../dom.js\";",
            "import * as all from \"../dom.js\";",
            "export { a };",
            "import { h } from \"dom\";",
            "import { h }",
        ] {
            let packed = packer.module("views/x.js", text);
            assert!(
                matches!(packed, Err(PackError::Unsupported(..))),
                "{text}: {packed:?}"
            );
        }
        let packed = packer.module(
            "views/x.js",
            "// A module.\n/** Of\n * two lines. */\n  // And one.\nimport {\n  h,\n  icon as sign,\n} from \"../dom.js\";\nexport const a = h;",
        );
        let packed = packed.expect("a module");
        assert!(
            packed.contains("const {h,icon: sign,} = $dom_js;"),
            "{packed}"
        );
        assert!(
            !packed.contains("A module") && !packed.contains("two"),
            "{packed}"
        );
        assert!(packed.ends_with("return { a };\n})();\n"), "{packed}");
        assert!(matches!(
            packer.add("nothing.js"),
            Err(PackError::Missing(_))
        ));
    }
}

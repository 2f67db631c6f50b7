//! What the documentation says is so: texts that are made from the programs and the database are the current ones, links lead somewhere,
//! and the tests that are named exist.
//!
//! `UPDATE_DOCS=1 cargo it documentation::` writes the texts that are made.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, PgPool};

use crate::system::{database, process};

/// Headings of `docs/configuration.md`, each above what the program says of itself.
const PROGRAMS: [(&str, &str, &[&str]); 12] = [
    ("errand-api", "errand-api", &[]),
    ("errand-worker", "errand-worker", &[]),
    ("errand-mcp", "errand-mcp", &[]),
    ("errand-api migrate", "errand-api", &["migrate"]),
    ("errand-api queue", "errand-api", &["queue"]),
    ("errand-api run", "errand-api", &["run"]),
    ("errand-api cancel", "errand-api", &["cancel"]),
    ("errand-api requeue", "errand-api", &["requeue"]),
    ("errand-api pause", "errand-api", &["pause"]),
    ("errand-api resume", "errand-api", &["resume"]),
    ("errand-api drain", "errand-api", &["drain"]),
    ("errand-api times", "errand-api", &["times"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what it should say, or writes it.
fn assert_current(path: &str, now: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, now).expect("can be written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let at = kept
        .lines()
        .zip(now.lines())
        .position(|(kept, now)| kept != now);
    assert!(
        kept == now,
        "{path} is not current (line {:?}): run `UPDATE_DOCS=1 cargo it documentation::`",
        at.map(|line| line + 1)
    );
}

/// The introduction is written by hand, all else is the programs'.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_what_the_programs_say() {
    let path = "docs/configuration.md";
    let kept = fs::read_to_string(root().join(path)).expect("it is there");
    let (introduction, _) = kept
        .split_once("\n## errand-api\n")
        .expect("an introduction");
    let mut now = introduction.to_owned();
    for (heading, program, command) in PROGRAMS {
        let arguments = [command, &["--help"]].concat();
        let output = process::command(program, &arguments, [])
            .await
            .output()
            .await;
        let help = String::from_utf8(output.expect("it starts").stdout).expect("UTF-8");
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        now += &format!("\n## {heading}\n\n```text\n{}\n```\n", help.join("\n"));
    }
    assert_current(path, &now);
}

/// The whole schema, for people: what `\d` would show of each table, and the functions that there are.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_as_it_is_written_down() {
    let db = PgPool::connect(&database().await).await.expect("connects");
    let major: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::integer / 10000")
            .fetch_one(&db)
            .await
            .expect("a version");
    let path = "migrations/schema.txt";
    let header = format!(
        "As PostgreSQL {major} writes it; made by `UPDATE_DOCS=1 cargo it documentation::`.\n"
    );
    let kept = fs::read_to_string(root().join(path)).unwrap_or_default();
    if !kept.starts_with(&header) && std::env::var_os("UPDATE_DOCS").is_none() {
        #[expect(
            clippy::print_stderr,
            reason = "a test that proves nothing must say so"
        )]
        {
            eprintln!(
                "skipped: {path} is written by another version of PostgreSQL than this, {major}"
            );
        }
        return;
    }
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(include_str!("documentation/schema.sql")))
            .fetch_all(&db)
            .await
            .expect("the catalog");
    assert_current(path, &(header + &lines.join("\n") + "\n"));
}

/// All texts of the project, with their paths from its root.
fn documents() -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder))
            .expect("a folder")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let is_foreign =
                ["target", "node_modules", ".venv", ".git", ".errand"].contains(&name.as_str());
            if entry.path().is_dir() && !is_foreign {
                folders.push(path);
            } else if name.ends_with(".md") {
                all.push((path, fs::read_to_string(entry.path()).expect("a text")));
            }
        }
    }
    all
}

/// Targets of links in a text, but for those into the Internet.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '#']).next()?;
        let is_elsewhere =
            target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!is_elsewhere).then_some(target)
    })
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in documents() {
        let folder = root().join(&path).parent().expect("a folder").to_owned();
        for target in links(&text).filter(|target| !folder.join(target).exists()) {
            broken.push(format!("{}: {target}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Names in `module::test` form in the table of promises, and all functions that are tests.
#[test]
fn every_promise_is_held_by_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/durability.md")).expect("it is there");
    let table = text.lines().filter(|line| line.starts_with('|'));
    let named: BTreeSet<&str> = table
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::") && !name.contains(['(', ' ', '*', '…', '/']))
        .filter_map(|name| name.rsplit("::").next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let mut sources = String::new();
    let mut folders = vec![
        root().join("tests/it"),
        root().join("shared"),
        root().join("worker/src"),
        root().join("api/src"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(path).expect("a text");
            }
        }
    }
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| {
            !sources.contains(&format!("fn {name}(")) && !sources.contains(&format!("mod {name}"))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

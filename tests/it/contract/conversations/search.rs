//! Conversations that are found by their titles and by what was said.

use std::time::Duration;

use errand_devkit::model::{Turn, request};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{listed, messages, rename};
use crate::system::{Options, TestSystem, rows};

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_found_by_title_and_by_what_was_said() {
    let system = TestSystem::start().await;
    system.model.script(|asked| {
        let text = request::last_user(asked);
        Turn::text(if text == "hint" {
            "Look under the Doormat."
        } else {
            "Yes."
        })
    });
    let mut ids = Vec::new();
    for message in ["buy milk", "hint", "100% [sure] (a+b)*"] {
        ids.push(system.say("ada", message).await.assert_ok()["conversation_id"].clone());
    }
    system.say("bob", "his doormat").await.assert_ok();
    rename(&system, "ada", &ids[0], json!({"title": "Groceries"}))
        .await
        .assert_ok();
    for (search, found) in [
        ("groc", vec!["Groceries"]),
        ("MILK", vec!["Groceries"]),
        ("doormat", vec!["hint"]),
        ("e", vec!["100% [sure] (a+b)*", "hint", "Groceries"]),
        ("100%25 [", vec!["100% [sure] (a+b)*"]),
        ("(A%2Bb)*", vec!["100% [sure] (a+b)*"]),
        ("m.lk", vec![]),
        ("_", vec![]),
        ("%5C", vec![]),
        ("***=", vec![]),
        ("", vec!["100% [sure] (a+b)*", "hint", "Groceries"]),
    ] {
        assert_eq!(
            listed(&system, &format!("?search={search}")).await,
            found,
            "{search}"
        );
    }
    // In pages, each conversation once.
    let mut seen = Vec::new();
    let mut query = "conversations?search=e&limit=1".to_owned();
    loop {
        let page = system.get("ada", &query).await;
        let rows = page.assert_ok()["conversations"]
            .as_array()
            .unwrap()
            .clone();
        assert!(rows.len() <= 1);
        seen.extend(rows.iter().map(|row| row["id"].clone()));
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        query = format!("conversations?search=e&limit=1&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let foreign = Uuid::now_v7();
    for (bad, field) in [
        ("search=%00".to_owned(), "search"),
        (format!("search={}", "a".repeat(256)), "search"),
        ("search=a&cursor=nonsense".to_owned(), "cursor"),
        (format!("search=a&cursor=0_{foreign}_{foreign}"), "cursor"),
        (format!("search=a&cursor=0_{foreign}_7"), "cursor"),
        (format!("cursor=0_{foreign}_{foreign}"), "cursor"),
        ("search=a&limit=0".to_owned(), "limit"),
    ] {
        let refused = system.get("ada", &format!("conversations?{bad}")).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], field, "{bad}: {}", refused.body);
    }
}

/// Every page of a search; how many conversations it found, how many pages there were, and how long the slowest took.
async fn search(system: &TestSystem, user: &str, text: &str) -> (usize, usize, Duration) {
    search_from(system, user, text, "").await
}

/// As [`search`], from this cursor on.
async fn search_from(
    system: &TestSystem,
    user: &str,
    text: &str,
    cursor: &str,
) -> (usize, usize, Duration) {
    let (mut found, mut pages, mut slowest) = (0, 0, Duration::ZERO);
    let mut query = format!("conversations?search={text}{cursor}");
    loop {
        let begun = Instant::now();
        let page = system.get(user, &query).await;
        found += page.assert_ok()["conversations"].as_array().unwrap().len();
        slowest = slowest.max(begun.elapsed());
        pages += 1;
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            return (found, pages, slowest);
        };
        query = format!("conversations?search={text}&cursor={cursor}");
    }
}

/// A hundred thousand messages, and one conversation with very many large ones: each answer comes within the time of one, and the search
/// comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_bounded_however_much_there_is() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let small = "'some words about this and that, number ' || row_number() over ()";
    rows::execute(&system.db, &messages("ada", 1_000, 100, small)).await;
    let large = "repeat('long words ', 700)";
    rows::execute(&system.db, &messages("eve", 1, 20_000, large)).await;
    rows::execute(&system.db, "analyze").await;
    let (found, pages, slowest) = search(&system, "ada", "nothing").await;
    assert_eq!(found, 0);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let expected = "select count(distinct conversation_id) from messages where user_id = 'ada' and content like '%number 777%'";
    let expected = usize::try_from(system.count(expected).await).unwrap();
    assert!(expected > 10);
    let (found, pages, slowest) = search(&system, "ada", "Number%20777").await;
    assert_eq!(found, expected);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let (found, ..) = search(&system, "ada", "number%2077777").await;
    assert_eq!(found, 1);
    // The first page of what is everywhere ends early.
    let begun = Instant::now();
    assert_eq!(
        system
            .get("ada", "conversations?search=WORDS")
            .await
            .assert_ok()["conversations"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    // 140 MB in one conversation: several pages, none of which is late.
    let (found, pages, slowest) = search(&system, "eve", "nothing").await;
    assert_eq!(found, 0);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let first = "update messages set content = 'the needle' where position = (select min(position) from messages where user_id = 'eve')";
    rows::execute(&system.db, first).await;
    assert_eq!(search(&system, "eve", "needle").await.0, 1);
    // A page that ran out of time in the middle of a conversation is gone on from there, and looks at nothing twice.
    let within = |message: &str| {
        format!(
        "select (extract(epoch from updated_at) * 1000000)::bigint || '_' || c.id || '_' || m.id
         from conversations c join messages m on m.conversation_id = c.id where c.user_id = 'eve' {message}"
    )
    };
    for (message, expected) in [("order by m.position desc", 1), ("order by m.position", 0)] {
        let query = within(&format!("{message} limit 1"));
        let cursor: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&system.db)
            .await
            .unwrap();
        // On a machine that is busy with other things its time may be over once more.
        let from = format!("&cursor={cursor}");
        let (found, ..) = search_from(&system, "eve", "needle", &from).await;
        assert_eq!(found, expected, "{message}");
    }
}

//! Reading: what is read stays where it is, whatever comes in above it or opens below it.

use std::fmt::Write;

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{by_name, chrome::Browser};
use crate::system::{Options, TestSystem};

/// More than the page reads at first.
const TURNS: usize = 70;

/// Follows an element for a second of frames, behind a click on another; returns the pixels that it strayed at most.
fn strays(click: &str, element: &str) -> String {
    format!(
        "
        const followed = {element};
        const before = followed.getBoundingClientRect().top;
        document.querySelector('{click}').click();
        let most = 0;
        const until = performance.now() + 1000;
        return new Promise((resolve) => {{
            const look = () => {{
                // What is drawn counts, and it is drawn behind this: in the next task.
                setTimeout(() => {{
                    most = Math.max(most, Math.abs(followed.getBoundingClientRect().top - before));
                    if (performance.now() < until) requestAnimationFrame(look);
                    else resolve(Math.round(followed.isConnected ? most : 9999));
                }});
            }};
            requestAnimationFrame(look);
        }});"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_messages_come_in_above_what_is_read() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut options: Options = by_name();
    options.api.extend(["--rate-runs-per-minute", "0"]);
    let system = TestSystem::with(options).await;
    let mut conversation = Value::Null;
    for turn in 0..TURNS {
        system
            .model
            .push(Turn::call("list_tasks", json!({"search": "x"})));
        // No two are of one height, and none is what the browser guesses.
        let mut reply = String::new();
        for line in 0..turn % 7 * 3 {
            write!(reply, "Line {line} of {turn}.\n\n").expect("text");
        }
        system.model.push(Turn::text(format!("{reply}Done.")));
        let mut body = json!({"message": format!("message {turn}")});
        if !conversation.is_null() {
            body["conversation_id"] = conversation.clone();
        }
        let said = system.post_chat("ada", &body);
        let said = crate::system::Answer::of(said).await;
        conversation = said.assert_ok()["conversation_id"].clone();
    }
    browser.sign_in(&system.url, "ada").await;
    let id = conversation.as_str().expect("an id");
    browser.open(&format!("{}/#/c/{id}", system.url)).await;
    let last = format!("message {}", TURNS - 1);
    browser
        .sees("the end", |seen| seen.messages.last() == Some(&last))
        .await;
    // Upwards as with a wheel, so that everything on the way is drawn: whatever comes in above, and however high it turns out to be,
    // a step up shows what was right above. Nothing is left out and nothing is shown twice.
    let upwards = "
        const scroller = document.querySelector('#scroller');
        const words = () => document.elementFromPoint(innerWidth / 2, 130)?.closest('article')?.querySelector('.bubble').textContent ?? '';
        const seen = [];
        return new Promise((resolve) => {
            const step = (left) => {
                if (left === 0 || seen.at(-1) === 'message 0') return resolve(seen);
                scroller.scrollTop -= 100;
                requestAnimationFrame(() => setTimeout(() => {
                    const now = words();
                    if (now !== '' && now !== seen.at(-1)) seen.push(now);
                    step(left - 1);
                }));
            };
            step(20);
        });";
    // A few steps at a time: all of them take some machines longer than a script may.
    let mut numbers: Vec<i64> = Vec::new();
    for _ in 0..100 {
        let seen = browser.script(upwards).await;
        let seen = seen.as_array().expect("texts").iter();
        let seen = seen.filter_map(|it| it.as_str()?.strip_prefix("message "));
        numbers.extend(seen.map(|number| number.parse::<i64>().expect("a number")));
        numbers.dedup();
        if numbers.last() == Some(&0) {
            break;
        }
    }
    assert_eq!(numbers.last(), Some(&0), "not up to the first: {numbers:?}");
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] - 1),
        "not upwards: {numbers:?}"
    );
    browser.end(&[]).await;
}

/// The newest messages are there at once, however many there are, and older ones come as they are scrolled to.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_opens_at_its_end() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..by_name()
    })
    .await;
    crate::system::rows::execute(&system.db, SIX_THOUSAND).await;
    let id: String = sqlx::query_scalar("select id::text from conversations")
        .fetch_one(&system.db)
        .await
        .expect("the conversation");
    browser.sign_in(&system.url, "ada").await;
    browser.open(&format!("{}/#/c/{id}", system.url)).await;
    let end = "
        const last = [...document.querySelectorAll('.md')].at(-1);
        const frame = document.querySelector('#scroller').getBoundingClientRect();
        return last && last.getBoundingClientRect().bottom <= frame.bottom && last.getBoundingClientRect().top >= frame.top ? last.innerText : '';";
    browser.shows(end, "assistant 3000").await;
    // The newest page may be read twice, if the connection comes behind it; what is before that nobody has asked for.
    let pages = "return performance.getEntriesByType('resource').filter(({ name }) => /messages.*cursor/.test(name)).map(({ name }) => name).join()";
    browser.shows(pages, "").await;
    browser.picture("long").await;
    // To the very top of what is there, as one that drags the scroll bar does.
    for _ in 0..2 {
        let first = "return document.querySelector('#thread article .bubble').textContent";
        let before = browser.script(first).await;
        let top = "
            const scroller = document.querySelector('#scroller');
            const first = document.querySelector('#thread article');
            scroller.scrollTop = 0;
            const frames = [];
            return new Promise((resolve) => {
                const look = () => setTimeout(() => {
                    frames.push(first.getBoundingClientRect().top);
                    // Where it was when it was scrolled to is where it stays.
                    const place = document.querySelector('#thread article') === first ? null : Math.max(...frames) - Math.min(...frames);
                    if (place !== null && frames.length > 30) resolve(String(Math.round(place)));
                    else requestAnimationFrame(look);
                });
                requestAnimationFrame(look);
            });";
        let strayed = browser.script(top).await;
        let strayed: i64 = strayed.as_str().expect("text").parse().expect("a number");
        assert!(strayed <= 2, "strayed by {strayed} pixels");
        assert_ne!(browser.script(first).await, before);
    }
    browser.picture("long-earlier").await;
    browser.end(&[]).await;
}

/// A conversation of 3,000 turns.
const SIX_THOUSAND: &str = "
    with c as (
        insert into conversations (id, user_id, title) values (gen_random_uuid(), 'ada', 'A long one') returning id, user_id
    ),
    r as (
        insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, started_at, finished_at, created_at)
        select gen_random_uuid(), id, user_id, 'completed', 1, t, t, t, t
        from c cross join generate_series(1, 3000) g cross join (select now() - interval '1 hour' as t) t
        returning id, conversation_id, user_id
    ),
    n as (select *, row_number() over () as number from r)
    insert into messages (id, conversation_id, user_id, run_id, role, content)
    select gen_random_uuid(), conversation_id, user_id, id, role, role || ' ' || number
    from n cross join unnest(array['user', 'assistant']) role order by number, role desc";

#[tokio::test(flavor = "multi_thread")]
async fn an_opened_receipt_stays_where_it_was_clicked() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let lines: Vec<String> = (0..40).map(|line| format!("Line {line}.")).collect();
    system.model.push(Turn::text(lines.join("\n\n")));
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("It is on the list."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("tell me much").await;
    browser
        .sees("the long reply", |seen| {
            seen.replies.len() == 1 && !seen.can_stop
        })
        .await;
    browser.say("add buy milk").await;
    browser
        .sees("the receipt at the end", |seen| {
            seen.replies.len() == 2 && seen.tools.len() == 1 && !seen.can_stop
        })
        .await;
    // At the end, which is followed.
    browser
        .shows(
            "
            const scroller = document.querySelector('#scroller');
            scroller.scrollTop = scroller.scrollHeight;
            return String(document.querySelector('#jump').hidden);",
            "true",
        )
        .await;
    // What is followed does not turn, as the toggle itself does.
    for (opener, followed) in [
        (
            ".turn:last-child .details-button",
            ".turn:last-child .details-button",
        ),
        (".receipt-toggle", ".receipt-line"),
    ] {
        let element = format!("document.querySelector('{followed}')");
        let strayed = browser.script(&strays(opener, &element)).await;
        assert!(
            strayed.as_i64() <= Some(2),
            "{opener} strayed by {strayed} pixels"
        );
        let open = format!("return document.querySelector('{opener}').ariaExpanded");
        browser.shows(&open, "true").await;
    }
    // There is something below it now, and the page says how to get there.
    let jump = "return String(document.querySelector('#jump').hidden)";
    browser.shows(jump, "false").await;
    browser.end(&[]).await;
}

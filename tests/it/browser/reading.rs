//! Reading: what is read stays where it is, whatever comes in above it or opens below it.

use std::fmt::Write;

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{by_name, chrome::Browser};
use crate::world::{Options, World};

/// More than the page shows at first.
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
    let world = World::with(options).await;
    let mut conversation = Value::Null;
    for turn in 0..TURNS {
        world
            .model
            .push(Turn::call("list_tasks", json!({"search": "x"})));
        // No two are of one height, and none is what the browser guesses.
        let mut reply = String::new();
        for line in 0..turn % 7 * 3 {
            write!(reply, "Line {line} of {turn}.\n\n").expect("text");
        }
        world.model.push(Turn::text(format!("{reply}Done.")));
        let mut body = json!({"message": format!("message {turn}")});
        if !conversation.is_null() {
            body["conversation_id"] = conversation.clone();
        }
        let said = world.post_chat("ada", &body);
        let said = crate::world::Answer::of(said).await;
        conversation = said.assert_ok()["conversation_id"].clone();
    }
    browser.sign_in(&world.url, "ada").await;
    let id = conversation.as_str().expect("an id");
    browser.open(&format!("{}/#/c/{id}", world.url)).await;
    let last = format!("message {}", TURNS - 1);
    browser
        .sees("the end", |seen| seen.messages.last() == Some(&last))
        .await;
    // Upwards as with a wheel, so that everything on the way is drawn.
    let up = "
        const scroller = document.querySelector('#scroller');
        return new Promise((resolve) => {
            const step = () => {
                if (scroller.scrollTop === 0) return setTimeout(() => resolve('there'), 500);
                scroller.scrollTop -= 300;
                requestAnimationFrame(step);
            };
            step();
        });";
    browser.shows(up, "there").await;
    let top = "document.querySelector('#thread article.turn')";
    let message = format!("return {top}.querySelector('.bubble').textContent");
    let first = browser.script(&message).await;
    assert_eq!(first, format!("message {}", TURNS - 60));
    let strayed = browser.script(&strays(".earlier", top)).await;
    assert!(strayed.as_i64() <= Some(2), "strayed by {strayed} pixels");
    browser.shows(&message, "message 0").await;
    // And it stays so while the earlier ones are scrolled through, and their tool calls come in: a step up shows what
    // was right above.
    let neighbours = "
        const scroller = document.querySelector('#scroller');
        const words = () => document.elementFromPoint(innerWidth / 2, 130)?.closest('article')?.querySelector('.bubble').textContent ?? '';
        const seen = [words()];
        return new Promise((resolve) => {
            const step = () => {
                if (scroller.scrollTop === 0) return resolve(seen.filter((it) => it.startsWith('message')).join());
                scroller.scrollTop -= 120;
                requestAnimationFrame(() => setTimeout(() => {
                    const now = words();
                    if (now !== seen.at(-1)) seen.push(now);
                    step();
                }));
            };
            step();
        });";
    let seen = browser.script(neighbours).await;
    let seen = seen.as_str().expect("text");
    let numbers: Vec<i64> = seen
        .split(',')
        .map(|it| it.trim_start_matches("message ").parse().expect("a number"))
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] < pair[0]),
        "not upwards: {numbers:?}"
    );
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opened_tool_card_stays_where_it_was_clicked() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let world = World::with(by_name()).await;
    let lines: Vec<String> = (0..40).map(|line| format!("Line {line}.")).collect();
    world.model.push(Turn::text(lines.join("\n\n")));
    world
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    world.model.push(Turn::text("It is on the list."));
    browser.sign_in(&world.url, "ada").await;
    browser.say("tell me much").await;
    browser
        .sees("the long reply", |seen| {
            seen.replies.len() == 1 && !seen.can_stop
        })
        .await;
    browser.say("add buy milk").await;
    browser
        .sees("the card at the end", |seen| {
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
    let card = "details.tool > summary";
    let element = format!("document.querySelector('{card}')");
    let strayed = browser.script(&strays(card, &element)).await;
    assert!(
        strayed.as_i64() <= Some(2),
        "the card strayed by {strayed} pixels"
    );
    let open = "return String(document.querySelector('details.tool').open)";
    browser.shows(open, "true").await;
    // There is something below it now, and the page says how to get there.
    let jump = "return String(document.querySelector('#jump').hidden)";
    browser.shows(jump, "false").await;
    browser.end(&[]).await;
}

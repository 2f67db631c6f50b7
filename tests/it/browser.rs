//! The page in a real browser: streaming, reloads, lost connections, dead workers, two windows, hostile words.
//! Every test ends with a look at the browser's log.

mod accessibility;
mod accounts;
mod approval;
mod chrome;
mod chromium;
mod connection;
mod conversations;
mod delivery;
mod devices;
mod drafts;
mod interruptions;
mod markdown;
mod operations;
mod page;
mod reading;
mod receipts;
mod retry;
mod screenshot;
mod settings;
mod suggestions;
mod task_keys;
mod task_list;
mod task_panel;

use chrome::Browser;
use errand_devkit::model::{Gate, Turn};
use serde_json::json;

use crate::system::{Options, TestSystem};

/// Sign-in by name, as in development.
fn by_name() -> Options {
    Options {
        api: vec!["--stand-in-sign-in"],
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_visit_to_the_first_task() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    let reply = "Milk is on your list.";
    system.model.push(Turn::text(reply).gate_after(3, &gate));

    browser.sign_in(&system.url, "ada").await;
    browser.say("add buy milk").await;
    browser
        .sees("the reply as it comes, and the task", |seen| {
            seen.reads("Milk is", reply) && seen.tasks == ["buy milk"]
        })
        .await;
    let seen = browser.look().await;
    assert_eq!(seen.messages, ["add buy milk"]);
    assert_eq!(seen.tools, ["Added “buy milk”, done"]);
    assert!(seen.can_stop);
    gate.open();
    browser
        .sees("the whole reply", |seen| {
            seen.reads(reply, reply) && !seen.can_stop
        })
        .await;
    // What exactly was called is there to be read.
    browser.click(".details-button").await;
    browser.click("details.tool > summary").await;
    let arguments = "return document.querySelector('[aria-label=Arguments]').innerText";
    let arguments = browser.script(arguments).await;
    assert!(
        arguments
            .as_str()
            .is_some_and(|text| text.contains("buy milk")),
        "{arguments}"
    );
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_windows_show_one_conversation() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let first = browser.window().await;
    let second = browser.new_window().await;
    system.model.push(Turn::text("Hello."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("hi").await;
    browser
        .sees("a conversation", |seen| {
            seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;
    let address = browser.address().await;
    browser.look_at(&second).await;
    browser.open(&address).await;
    browser
        .sees("the same conversation", |seen| {
            seen.messages == ["hi"] && seen.replies == ["Hello."]
        })
        .await;

    // Said in the one, it streams in the other, both ways.
    let mut windows = [&first, &second];
    let (mut messages, mut replies) = (vec!["hi"], vec!["Hello."]);
    for message in ["from the first", "from the second"] {
        let gate = Gate::closed();
        system
            .model
            .push(Turn::text("This is for both.").gate_after(3, &gate));
        browser.look_at(windows[0]).await;
        browser.say(message).await;
        messages.push(message);
        replies.push("This is");
        for window in windows.iter().rev() {
            browser.look_at(window).await;
            browser
                .sees("the message and a half of its reply", |seen| {
                    seen.messages == messages && seen.replies == replies && seen.can_stop
                })
                .await;
        }
        gate.open();
        replies.pop();
        replies.push("This is for both.");
        for window in windows {
            browser.look_at(window).await;
            browser
                .sees("the whole reply", |seen| {
                    seen.messages == messages && seen.replies == replies && !seen.can_stop
                })
                .await;
        }
        windows.reverse();
    }
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stop_button_keeps_what_was_said() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::text("I was going to say more").stall_after(5));

    browser.sign_in(&system.url, "ada").await;
    browser.say("go").await;
    let part = "I was going to";
    browser
        .sees("the first words", |seen| {
            seen.replies == [part] && seen.can_stop
        })
        .await;
    browser.click("[aria-label='Stop the answer']").await;
    browser
        .sees("the first words, marked", |seen| {
            seen.replies == [part]
                && seen.notices.iter().any(|it| it.starts_with("Stopped."))
                && !seen.can_stop
        })
        .await;
    system
        .model
        .aborted_seen(1)
        .await
        .expect("the model is left");

    system.model.push(Turn::text("Yes?"));
    browser.say("hello?").await;
    browser
        .sees("the next answer", |seen| {
            seen.replies == [part, "Yes?"] && !seen.can_stop
        })
        .await;
    browser.reload().await;
    browser
        .sees("all of it, stored", |seen| {
            seen.messages == ["go", "hello?"]
                && seen.replies == [part, "Yes?"]
                && seen.notices.len() == 1
                && seen.notices[0].starts_with("Stopped.")
        })
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_words_stay_words() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let image = "<img src=x onerror=alert(1)>";
    system
        .model
        .push(Turn::call("add_task", json!({"title": image})));
    let reply =
        format!("A link [x](javascript:alert(1)) and {image} and <script>alert(1)</script>");
    system.model.push(Turn::text(&reply));

    browser.sign_in(&system.url, "ada").await;
    browser.say(image).await;
    let words = format!("A link x and {image} and <script>alert(1)</script>");
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.messages == [image] && seen.replies == [words.as_str()] && !seen.can_stop
            })
            .await;
        browser
            .sees(look, |seen| {
                seen.tasks == [image] && seen.tools == [format!("Added “{image}”, done")]
            })
            .await;
        let intruders = "
            return [...document.querySelectorAll('img, script, a, iframe, object, embed, [onerror]')]
                .filter((element) => !element.matches('img[src^=\"/ui/\"][src$=\"/icon.svg\"], script[src^=\"/ui/\"], a[href^=\"#\"]'))
                .map((element) => element.outerHTML);";
        assert_eq!(browser.script(intruders).await, json!([]), "{look}");
        browser.reload().await;
    }
    browser.end(&[]).await;
}

/// The other tests would not notice if the log were deaf.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_the_browser_tells_of_every_kind_of_error() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    for window in [browser.window().await, browser.new_window().await] {
        browser.look_at(&window).await;
        browser.open(&system.url).await;
        assert_eq!(browser.errors().await, [""; 0]);
        let provoke = "
            console.error('said');
            setTimeout(() => { throw new Error('thrown'); });
            setTimeout(() => Promise.reject(new Error('rejected')));
            const script = document.createElement('script');
            script.textContent = 'document.title = \"run\"';
            document.body.append(script);
            fetch('/ui/nothing-there');
            return new Promise((resolve) => setTimeout(() => resolve(document.title), 200));";
        assert_ne!(browser.script(provoke).await, "run");
        let errors = browser.errors().await.join("\n");
        let policy = "violates the following Content Security Policy";
        for kind in ["said", "thrown", "rejected", policy, "404"] {
            assert!(errors.contains(kind), "no {kind:?} in {errors}");
        }
    }
    browser.end(&[]).await;
}

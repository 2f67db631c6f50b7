//! The page with a real Better Auth: accounts by the form, tokens that live for seconds, reloads, signing out, and a
//! provider that is away.

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::json;

use super::chrome::Browser;
use crate::system::{
    Answer, Options, TestSystem,
    better_auth::{BetterAuth, PASSWORD, email},
};

/// What the browser logs when nobody is signed in yet, or with a wrong password.
const UNAUTHORIZED: &str = "the server responded with a status of 401";

/// A browser, a provider whose tokens live for so long, and an API with a worker. None where one cannot be had.
async fn set_up(lifetime: &str) -> Option<(Browser, BetterAuth, TestSystem)> {
    let mut provider = BetterAuth::prepare().await?;
    let browser = Browser::start().await?;
    let system = TestSystem::with(Options {
        issuer: Some(provider.url().to_owned()),
        ..Options::default()
    })
    .await;
    run(&mut provider, &system, lifetime).await;
    Some((browser, provider, system))
}

/// Starts the provider for this page, under both names of its address.
async fn run(provider: &mut BetterAuth, system: &TestSystem, lifetime: &str) {
    let origins = format!("{},{}", system.url, by_other_name(system));
    let environment = [("TRUSTED_ORIGINS", &*origins), ("TOKEN_LIFETIME", lifetime)];
    provider.run(&environment).await;
}

/// The page under a name that makes it another site than the provider.
fn by_other_name(system: &TestSystem) -> String {
    system.url.replace("127.0.0.1", "localhost")
}

impl Browser {
    async fn submit(&self, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            self.type_into(&format!("#sign-in-{name}"), text).await;
        }
        self.click("#gate button[type=submit]").await;
    }

    async fn sign_up(&self, name: &str) {
        self.click(".gate-other button").await;
        let email = email(name);
        self.submit(&[("name", name), ("email", &email), ("password", PASSWORD)])
            .await;
        self.is_in(name).await;
    }

    async fn is_in(&self, name: &str) {
        self.finds("#user-name", name).await;
    }

    /// Waits until the elements of a selector that can be seen have this text in them.
    async fn finds(&self, selector: &str, text: &str) {
        let script = format!(
            "return [...document.querySelectorAll({selector:?})].filter((it) => it.checkVisibility()).map((it) => it.innerText).join()"
        );
        self.until(&format!("{text:?} in {selector}"), async || {
            let seen = self.script(&script).await;
            seen.as_str().is_some_and(|seen| seen.contains(text))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_account_to_signing_out() {
    let Some((browser, provider, system)) = set_up("6s").await else {
        return;
    };
    browser.open(&system.url).await;
    browser.finds("h1", "Welcome back").await;
    // From here on the page's sockets are counted: it needs one.
    let count = "window.sockets = 0; window.WebSocket = new Proxy(WebSocket, \
                 { construct: (target, given) => { window.sockets++; return new target(...given); } });";
    browser.script(count).await;
    browser.sign_up("Ada").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Milk is on your list."));
    browser.say("add buy milk").await;
    browser
        .sees("the reply", |seen| {
            seen.replies == ["Milk is on your list."] && seen.tasks == ["buy milk"]
        })
        .await;

    // Three lives of a token later the page is where it was, on the same socket.
    let begun = provider.requests("token").await;
    browser
        .until("six renewals", async || {
            provider.requests("token").await >= begun + 6
        })
        .await;
    system.model.push(Turn::text("Yes."));
    browser.say("still there?").await;
    browser
        .sees("the second reply", |seen| seen.replies.len() == 2)
        .await;
    assert_eq!(browser.script("return window.sockets").await, 1);

    // The session outlives a reload, without a word typed; nothing else is kept where scripts could find it.
    browser.reload().await;
    browser.is_in("Ada").await;
    browser
        .sees("the conversation", |seen| {
            seen.messages == ["add buy milk", "still there?"] && seen.tasks == ["buy milk"]
        })
        .await;
    let kept = "return document.cookie + JSON.stringify(Object.values(localStorage)) + JSON.stringify(Object.values(sessionStorage))";
    let kept = browser.script(kept).await;
    let kept = kept.as_str().expect("a text");
    assert!(!kept.contains("eyJ") && !kept.contains("session"), "{kept}");

    browser.click("#sign-out").await;
    browser.finds("h1", "Welcome back").await;
    browser.reload().await;
    browser.finds("h1", "Welcome back").await;
    assert_eq!(provider.sessions().await, 0);

    let email = email("Ada");
    browser
        .submit(&[("email", &email), ("password", "not this one")])
        .await;
    browser
        .finds(
            "[role=alert]",
            "The e-mail address or the password is wrong.",
        )
        .await;
    let focus = "return document.activeElement.id + document.activeElement.ariaInvalid";
    assert_eq!(browser.script(focus).await, "sign-in-passwordtrue");
    // What is wrong is selected, so typing replaces it.
    browser.type_into("#sign-in-password", PASSWORD).await;
    browser.click("#gate button[type=submit]").await;
    browser.is_in("Ada").await;
    browser
        .sees("the task again", |seen| seen.tasks == ["buy milk"])
        .await;
    browser.end(&[UNAUTHORIZED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_in_one_window_is_signing_out_in_all() {
    // No token ends while this lasts: a window that still had one would go on.
    let Some((browser, provider, system)) = set_up("15m").await else {
        return;
    };
    let (first, second) = (browser.window().await, browser.new_window().await);
    browser.open(&system.url).await;
    browser.finds("h1", "Welcome back").await;
    browser.sign_up("Ada").await;
    browser.look_at(&second).await;
    browser.open(&system.url).await;
    browser.is_in("Ada").await;
    browser.look_at(&first).await;
    browser.click("#sign-out").await;
    for window in [&second, &first] {
        browser.look_at(window).await;
        browser.finds("h1", "Welcome back").await;
    }
    assert_eq!(provider.sessions().await, 0);
    browser.end(&[UNAUTHORIZED]).await;
}

/// Whoever sits there next goes back and finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_after_signing_out_shows_nothing() {
    let Some((browser, _provider, system)) = set_up("15m").await else {
        return;
    };
    browser.open(&format!("{}/ui/icon.svg", system.url)).await;
    browser.open(&system.url).await;
    browser.finds("h1", "Welcome back").await;
    browser.sign_up("Ada").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "a secret task"})));
    system.model.push(Turn::text("A secret is on your list."));
    browser.say("add a secret task").await;
    browser
        .sees("the reply", |seen| {
            seen.replies.len() == 1 && seen.tasks == ["a secret task"] && !seen.can_stop
        })
        .await;
    // Another page of the same site and back: a page that is shown as it was left still knows who is there.
    browser.open(&format!("{}/docs/", system.url)).await;
    browser.post("/back", json!({})).await;
    browser
        .sees("the conversation", |seen| seen.tasks == ["a secret task"])
        .await;
    // The page as it is left: what a browser may keep of it is empty.
    let watch = "window.addEventListener('pagehide', () => sessionStorage.setItem('left', document.title + document.body.textContent));";
    browser.script(watch).await;
    browser.click("#sign-out").await;
    browser.finds("h1", "Welcome back").await;
    let left = browser
        .script("return sessionStorage.getItem('left')")
        .await;
    let left = left.as_str().expect("a text").to_owned();
    assert!(!left.contains("secret") && !left.contains("Ada"), "{left}");
    for _ in 0..3 {
        browser.post("/back", json!({})).await;
        if browser.address().await.ends_with("icon.svg") {
            break;
        }
        browser.finds("h1", "Welcome back").await;
        let text = browser
            .script("return document.title + document.body.textContent")
            .await;
        let text = text.as_str().expect("a text");
        assert!(!text.contains("secret"), "{text}");
    }
    let page = Answer::of(system.bare(Method::GET, "/")).await;
    assert_eq!(page.header("cache-control"), "no-store");
    browser.end(&[UNAUTHORIZED, "favicon.ico"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_renewed() {
    let Some((browser, provider, system)) = set_up("15m").await else {
        return;
    };
    browser.open(&system.url).await;
    browser.finds("h1", "Welcome back").await;
    browser.sign_up("Ada").await;
    browser
        .sees("no trouble", |seen| seen.connection.is_empty())
        .await;
    let begun = provider.requests("token").await;
    // The next request carries a token that the API refuses.
    let spoil = "const honest = window.fetch; window.fetch = (url, init) => {
        if (!init?.headers?.authorization) return honest(url, init);
        window.fetch = honest;
        return honest(url, { ...init, headers: { ...init.headers, authorization: 'Bearer spoiled' } });
    }; window.spoiled = window.fetch; window.dispatchEvent(new Event('focus'));";
    browser.script(spoil).await;
    browser
        .until("a renewal", async || {
            provider.requests("token").await > begun
        })
        .await;
    let used = "return window.fetch !== window.spoiled";
    assert_eq!(browser.script(used).await, true);
    assert_eq!(provider.requests("token").await, begun + 1);
    system.model.push(Turn::text("Hello."));
    browser.say("hi").await;
    browser
        .sees("the reply", |seen| seen.replies == ["Hello."])
        .await;
    browser.end(&[UNAUTHORIZED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_waited_for() {
    let Some((browser, mut provider, system)) = set_up("4s").await else {
        return;
    };
    browser.open(&system.url).await;
    browser.finds("h1", "Welcome back").await;
    browser.sign_up("Ada").await;
    system.model.push(Turn::text("Hello."));
    browser.say("hi").await;
    browser
        .sees("the first reply, so a socket", |seen| {
            seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;

    // With the token's life the socket ends (4401), and there is no other token.
    provider.stop().await;
    browser
        .sees("that the connection is gone", |seen| {
            seen.connection.contains("Reconnecting")
        })
        .await;
    system.model.push(Turn::text("At last."));
    browser.say("anybody there?").await;
    run(&mut provider, &system, "4s").await;
    browser
        .sees("the answer to what was written meanwhile", |seen| {
            seen.replies == ["Hello.", "At last."] && seen.messages == ["hi", "anybody there?"]
        })
        .await;

    // Who signs out while nobody hears it is not signed in again by the cookie.
    provider.stop().await;
    browser.click("#sign-out").await;
    browser.finds("h1", "Welcome back").await;
    browser
        .submit(&[("email", &email("Ada")), ("password", PASSWORD)])
        .await;
    browser
        .finds("[role=alert]", "The sign-in service cannot be reached.")
        .await;
    run(&mut provider, &system, "4s").await;
    assert_eq!(provider.sessions().await, 1);
    browser.reload().await;
    browser.finds("h1", "Welcome back").await;
    assert_eq!(provider.sessions().await, 0);
    browser
        .submit(&[("email", &email("Ada")), ("password", PASSWORD)])
        .await;
    browser.is_in("Ada").await;

    // A visit that finds no provider says so.
    provider.stop().await;
    browser.reload().await;
    browser.finds("h1", "Signing in is not possible now").await;
    run(&mut provider, &system, "4s").await;
    browser.click("#gate button").await;
    browser.is_in("Ada").await;
    browser.end(&[UNAUTHORIZED, "net::ERR_"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_cookie_says_so() {
    let Some((browser, provider, system)) = set_up("15m").await else {
        return;
    };
    provider.member("Ada").await;
    // Another site than the provider, as far as cookies are concerned.
    browser.open(&by_other_name(&system)).await;
    browser
        .submit(&[("email", &email("Ada")), ("password", PASSWORD)])
        .await;
    let host = provider.url().trim_start_matches("http://");
    let words = format!("Your browser keeps no cookies of {host}.");
    browser.finds("[role=alert]", &words).await;
    browser.end(&[UNAUTHORIZED]).await;
}

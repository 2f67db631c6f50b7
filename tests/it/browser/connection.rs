//! What is said about the connection, and when.

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;
use errand_devkit::proxy::Proxy;

#[tokio::test(flavor = "multi_thread")]
async fn offline_is_said_at_once() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    let settled = "return document.querySelector('#connection').innerText";
    browser.shows(settled, "").await;
    // What is to be read a moment after the browser has noticed. The socket has not, and will not for a while.
    let listen = "
        window.addEventListener('offline', () => setTimeout(() => {
            window.saidWhenOffline = document.querySelector('#connection').innerText;
        }, 50));";
    browser.script(listen).await;
    browser.be_offline(true).await;
    browser
        .shows(
            "return window.saidWhenOffline ?? ''",
            "You are offline. Messages you write are kept and sent later.",
        )
        .await;
    browser.picture("offline").await;
    browser.be_offline(false).await;
    browser.shows(settled, "").await;
    browser.end(&["net::ERR_", "WebSocket connection to"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_connection_is_none_that_is_back() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let network = Proxy::open(&format!("{}/", system.url))
        .await
        .expect("a proxy");
    browser.open(network.url()).await;
    // Loaded, and now there is no way to the server for a while.
    browser.type_into("#sign-in-name", "ada").await;
    let listen = "
        window.said = [];
        const bar = document.querySelector('#connection');
        new MutationObserver(() => window.said.push(bar.textContent)).observe(bar, {childList: true, subtree: true, characterData: true});";
    browser.script(listen).await;
    network.close();
    browser.click("#gate button[type=submit]").await;
    let waited = "return String(window.said.some((words) => words.includes('Connecting')))";
    browser.shows(waited, "true").await;
    network.reopen();
    let settled = "return String(window.said.length > 1 && window.said.at(-1) === '')";
    browser.shows(settled, "true").await;
    let again = "return window.said.filter((words) => words.includes('again')).join()";
    browser.shows(again, "").await;
    browser.end(&["net::ERR_", "WebSocket connection to"]).await;
}

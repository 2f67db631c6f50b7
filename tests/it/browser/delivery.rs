//! How the page arrives: how much of it, how soon something is seen, and what a browser keeps.

use reqwest::Method;
use serde_json::{Value, json};

use super::{by_name, chrome::Browser};
use crate::system::{Answer, TestSystem};

/// Bytes that a first visit may transfer, headers included.
const MAX_WEIGHT: u64 = 150 * 1024;

/// Requests that it may take.
const MAX_FILES: u64 = 14;

/// What was fetched since the page was opened, and when something was painted first.
const FETCHED: &str = "
    const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const own = entries.filter(({ name }) => !name.includes('/api/') && !name.includes('/mcp') && name.startsWith(location.origin));
    const calls = performance.getEntriesByType('resource').filter((entry) => !own.includes(entry));
    return {
        weight: own.reduce((sum, { transferSize }) => sum + transferSize, 0),
        files: own.length,
        fetched: own.filter(({ transferSize }) => transferSize > 0).map(({ name }) => name),
        painted: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
        answered: calls.length ? Math.min(...calls.map(({ responseEnd }) => responseEnd)) : null,
    };";

#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_is_light_and_the_next_one_fetches_the_page_alone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    let first = browser.script(FETCHED).await;
    let weight = first["weight"].as_u64().expect("a weight");
    assert!((20_000..MAX_WEIGHT).contains(&weight), "{first}");
    let files = first["files"].as_u64().expect("a count");
    assert!((5..=MAX_FILES).contains(&files), "{first}");

    // Now the user is known, and the page begins with requests to the API, over a network as people have it.
    let conditions =
        json!({"offline": false, "latency": 400, "downloadThroughput": -1, "uploadThroughput": -1});
    browser.tell("Network.enable", json!({})).await;
    browser
        .tell("Network.emulateNetworkConditions", conditions)
        .await;
    browser.open(&format!("{}/?again", system.url)).await;
    browser
        .shows(
            "return document.querySelector('#user-name').innerText",
            "ada",
        )
        .await;
    browser
        .until("a paint, and an answer", async || {
            let seen = browser.script(FETCHED).await;
            seen["painted"].is_number() && seen["answered"].is_number()
        })
        .await;
    let again = browser.script(FETCHED).await;
    assert!(
        again["painted"].as_f64() < again["answered"].as_f64(),
        "painted only after an answer of the API: {again}"
    );
    let fetched = again["fetched"].as_array().expect("a list");
    assert!(
        fetched
            .iter()
            .all(|name| *name == format!("{}/?again", system.url)),
        "files that were there: {again}"
    );
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_compressed_and_kept_under_their_version_only() {
    let system = TestSystem::with(by_name()).await;
    let get = async |path: &str, encodings: &str| {
        let request = system
            .bare(Method::GET, path)
            .header("accept-encoding", encodings);
        request.send().await.expect("an answer")
    };
    let page = get("/", "identity").await;
    assert_eq!(page.headers()["cache-control"], "no-store");
    let page = page.text().await.expect("a page");
    let start = page.find("/ui/").expect("a file") + "/ui/".len();
    let version = &page[start..start + 16];
    let plain = get(&format!("/ui/{version}/app.js"), "identity").await;
    assert!(plain.headers().get("content-encoding").is_none());
    let tag = plain.headers()["etag"].clone();
    let plain = plain.bytes().await.expect("a file");
    for (offer, encoding) in [
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
    ] {
        let answer = get(&format!("/ui/{version}/app.js"), offer).await;
        let headers = answer.headers();
        assert_eq!(headers["content-encoding"], encoding, "{offer}");
        assert_eq!(headers["vary"], "accept-encoding");
        assert!(
            headers["cache-control"]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        assert_ne!(headers["etag"], tag);
        let body = answer.bytes().await.expect("a file");
        assert!(body.len() * 2 < plain.len(), "{offer}: {}", body.len());
    }
    // A process of another version has this page's files, as far as it knows them; nobody keeps them.
    let path = "/ui/0123456789abcdef/app.js";
    let answer = get(path, "identity").await;
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    assert_eq!(answer.bytes().await.expect("a file"), plain);
    let known = system
        .bare(Method::GET, path)
        .header("if-none-match", &tag)
        .send();
    assert_eq!(known.await.expect("an answer").status(), 304);
    // By its name alone a file is as it was written.
    let written = get("/ui/app.js", "identity").await;
    assert_eq!(written.headers()["cache-control"], "no-cache");
    let written = written.text().await.expect("a file");
    assert!(written.contains("import { byId"), "{written:.200}");
    for path in [
        "/ui/0123456789abcdef/nothing.js",
        "/ui/nothing.js",
        "/ui/../Cargo.toml",
    ] {
        let request = system.bare(Method::GET, path);
        Answer::of(request).await.assert_error(404, "not_found");
    }
}

/// What a system asks for before it offers to install the page.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_be_installed() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.open(&system.url).await;
    let manifest = browser
        .script(
            "const { href } = document.querySelector('link[rel=manifest]');
             return fetch(href).then(async (answer) => {
                 const manifest = await answer.json();
                 const icons = await Promise.all(manifest.icons.map(async ({ src, sizes, type }) => {
                     const image = new Image();
                     image.src = new URL(src, href);
                     await image.decode();
                     return { sizes, type, width: image.naturalWidth };
                 }));
                 return { kind: answer.headers.get('content-type'), display: manifest.display, start: manifest.start_url, icons };
             });",
        )
        .await;
    assert_eq!(manifest["kind"], "application/manifest+json", "{manifest}");
    assert_eq!(manifest["display"], "standalone");
    assert_eq!(manifest["start"], "/");
    let icons: Vec<&Value> = manifest["icons"]
        .as_array()
        .expect("icons")
        .iter()
        .collect();
    for size in [192, 512] {
        let icon = icons.iter().find(|icon| icon["width"] == size);
        let icon = icon.unwrap_or_else(|| panic!("no icon of {size}: {manifest}"));
        assert_eq!(icon["sizes"], json!(format!("{size}x{size}")));
    }
    browser.end(&[]).await;
}

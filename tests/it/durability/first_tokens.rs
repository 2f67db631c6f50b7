//! A provider that takes a request and says nothing is passed over, however it keeps the connection open; one that reasons first is not.

use std::time::Duration;

use errand_devkit::model::Turn;

use crate::system::{Options, TestSystem};

const PATIENCE: &str = "1s";

async fn impatient(more: &[&'static str]) -> TestSystem {
    let mut worker = vec!["--model-first-token-timeout", PATIENCE];
    worker.extend(more);
    TestSystem::with(Options {
        worker,
        ..Options::default()
    })
    .await
}

/// What comes before the first token, in pieces that are 200 ms apart.
fn slowly(piece: &str, pieces: usize, end: &str) -> Turn {
    let pieces = std::iter::repeat_n(piece.to_owned(), pieces).chain([end.to_owned()]);
    Turn::raw(pieces).chunk_every(Duration::from_millis(200))
}

const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Late.\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_model_is_passed_over_and_not_asked_again() {
    let system = impatient(&["--openai-fallback-models", "second"]).await;
    let long = Duration::from_secs(60);
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let cases = [
        ("no status", Turn::text("Late.").first_byte_after(long)),
        ("no byte", Turn::raw([END]).stall_after(0)),
        ("the role alone", Turn::text("Late.").stall_after(1)),
        ("comments", slowly(": OPENROUTER PROCESSING\n\n", 100, END)),
        ("empty deltas", slowly(role, 100, END)),
    ];
    for (name, silent) in cases {
        let before = system.model.request_count();
        system.model.push(silent);
        system.model.push(Turn::text("Instead."));
        let answer = system.say(name, name).await;
        assert_eq!(answer.assert_ok()["response"], "Instead.", "{name}");
        assert_eq!(system.model.request_count(), before + 2, "{name}");
        // It answers in between, so its circuit stays closed.
        system.model.push(Turn::text("Well."));
        system.say(name, "hello").await.assert_ok();
        let asked = system.model.requests().pop().expect("a request");
        assert_eq!(asked["model"], "scripted", "{name}");
    }
    system
        .model
        .aborted_seen(5)
        .await
        .expect("what was given up is hung up");
}

/// Time to the first token is not time to the end, and reasoning that is shown is a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_reasons_or_speaks_slowly_is_heard_out() {
    let system = impatient(&["--openai-fallback-models", "second"]).await;
    let reasoning = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"Well, \"}}]}\n\n";
    let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"so \"}}]}\n\n";
    for (name, piece) in [("reasoning", reasoning), ("words", word)] {
        let before = system.model.request_count();
        system.model.push(slowly(piece, 10, END));
        let answer = system.say(name, name).await;
        let response = answer.assert_ok()["response"].as_str().expect("a text");
        assert!(response.ends_with("Late."), "{name}: {response}");
        assert_eq!(system.model.request_count(), before + 1, "{name}");
    }
}

/// Without another model the same one is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_fallback_it_is_tried_again() {
    let system = impatient(&[]).await;
    system.model.push(Turn::text("Late.").stall_after(1));
    system.model.push(Turn::text("Done."));
    assert_eq!(
        system.say("ada", "hello").await.assert_ok()["response"],
        "Done."
    );
    assert_eq!(system.model.request_count(), 2);
}

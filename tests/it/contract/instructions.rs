//! An operator's own instructions and temperature, from a file with variables.

use errand_devkit::model::{Turn, request};

use crate::system::{Options, TestSystem, file};

#[tokio::test(flavor = "multi_thread")]
async fn instructions_and_temperature_come_from_a_file_and_are_the_same_for_every_turn() {
    let text = "---\ntemperature: 0.25\n---\nYou work for {{ company }}.\n\n{{ built_in }}\n";
    let system = TestSystem::with(Options {
        worker: vec![
            "--agent-instructions-file",
            file("instructions.md", text),
            "--agent-variables",
            "company=Acme, tone=dry",
        ],
        ..Options::default()
    })
    .await;
    for (user, message) in [("ada", "hello"), ("bob", "good morning")] {
        system.model.push(Turn::text("Hello."));
        system.say(user, message).await.assert_ok();
    }
    let requests = system.model.requests();
    let prompts: Vec<String> = requests
        .iter()
        .map(|asked| request::content(&request::messages(asked)[0]))
        .collect();
    assert!(
        prompts[0].starts_with("You work for Acme.\n\nYou are Errand"),
        "{}",
        prompts[0]
    );
    assert_eq!(prompts[0], prompts[1]);
    assert!(requests.iter().all(|asked| asked["temperature"] == 0.25));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_no_temperature_is_sent() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
    let asked = &system.model.requests()[0];
    assert!(asked.get("temperature").is_none());
    assert!(request::content(&request::messages(asked)[0]).starts_with("You are Errand"));
}

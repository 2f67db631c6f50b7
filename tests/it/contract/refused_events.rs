//! Events that the database refuses for good: what is wrong with one run is no trouble of the others.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn, request};
use serde_json::json;

use crate::system::{
    Answer, Options, TestSystem,
    events::{assert_well_formed, stored, text},
    rows,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_events_are_refused_stops_no_other() {
    let system = TestSystem::with(Options {
        worker: vec!["--max-attempts", "1"],
        ..Options::default()
    })
    .await;
    let poison =
        "alter table run_events add constraint no_poison check (event::text not like '%poison%')";
    rows::execute(&system.db, poison).await;
    // Both speak at the same moments, so that words of both are in one batch.
    let (bad, good) = (Gate::closed(), Gate::closed());
    let gates = [bad.clone(), good.clone()];
    let words = "one two three four ".repeat(10);
    let said = words.clone();
    system
        .model
        .script(move |request| match request::last_user(request).as_str() {
            "bad" => Turn::text("this is poison for the table")
                .gate_after(1, &gates[0])
                .stall_after(9),
            _ => Turn::text(said.clone())
                .chunk_every(Duration::from_millis(40))
                .gate_after(1, &gates[1]),
        });
    let accept = async |user: &str, message: &str| {
        let request = system.post_chat(user, &json!({"message": message}));
        let accepted = Answer::of(request.header("prefer", "respond-async")).await;
        accepted.body["run_id"].as_str().expect("a run").to_owned()
    };
    let (refused, run) = (accept("eve", "bad").await, accept("ada", "good").await);
    for gate in [&bad, &good] {
        gate.reached(1).await.expect("both are asked");
    }
    bad.open();
    good.open();
    let answer = system.get("ada", &format!("runs/{run}?wait=20")).await;
    assert_eq!(answer.assert_ok()["status"], "completed", "{}", answer.body);
    assert_eq!(answer.body["attempt"], 1, "it was not disturbed");
    let events = stored(&system, &run).await;
    assert_well_formed(&events);
    assert_eq!(text(&events), words);
    // The other one ends, and says so.
    let answer = system.get("eve", &format!("runs/{refused}?wait=20")).await;
    assert_eq!(answer.assert_ok()["status"], "failed", "{}", answer.body);
    assert_well_formed(&stored(&system, &refused).await);
}

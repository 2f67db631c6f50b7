//! The fault campaign in short: it holds, and it would notice if it did not.
//!
//! `tests/bench/chaos` is the program. Only the invariants count here: its bounds on time and on failures are those of a
//! machine with nothing else to do, which one that runs all tests at once is not.
//!
//! The longest of all tests by far; tests begin in the order of their names, and the first to begin is not the last to end.

use std::time::Duration;

use errand_devkit::process;

use tokio::process::Command;

use crate::system::process::development;

/// Building the programs with their fail points included.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs the campaign; whether it ended well, and what it said.
async fn campaign(arguments: &[&str]) -> (bool, String) {
    let mut chaos = Command::new(development().await.join("chaos"));
    let output = process::output(chaos.args(arguments), PATIENCE).await;
    let (status, said) = output.expect("starts, and ends in time");
    (status.success(), said)
}

/// One after the other and so one test: each is a house of ten processes, and a test that waits for another keeps a thread from
/// the rest.
#[tokio::test(flavor = "multi_thread")]
async fn faults_violate_nothing_and_a_missing_safeguard_is_noticed() {
    half_a_minute_of_faults_violates_nothing().await;
    without_the_key_of_a_tool_call_it_finds_violations().await;
    without_the_fence_it_finds_violations().await;
}

async fn half_a_minute_of_faults_violates_nothing() {
    let (held, said) = campaign(&["--seconds", "30", "--seed", "1", "--only-invariants"]).await;
    assert!(held, "{said}");
    assert!(said.contains("\n0 violations"), "{said}");
}

/// Zombies are rare enough to miss a short campaign, so there are some.
async fn without_the_fence_it_finds_violations() {
    let mut last = String::new();
    for seed in ["7", "8", "9", "10", "11"] {
        let arguments = ["--seconds", "15", "--mutate", "fence", "--clients", "36"];
        let (held, said) = campaign(&[&arguments[..], &["--seed", seed]].concat()).await;
        // What a zombie writes comes after the end, or is an end of its own.
        let written = ["I2 written after the end", "I3 not one end in the events"];
        if !held && written.iter().any(|violation| said.contains(violation)) {
            return;
        }
        last = said;
    }
    panic!("{last}");
}

async fn without_the_key_of_a_tool_call_it_finds_violations() {
    let (held, said) = campaign(&["--seconds", "15", "--mutate", "tool-key"]).await;
    assert!(!held, "{said}");
    assert!(said.contains("I2 an effect twice"), "{said}");
}

//! The short form of the abuse suite: one account does each thing with all its might beside a quiet user, against the programs
//! as they ship.
//!
//! `tests/bench/abuse` is the program. Here only what does not depend on the machine is judged: no answer of the quiet user is 5xx,
//! and the memory of each process comes back. How long the quiet user's turns take is measured by hand, without other tests beside.

use std::process::Stdio;

use errand_devkit::process;
use tokio::process::Command;

use crate::system::{PATIENCE, process::development};

#[tokio::test(flavor = "multi_thread")]
async fn one_account_with_all_its_might_costs_a_quiet_user_no_answer() {
    let mut abuse = Command::new(development().await.join("abuse"));
    let arguments = ["--seconds", "1", "--at-once", "16", "--max-ratio", "0"];
    abuse.args(arguments).stdin(Stdio::null());
    let output = process::output(&mut abuse, 12 * PATIENCE).await;
    let (status, said) = output.expect("starts, and ends in time");
    assert!(status.success(), "{said}");
}

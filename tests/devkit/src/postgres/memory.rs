//! Where data lies that is thrown away: in memory, if there is much of it.
//!
//! A database is nine hundred files, and every test makes and removes one. That costs the file system of a disk more than all that tests ask of
//! their databases.

use std::{fs, path::PathBuf, process::Command};

/// A file system in memory, where Linux has one.
const FOLDER: &str = "/dev/shm";

/// KiB that have to be free there, and in the machine: several times what the tests ever need.
const ROOM: u64 = 6 << 20;
const FREE: u64 = 10 << 20;

/// The folder, if there is room for the databases of a run of tests.
pub(super) fn folder() -> Option<PathBuf> {
    let there_is = room()? >= ROOM && free()? >= FREE;
    there_is.then(|| PathBuf::from(FOLDER))
}

/// KiB that are free in the folder.
fn room() -> Option<u64> {
    let df = Command::new("df").args(["-Pk", FOLDER]).output().ok()?;
    let said = String::from_utf8(df.stdout).ok()?;
    let line = said.lines().nth(1)?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// KiB of memory that programs may still take.
fn free() -> Option<u64> {
    let told = fs::read_to_string("/proc/meminfo").ok()?;
    let line = told
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

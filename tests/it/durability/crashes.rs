//! A server that restarts, crashes or fills its disk under load. Each test has a cluster of its own.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use errand_devkit::{
    postgres::{Cluster, ClusterOptions, Shutdown},
    system::migrated,
};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use crate::system::{Answer, Options, TestSystem, load::Load};

/// What is promised after the database is back, and what a test adds for the work itself.
const RECOVERY: Duration = Duration::from_secs(15);

/// No limits that the load would run into.
const UNLIMITED: [&str; 4] = ["--rate-runs-per-minute", "0", "--max-active-runs", "0"];

async fn cluster() -> (Cluster, String) {
    let cluster = Cluster::start(ClusterOptions::throwaway()).await.unwrap();
    let url = migrated(&cluster, "errand").await.unwrap();
    // A crash must not forget what was committed; the fast settings of a throwaway cluster would.
    run(&url, "alter database errand set synchronous_commit = on")
        .await
        .unwrap();
    (cluster, url)
}

async fn run(url: &str, statement: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(statement).execute(&mut connection).await?;
    connection.close().await
}

async fn system(url: &str) -> Arc<TestSystem> {
    let options = Options {
        api: UNLIMITED.to_vec(),
        workers: Some(2),
        ..Options::default()
    };
    Arc::new(TestSystem::on(url, options).await)
}

/// Before its cluster goes.
async fn stop(system: Arc<TestSystem>) {
    let system = Arc::into_inner(system).expect("no client is left");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes_under_load_lose_nothing() {
    let (mut cluster, url) = cluster().await;
    let system = system(&url).await;
    let load = Load::start(&system, 6);
    load.until_answered(Instant::now(), RECOVERY).await;
    let trouble = [
        (Shutdown::Fast, Duration::ZERO),
        (Shutdown::Immediate, Duration::ZERO),
        (Shutdown::Fast, Duration::from_secs(10)),
    ];
    for (how, outage) in trouble {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.shut_down(how).await.unwrap();
        tokio::time::sleep(outage).await;
        cluster.start_again().await.unwrap();
        load.until_answered(Instant::now(), RECOVERY).await;
    }
    load.finish(&system).await;
    stop(system).await;
}

/// The write-ahead log lies on a disk of its own, which fills up and is freed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_503_and_nothing_accepted_is_lost() {
    let (mut cluster, url) = cluster().await;
    let small = "alter system set max_wal_size = '32MB'";
    run(&cluster.admin_url("errand"), small).await.unwrap();
    cluster.shut_down(Shutdown::Fast).await.unwrap();
    let disk = match Disk::under_the_log_of(cluster.data_dir()) {
        Ok(disk) => disk,
        Err(reason) => return skip(&reason),
    };
    cluster.start_again().await.unwrap();
    let system = system(&url).await;
    let load = Load::start(&system, 6);
    load.until_answered(Instant::now(), RECOVERY).await;

    disk.fill();
    let deadline = Instant::now() + 3 * RECOVERY;
    loop {
        let message = json!({"message": "is there room?"});
        let request = system.post_chat("ada", &message);
        let answer = Answer::of(request.header("prefer", "respond-async")).await;
        if answer.status != 202 {
            answer.assert_error(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            break;
        }
        assert!(Instant::now() < deadline, "the disk is never full");
        // Takes a new file of the log, which is for the superuser to do.
        let next = "select pg_logical_emit_message(false, 'full', 'x'), pg_switch_wal()";
        let admin = cluster.admin_url("errand");
        let _ = tokio::time::timeout(Duration::from_secs(1), run(&admin, next)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;

    disk.free();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // It may have given up while it recovered from its crash. Then its service manager would start it again.
    if !cluster.is_up().unwrap() {
        cluster.start_again().await.unwrap();
    }
    load.until_answered(Instant::now(), RECOVERY).await;
    load.finish(&system).await;
    stop(system).await;
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn skip(reason: &str) {
    eprintln!("skipped: no small disk may be mounted here ({reason})");
}

/// A small disk below `pg_wal`. Unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Moves the log of a server that is down.
    fn under_the_log_of(data: &Path) -> Result<Self, String> {
        let dir = data.with_file_name("wal-disk");
        fs::create_dir(&dir).map_err(|error| error.to_string())?;
        let mounted = "mount -t tmpfs -o size=80m,mode=0711 tmpfs \"$1\"";
        shell(mounted, &dir, data)?;
        let disk = Self(dir);
        let moved = "cp -a \"$2/pg_wal\" \"$1/\" && rm -r \"$2/pg_wal\" && ln -s \"$1/pg_wal\" \"$2/pg_wal\"";
        shell(moved, &disk.0, data).map(|()| disk)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may still use it.
        let _ = shell("umount -l \"$1\"", &self.0, Path::new(""));
    }
}

fn shell(script: &str, disk: &Path, data: &Path) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([disk, data])
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

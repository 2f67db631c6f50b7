//! A database for each test, cloned from a migrated template on one server for all of them.

use std::{
    cell::RefCell,
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use errand_devkit::{
    postgres::{Cluster, ClusterOptions},
    system::migrated,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "template_errand";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The cluster that all tests of this run share, with a migrated template. It goes when this process does.
async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            let cluster = Cluster::start(ClusterOptions::throwaway())
                .await
                .expect("a private Postgres");
            migrated(&cluster, TEMPLATE).await.expect("the template");
            cluster
        })
        .await
}

/// Databases whose test has ended: the next one to be made takes them away.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// What the test of this thread has made. A test has a thread of its own, which ends with it.
    static MADE: RefCell<MadeHere> = const { RefCell::new(MadeHere(Vec::new())) };
}

struct MadeHere(Vec<String>);

impl Drop for MadeHere {
    fn drop(&mut self) {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        ended.append(&mut self.0);
    }
}

/// A connection of the superuser, by which databases are made. The databases of tests that have ended are gone then: some hundreds of
/// them would fill 3 GB.
#[expect(clippy::print_stderr, reason = "whoever looks at the disk should know")]
async fn admin() -> PgConnection {
    let cluster = cluster().await;
    let mut admin = PgConnection::connect(&cluster.admin_url("postgres"))
        .await
        .unwrap_or_else(|error| panic!("{error}; {}", cluster.log_tail()));
    let ended = mem::take(&mut *ENDED.lock().unwrap_or_else(PoisonError::into_inner));
    for name in ended {
        let drop = format!("drop database if exists {name} with (force)");
        // Whoever still goes away there may hold it for a moment; a database that stays costs room and nothing else.
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await {
            eprintln!("{name} stays: {error}");
        }
    }
    admin
}

/// A name for a database of the test that runs on this thread.
fn new_name(prefix: &str) -> String {
    let name = format!("{prefix}_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    MADE.with_borrow_mut(|made| made.0.push(name.clone()));
    name
}

/// A new, migrated database; returns its URL. It goes some time after the test has ended.
pub(crate) async fn database() -> String {
    let cluster = cluster().await;
    let mut admin = admin().await;
    let name = new_name("test");
    // As files: through the write-ahead log, which is the default, a small database takes twice as long.
    let strategy = match admin.server_version_num() {
        Some(150_000..) => " strategy file_copy",
        _ => "",
    };
    let create = format!("create database {name} template {TEMPLATE} owner errand_app{strategy}");
    // A template with another clone under way is "being accessed by other users".
    for _ in 0..100 {
        match sqlx::raw_sql(AssertSqlSafe(create.clone()))
            .execute(&mut admin)
            .await
        {
            Ok(_) => return cluster.url(&name),
            Err(error) if error.to_string().contains("being accessed") => {}
            Err(error) => panic!("{create}: {error}; {}", cluster.log_tail()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the template is never free");
}

/// The same database for the superuser of the cluster.
pub(crate) fn as_superuser(url: &str) -> String {
    url.replacen("//errand_app@", "//errand@", 1)
}

/// A new database without any table; returns its URL.
pub(crate) async fn empty_database() -> String {
    let cluster = cluster().await;
    let name = new_name("empty");
    cluster
        .ensure_database(&name)
        .await
        .expect("an empty database");
    cluster.url(&name)
}

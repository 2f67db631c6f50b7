//! Plans: how the database would do each query of the programs, without figures, so that two moments can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// The claim, which is apalis's own.
const CLAIM: &str = "select id from apalis.jobs
    where (status = 'Pending' or (status = 'Failed' and attempts < max_attempts)) and run_at < now() and job_type = $1
    order by priority desc, run_at asc limit $2 for update skip locked";

/// Parts of queries that no user's transaction makes.
const OWNERS: [&str; 7] = [
    "skip locked",
    "purge_cursors",
    "statement_timestamp())::float8",
    "(finished_at, id) >",
    "as u (run_id, job_id)",
    "with job as",
    "from unnest($1::uuid[], $2::bigint[]) as w",
];

/// Indexes of which one is as good as the other: by id, by a user's runs as a whole, by the runs at work of a user or a conversation, by
/// the jobs of a worker.
const ALIKE: [(&str, &str); 7] = [
    ("runs_id_user_id_key", "runs_pkey"),
    ("conversations_id_user_id_key", "conversations_pkey"),
    ("runs_idempotency_key_key", "runs_by_user_and_time"),
    ("runs_admitted_by_user", "runs_unfinished_by_conversation"),
    ("runs_one_at_a_time", "runs_unfinished_by_conversation"),
    ("lidx", "idx_apalis_jobs_lock_by"),
    ("jobs_held_by_worker", "jobs_pkey"),
];

/// Tables of a handful of rows.
const SMALL: [&str; 3] = ["workers", "periodic_work", "purge_cursors"];

/// Plans by who asks and what.
pub(crate) struct Plans(BTreeMap<(&'static str, String), String>);

impl Plans {
    /// Plans every query of the committed query data (`.sqlx`), for any parameters, as the tables' owner and as a user.
    pub(crate) async fn read(url: &str) -> Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let mut plans = BTreeMap::new();
        for (query, parameters) in queries()? {
            let is_owners = OWNERS.iter().any(|part| query.contains(part));
            for who in ["owner", "user"] {
                if is_owners && who == "user" {
                    continue;
                }
                if let Some(plan) = explain(&mut db, who, &query, parameters).await? {
                    plans.insert((who, query.clone()), plan);
                }
            }
        }
        db.close().await?;
        Ok(Self(plans))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Prints which queries take a way later that they did not take; how many.
    pub(crate) fn report_changes(&self, later: &Self, when: &str) -> usize {
        let changed: Vec<_> = self
            .0
            .iter()
            .filter_map(|(query, plan)| {
                let now = later.0.get(query)?;
                (!ways(now).is_subset(&ways(plan))).then_some((query, plan, now))
            })
            .collect();
        println!("{when}: {} changed", changed.len());
        for ((who, query), plan, now) in &changed {
            println!("\n[{who}] {query}\n-- before:\n{plan}\n-- now:\n{now}");
        }
        changed.len()
    }
}

/// The ways to the rows that a plan takes, in any order: the indexes, the tables read as a whole, and what is hashed.
fn ways(plan: &str) -> BTreeSet<String> {
    let ways = plan.lines().filter_map(|line| {
        let (node, table) = line.split_once(" on ")?;
        let table = table.split(' ').next()?;
        let way = match node.split_once(" using ") {
            Some((_, index)) => index.to_owned(),
            None if node.ends_with("Bitmap Index Scan") => table.to_owned(),
            None if node.ends_with("Seq Scan") && !SMALL.contains(&table) => {
                format!("all of {table}")
            }
            None => return None,
        };
        let alike = ALIKE.iter().find(|(index, _)| *index == way);
        Some(alike.map_or(way, |(_, index)| (*index).to_owned()))
    });
    let ways = ways.filter(|way| !SMALL.iter().any(|table| way.contains(table)));
    let hashes = plan
        .contains("(hashed SubPlan")
        .then(|| "a hash".to_owned());
    ways.chain(hashes).collect()
}

/// The texts of the programs' queries, with the number of their parameters.
fn queries() -> Result<Vec<(String, usize)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut queries = vec![(CLAIM.to_owned(), 2)];
    for entry in fs::read_dir(&folder).context("no query data")? {
        let data: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        let query = data["query"].as_str().context("no query")?;
        let parameters = data["describe"]["parameters"]["Left"].as_array();
        queries.push((query.to_owned(), parameters.map_or(0, Vec::len)));
    }
    Ok(queries)
}

/// The plan; none if this role may not do it, or if it is nothing to plan.
async fn explain(
    db: &mut PgConnection,
    who: &str,
    query: &str,
    parameters: usize,
) -> Result<Option<String>> {
    let nulls = vec!["null"; parameters].join(", ");
    let arguments = if parameters > 0 {
        format!("({nulls})")
    } else {
        String::new()
    };
    let mut tx = db.begin().await?;
    let acts = if who == "user" {
        "select act_for('user-7'); "
    } else {
        ""
    };
    // As the purges do.
    let acts = if query.contains("statement_timestamp())::float8") {
        "set local enable_seqscan = off; "
    } else {
        acts
    };
    let prepare =
        format!("{acts} set local plan_cache_mode = force_generic_plan; prepare p as {query}");
    let explain = format!("explain (costs off) execute p{arguments}");
    let plan = async {
        sqlx::raw_sql(AssertSqlSafe(prepare))
            .execute(&mut *tx)
            .await?;
        sqlx::raw_sql(AssertSqlSafe(explain))
            .fetch_all(&mut *tx)
            .await
    };
    let plan = plan.await;
    tx.rollback().await?;
    // Prepared statements outlive a rollback.
    sqlx::raw_sql("deallocate all").execute(&mut *db).await?;
    match plan {
        Ok(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
            Ok(Some(lines.join("\n")))
        }
        Err(error) if error.as_database_error().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

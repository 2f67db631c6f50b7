//! Clusters as their users see them. Needs a PostgreSQL server on the machine.

use super::*;

#[tokio::test]
async fn a_throwaway_cluster_answers_and_leaves_nothing() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::throwaway()).await?;
    cluster.ensure_database("errand").await?;
    cluster.ensure_database("errand").await?;
    let mut connection = PgConnection::connect(&cluster.url("errand")).await?;
    let one: i32 = sqlx::query_scalar("select 1")
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(one, 1);
    let data = cluster.data_dir().to_path_buf();
    cluster.stop().await?;
    assert!(!data.exists());
    Ok(())
}

#[tokio::test]
async fn durable_data_survives_and_admits_one_process() -> Result<()> {
    let state = std::env::temp_dir().join(format!("errand-durable-{}", uuid::Uuid::now_v7()));
    let first = Cluster::start(ClusterOptions::durable(&state)).await?;
    first.ensure_database("kept").await?;
    let refused = Cluster::start(ClusterOptions::durable(&state)).await;
    let message = refused
        .map(|_| ())
        .expect_err("the lock is taken")
        .to_string();
    assert!(message.contains("already running"), "{message}");
    first.stop().await?;

    let second = Cluster::start(ClusterOptions::durable(&state)).await?;
    PgConnection::connect(&second.url("kept"))
        .await?
        .close()
        .await?;
    second.stop().await?;

    fs::write(data_version_file(&state), "9\n")?;
    let refused = Cluster::start(ClusterOptions::durable(&state)).await;
    let message = refused
        .map(|_| ())
        .expect_err("another version")
        .to_string();
    assert!(message.contains("PostgreSQL 9"), "{message}");
    fs::remove_dir_all(&state)?;
    Ok(())
}

fn data_version_file(state: &Path) -> PathBuf {
    state.join("postgres").join("PG_VERSION")
}

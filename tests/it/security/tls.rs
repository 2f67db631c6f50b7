//! Encryption to the database: with `sslmode=verify-full` a server proves by its certificate that it is the one that the URL names, or nothing
//! is said to it.

use errand_devkit::{
    postgres::{Cluster, ClusterOptions},
    system::migrated,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sqlx::{Connection, PgConnection};

use crate::system::process::{self, Process};

/// A server whose certificate is for `localhost` and no other name; with the files of its authority and of another one.
struct Encrypted {
    cluster: Cluster,
    folder: std::path::PathBuf,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

impl Encrypted {
    async fn start() -> Self {
        let (ours, other) = (authority("ours"), authority("another"));
        let key = KeyPair::generate().expect("a key");
        let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = names.signed_by(&key, &ours).expect("a certificate");
        let folder = std::env::temp_dir().join(format!("errand-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("ours.pem"), ours.pem()).expect("a file");
        std::fs::write(folder.join("other.pem"), other.pem()).expect("a file");

        let cluster = Cluster::start(ClusterOptions::throwaway()).await;
        let cluster = cluster.expect("a private Postgres");
        migrated(&cluster, "errand").await.expect("migrated");
        let mut admin = PgConnection::connect(&cluster.admin_url("postgres"))
            .await
            .expect("a connection");
        for (file, text) in [
            ("server.crt", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let lines: Vec<_> = text.lines().map(|line| format!("('{line}')")).collect();
            let copy = format!(
                "copy (values {}) to program 'umask 077; cat > {file}'",
                lines.join(", ")
            );
            execute(&mut admin, &copy).await;
        }
        execute(&mut admin, "alter system set ssl = on").await;
        execute(&mut admin, "select pg_reload_conf()").await;
        Self { cluster, folder }
    }

    /// The URL of the database by a name of this machine, with `verify-full` and this authority.
    fn url(&self, host: &str, authority: &str) -> String {
        let url = self.cluster.url("errand").replace("127.0.0.1", host);
        let file = self.folder.join(authority);
        format!("{url}?sslmode=verify-full&sslrootcert={}", file.display())
    }
}

async fn execute(db: &mut PgConnection, statement: &str) {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement)
        .execute(db)
        .await
        .expect("executed");
}

fn environment<'a>(url: &'a str, direct: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("DATABASE_URL", url),
        ("DATABASE_DIRECT_URL", direct),
        ("BETTER_AUTH_URL", "http://127.0.0.1:9"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_prove_who_it_is_is_refused() {
    let server = Encrypted::start().await;
    let good = server.url("localhost", "ours.pem");

    let mut api = Process::start("errand-api", &[], environment(&good, &good)).await;
    api.until_says("the database is ready").await;
    let mut worker = Process::start("errand-worker", &[], environment(&good, &good)).await;
    worker.until_says("taking runs").await;
    // All of it is encrypted, the connections that listen included.
    let mut admin = PgConnection::connect(&server.cluster.admin_url("postgres"))
        .await
        .expect("a connection");
    let listeners = "select count(*) filter (where s.ssl), count(*) from pg_stat_activity a join pg_stat_ssl s using (pid)
                     where a.datname = 'errand' and a.query like 'LISTEN%'";
    let every = "select count(*) filter (where s.ssl), count(*) from pg_stat_activity a join pg_stat_ssl s using (pid)
                 where a.datname = 'errand'";
    let deadline = tokio::time::Instant::now() + crate::system::PATIENCE;
    loop {
        let (ssl, all): (i64, i64) = sqlx::query_as(listeners)
            .fetch_one(&mut admin)
            .await
            .expect("counts");
        assert_eq!(ssl, all);
        // The API's and the worker's.
        if all >= 1 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody listens");
    }
    let (ssl, all): (i64, i64) = sqlx::query_as(every)
        .fetch_one(&mut admin)
        .await
        .expect("counts");
    assert!(ssl == all && all >= 4, "{ssl} of {all}");
    drop((api, worker));

    let wrong_name = server.url("127.0.0.1", "ours.pem");
    let wrong_authority = server.url("localhost", "other.pem");
    for (url, reason) in [
        (&wrong_name, "not valid for name"),
        (&wrong_authority, "UnknownIssuer"),
    ] {
        for (program, arguments) in [
            ("errand-api", &[][..]),
            ("errand-api", &["migrate"]),
            ("errand-api", &["queue"]),
            ("errand-worker", &[]),
        ] {
            let (status, said) = process::run(program, arguments, environment(url, url)).await;
            assert_eq!(status.code(), Some(1), "{program} {arguments:?}: {said}");
            assert!(
                said.contains("not trusted") && said.contains(reason),
                "{program} {arguments:?}: {said}"
            );
        }
        // The connection that listens has to be the right one as well.
        let (status, said) = process::run("errand-api", &[], environment(&good, url)).await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains("not trusted") && said.contains(reason),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_encrypt_is_refused() {
    let plain = crate::system::database().await;
    let url = format!("{plain}?sslmode=verify-full");
    for program in ["errand-api", "errand-worker"] {
        let (status, said) = process::run(program, &[], environment(&url, &url)).await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("server does not support TLS"), "{said}");
    }
}

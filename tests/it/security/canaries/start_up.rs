//! Secrets of programs that do not start.

use crate::system::process;

/// What is refused at the start, and what `--help` shows of the environment.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_by_a_program_that_does_not_start() {
    let database = (
        "DATABASE_URL",
        "postgres://me:canary-password@127.0.0.1:1/none",
    );
    let secrets = [
        database,
        (
            "DATABASE_DIRECT_URL",
            "postgres://me:canary-direct@127.0.0.1:1/none",
        ),
        (
            "BETTER_AUTH_URL",
            "https://canary-user:canary-pass@auth.example.com",
        ),
        (
            "AUTH_JWKS_URL",
            "https://auth.example.com/keys?key=canary-jwks",
        ),
        ("OPENAI_API_KEY", "canary-key"),
        ("GEMINI_API_KEY", "canary-gemini"),
        (
            "OPENAI_BASE_URL",
            "http://canary-user:canary-pass@127.0.0.1/v1",
        ),
    ];
    for program in ["errand-api", "errand-worker"] {
        for arguments in [&["--help"][..], &["-h"], &["--version"]] {
            let (status, said) = process::run(program, arguments, secrets).await;
            assert!(status.success(), "{said}");
        }
        for (variable, value) in [
            ("DATABASE_URL", "mysql://me:canary-password@host/db"),
            ("DATABASE_URL", "canary-password"),
            ("DATABASE_URL", "postgres://me:canary-password@host:port/db"),
            (
                "DATABASE_URL",
                "postgres://me:canary-password@host/db?sslmode=canary-mode",
            ),
            ("DATABASE_DIRECT_URL", "postgres:/me:canary-password"),
            ("OPENAI_BASE_URL", "canary-user:canary-pass@host"),
            ("BETTER_AUTH_URL", "canary-user:canary-pass@host"),
            ("AUTH_JWKS_URL", "ftp://canary-user:canary-pass@host"),
        ] {
            if is_others(program, variable) {
                continue;
            }
            let environment = secrets.into_iter().chain([(variable, value)]);
            let (status, said) = process::run(program, &[], environment).await;
            assert_eq!(status.code(), Some(2), "{program} {variable}: {said}");
            assert!(said.contains(variable), "{program} {variable}: {said}");
        }
    }
    let (status, said) = process::run(
        "errand-api",
        &["migrate"],
        [("DATABASE_URL", "canary-password")],
    )
    .await;
    assert!(!status.success(), "{said}");
    // A line of `.env` that cannot be read is named by its place.
    let folder = std::env::temp_dir().join(format!("errand-env-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join(".env"),
        "PORT=0\nOPENAI_API_KEY=canary-key canary-rest\n",
    )
    .unwrap();
    for program in ["errand-api", "errand-worker"] {
        let mut command = process::command(program, &[], [database]).await;
        let output = command.current_dir(&folder).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(".env"), "{said}");
        assert!(!process::leaks(&said), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A variable that this program does not read: it would start.
fn is_others(program: &str, variable: &str) -> bool {
    matches!(
        (program, variable),
        ("errand-api", "OPENAI_BASE_URL") | ("errand-worker", "BETTER_AUTH_URL" | "AUTH_JWKS_URL")
    )
}

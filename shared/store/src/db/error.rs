//! What can go wrong with the store, and whether it is the database's trouble or ours.

use std::{sync::Arc, time::Duration};

use errand_core::user_queue::Crowded;

/// A query or transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The driver or the server said no.
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// A transaction pooler is where Postgres itself should be.
    #[error(
        "a transaction pooler answers where Postgres itself is needed; set DATABASE_DIRECT_URL ({0})"
    )]
    Pooler(String),
    /// The server cannot prove that it is the one that the URL names, or does not encrypt though the URL asks for it.
    #[error(
        "the database's server is not trusted, as sslmode in its URL asks: {0}; check the host name, sslrootcert and sslmode"
    )]
    Untrusted(String),
    /// No answer in time; whether a commit took effect is unknown.
    #[error("the database did not answer within {0:?}")]
    Timeout(Duration),
    /// What went together with others failed with them.
    #[error(transparent)]
    OfAll(Arc<StoreError>),
    /// Too much of the same kind waits in this process; the database was not asked.
    #[error(transparent)]
    Crowded(Crowded),
    /// The schema is older than this program.
    #[error("the database is not migrated; run `errand-api migrate`")]
    NotMigrated,
    /// The schema is newer than this program, which cannot migrate it.
    #[error(
        "the database was migrated by a newer version of this program (migration {0} is unknown here); run the `migrate` of that version or a later one"
    )]
    Newer(i64),
    /// The queue's own code failed.
    #[error("job queue: {0}")]
    Queue(String),
}

impl From<Crowded> for StoreError {
    fn from(error: Crowded) -> Self {
        Self::Crowded(error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) if refuses_options(refusal.message()) => {
                Self::Pooler(refusal.message().to_owned())
            }
            sqlx::Error::Tls(reason) => Self::Untrusted(reason.to_string()),
            // Of the handshake; what comes behind it is another error.
            sqlx::Error::Io(failed)
                if failed.kind() == std::io::ErrorKind::InvalidData
                    && failed.to_string().contains("certificate") =>
            {
                Self::Untrusted(failed.to_string())
            }
            _ => Self::Database(error),
        }
    }
}

/// What PgBouncer says to the start-up options of a direct connection.
fn refuses_options(message: &str) -> bool {
    message.contains("startup parameter") && message.contains("options")
}

impl From<apalis_postgres::Error> for StoreError {
    fn from(error: apalis_postgres::Error) -> Self {
        match error {
            apalis_postgres::Error::Database(error) => error.into(),
            error => Self::Queue(error.to_string()),
        }
    }
}

impl StoreError {
    /// True if no waiting helps: the URL has to be another one.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::Pooler(_) | Self::Untrusted(_))
    }

    /// True if the database is unreachable, restarting, full or overloaded: the same work may succeed later.
    pub fn is_outage(&self) -> bool {
        let error = match self {
            Self::Database(error) => error,
            Self::OfAll(error) => return error.is_outage(),
            Self::Queue(_) | Self::Newer(_) => return false,
            _ => return true,
        };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
            _ => false,
        }
    }

    /// True if what was asked may have taken effect in spite of the error, or may do so yet: the connection was lost, or no answer came in time.
    pub fn is_of_unknown_outcome(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::OfAll(error) => error.is_of_unknown_outcome(),
            Self::Database(error) => matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
            ),
            _ => false,
        }
    }

    /// The constraint that refused a write, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.constraint(),
            Self::OfAll(error) => error.constraint(),
            _ => None,
        }
    }
}

/// SQLSTATE classes: 08 connection, 53 resources (disk full, too many connections), 57P shutdown and start-up, 58 the
/// server's own system (an I/O error); 57014 a time-out, 55P03 a lock not available, 40001 and 40P01 a conflict,
/// 25006 a read-only standby, 25P03 and 25P04 a transaction that was idle or took too long.
fn is_outage_code(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57P")
        || code.starts_with("58")
        || matches!(
            code,
            "57014" | "55P03" | "40001" | "40P01" | "25006" | "25P03" | "25P04"
        )
}

/// A worker's write for a run was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The run is over, or another attempt owns it: whoever gets this stops and writes nothing more.
    #[error("the run is no longer this attempt's")]
    Fenced,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

//! The pool: what one borrower of a connection leaves behind, the next one does not find.

use std::time::Duration;

use errand_store as store;
use futures::poll;
use sqlx::{Connection, PgConnection};

use crate::system::database;

/// A caller gives up while its transaction begins, at whatever moment. Nothing that others do on the same connection may end up
/// in a transaction that nobody commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_cut_off_at_its_beginning_swallows_nothing() {
    let url = database().await;
    let pool = store::pool(&url, "errand-test", 1, true).expect("a pool");
    let mut elsewhere = PgConnection::connect(&url).await.expect("connects");
    let (mut written, mut steps, mut cut_off) = (0, 0, 0);
    while cut_off < 5 && written < 500 {
        let (mut beginning, mut begun) = (Box::pin(store::begin(&pool)), false);
        // One step further each time, until there is none.
        for _ in 0..steps {
            begun = poll!(&mut beginning).is_ready();
            if begun {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cut_off += i32::from(steps > 0 && !begun);
        steps = if begun { 0 } else { steps + 1 };
        drop(beginning);
        let mut db = store::connection(&pool).await.expect("a connection");
        sqlx::query("insert into usage_days values ($1, now(), 1)")
            .bind(written.to_string())
            .execute(&mut *db)
            .await
            .expect("is written");
        written += 1;
        let found: i64 = sqlx::query_scalar("select count(*) from usage_days")
            .fetch_one(&mut elsewhere)
            .await
            .expect("a count");
        assert_eq!(found, written, "cut off after {steps} steps");
    }
    assert_eq!(cut_off, 5, "was never cut off");
}

//! Pages that are read together are those that are read alone.

use chrono::Utc;
use chrono_tz::Tz;
use errand_core::calendar::Now;
use errand_store::{
    self as store, Pool,
    tasks::{self, Cursor, Filter, Paged, View},
};
use futures::future::join_all;
use sqlx::{Connection, PgConnection, PgPool};

use crate::system::{as_superuser, database, rows};

const USERS: usize = 12;
const A_PAGE: i64 = 2;
/// More than any list here has.
const PAGES: usize = 8;
const VIEWS: [View; 4] = [View::Open, View::Undated, View::Completed, View::All];

/// What each user has: with dates and without, the last day of all, done and open.
const TASKS: &str = "set session_replication_role = replica;
    insert into tasks (id, user_id, title, due_date, completed_at, completed)
    select gen_random_uuid(), 'user-' || u, 'task ' || n || ' of ' || u, t.*, t.done is not null
    from generate_series(0, 11) u, generate_series(1, 2 + u % 2) n cross join lateral (values
        (current_date + n, null::timestamptz), (null, null), (date '9999-12-31', null), (null, now() - n * interval '1 hour')) t (due, done);
    insert into user_settings (user_id, time_zone) values ('user-3', 'Asia/Tokyo')";

/// The titles of a view, by all its pages, and the total that each told.
async fn together(pool: &Pool, user: &str, view: View, now: &Now) -> (Vec<String>, Vec<i64>) {
    let filter = Filter {
        view,
        ..Filter::default()
    };
    let (mut titles, mut totals, mut after): (Vec<String>, Vec<i64>, Option<Cursor>) =
        Default::default();
    for _ in 0..PAGES {
        let page = tasks::page(pool, user, None, &filter, now, after, A_PAGE).await;
        let Paged::Listed(page) = page.expect("a page") else {
            return (vec!["moved".to_owned()], vec![]);
        };
        titles.extend(page.rows.into_iter().map(|task| task.title));
        totals.push(page.total);
        after = page.next;
        if after.is_none() {
            return (titles, totals);
        }
    }
    panic!("there is no end of {view:?} of {user}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_read_together_are_those_that_are_read_alone() {
    let url = database().await;
    let mut superuser = PgConnection::connect(&as_superuser(&url))
        .await
        .expect("a login");
    sqlx::raw_sql(TASKS)
        .execute(&mut superuser)
        .await
        .expect("tasks");
    let pool = store::pool(&url, "errand-test", 4, true).expect("a pool");
    let now = Now::at(Utc::now(), Tz::UTC);
    let asked: Vec<(String, View)> = (0..USERS)
        .flat_map(|user| VIEWS.map(|view| (format!("user-{user}"), view)))
        .collect();
    let came = join_all(
        asked
            .iter()
            .map(|(user, view)| together(&pool, user, *view, &now)),
    )
    .await;
    let db = PgPool::connect(&url).await.expect("connects");
    for ((user, view), (titles, totals)) in asked.iter().zip(came) {
        // Whoever is in another zone than was thought is told so, and nobody else.
        if user == "user-3" {
            assert_eq!(titles, ["moved"], "{view:?}");
            continue;
        }
        let mut tx = rows::begin_for(&db, user).await;
        let filter = Filter {
            view: *view,
            ..Filter::default()
        };
        let alone = tasks::list(&mut tx, user, &filter, &now, None, 100)
            .await
            .expect("a page");
        let expected: Vec<String> = alone.rows.into_iter().map(|task| task.title).collect();
        assert!(!expected.is_empty());
        assert_eq!(titles, expected, "{view:?} of {user}");
        let suffix = format!(" of {}", user.trim_start_matches("user-"));
        assert!(titles.iter().all(|title| title.ends_with(&suffix)));
        assert!(
            totals.iter().all(|total| *total == alone.total),
            "{totals:?}"
        );
    }
}

//! Conversations with a past, made in SQL.

use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A conversation of this user with so many turns, each a message of the user that ends with `words` and its number, and a reply; they ended
/// an hour ago.
pub(crate) async fn talk(db: &PgPool, user: &str, turns: i32, words: &str) -> Value {
    let id = Uuid::now_v7();
    for statement in [
        "insert into conversations (id, user_id, title) select $1, $2, 'past' where $3 >= 0 and $4 <> ''",
        "insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, created_at, started_at, finished_at)
         select md5('run' || $1 || nth)::uuid, $1, $2, 'completed', 1, at, at, at, at
         from (select nth, now() - interval '1 hour' + nth * interval '1 ms' as at from generate_series(1, $3) nth) n
         where $4 <> '' order by nth",
        "insert into messages (id, conversation_id, user_id, run_id, role, content, created_at)
         select md5(role || $1 || nth)::uuid, $1, $2, md5('run' || $1 || nth)::uuid, role,
                case role when 'user' then $4 || ' ' || nth else 'Reply ' || nth || '.' end, now() - interval '1 hour'
         from generate_series(1, $3) nth, unnest(array['user', 'assistant']) with ordinality as r (role, side) order by nth, side",
    ] {
        let made = sqlx::query(statement).bind(id).bind(user);
        let made = made.bind(turns).bind(words).execute(db).await;
        made.expect("a past");
    }
    json!(id)
}

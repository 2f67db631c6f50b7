//! What a text that is no id may mean.

use uuid::Uuid;

use super::{Connection, MAX_SEARCH, StoreError};

/// A task that somebody may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// Whether it is done.
    pub completed: bool,
}

/// Tasks that somebody may mean, the likeliest of them first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Some of them.
    pub tasks: Vec<Candidate>,
    /// How many there are.
    pub total: i64,
}

/// Tasks that are meant by a text which is no id: it is in their title, or their id begins with it. At most `limit`.
pub async fn candidates(
    db: &mut Connection,
    user_id: &str,
    text: &str,
    limit: i64,
) -> Result<Candidates, StoreError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_SEARCH {
        return Ok(Candidates::default());
    }
    let rows = sqlx::query!(
        r#"select id, title, completed, count(*) over () as "total!" from tasks
           where user_id = $1 and deleted_at is null
             and (title ~* $2 or (char_length($3) >= 4 and starts_with(id::text, lower($3))))
           order by lower(title) <> lower($3), completed, id
           limit $4"#,
        user_id,
        format!("***={text}"),
        text,
        limit
    )
    .fetch_all(db)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let tasks = rows.into_iter().map(|row| Candidate {
        id: row.id,
        title: row.title,
        completed: row.completed,
    });
    Ok(Candidates {
        tasks: tasks.collect(),
        total,
    })
}

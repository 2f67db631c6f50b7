//! What is remembered of a user: the time zone.

use chrono::Utc;
use errand_core::calendar::{Now, zone_or_utc};

use super::{Connection, StoreError};

/// The IANA name of the zone that the user last wrote from; none until one is known, which means UTC.
pub async fn zone(db: &mut Connection, user_id: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select time_zone from user_settings where user_id = $1",
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// Remembers where the user writes from, as a name that the caller has checked. Writes only if it is another zone than before. The caller's
/// transaction acts for the user.
pub async fn remember_zone(
    db: &mut Connection,
    user_id: &str,
    zone: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into user_settings as s (user_id, time_zone)
         select $1, $2 where $2::text is distinct from (select time_zone from user_settings where user_id = $1)
         on conflict (user_id) do update set time_zone = excluded.time_zone, updated_at = clock_timestamp()",
        user_id,
        zone
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the user's calendar and clock show now.
pub async fn now(db: &mut Connection, user_id: &str) -> Result<Now, StoreError> {
    let zone = zone(db, user_id).await?;
    Ok(Now::at(Utc::now(), zone_or_utc(zone.as_deref())))
}

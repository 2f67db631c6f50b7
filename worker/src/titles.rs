//! Titles of conversations, written by the model where a client has asked for it with the first message.
//!
//! Behind the end of the run: its reply is committed and told. Nothing depends on it, so whatever goes wrong leaves the title that the
//! conversation has, which is the beginning of its first message; and nothing is tried twice.

use std::time::Duration;

use errand_store::{
    self as store, Pool, StoreError,
    lifecycle::Claimed,
    read::{conversations, usage},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{self, Model},
    metrics::Metrics,
    openai::OpenAi,
    spans,
};

/// How long a title is waited for. It holds the place of its run in this process meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);

/// Gives the run's conversation a title, unless it has got another since; as long as the process does not stop.
pub(crate) async fn give(
    pool: &Pool,
    model: &OpenAi,
    metrics: &Metrics,
    run: &Claimed,
    reply: &str,
    drain: &CancellationToken,
) {
    // Asked for in a later message, or behind the user's own word: there is nothing to ask the model for.
    let lacks = store::within(async {
        let mut db = store::begin_for(pool, &run.user_id).await?;
        let lacks =
            conversations::lacks_title(&mut db, run.conversation_id, &run.user_id, &run.message)
                .await;
        db.done(lacks).await
    });
    match lacks.await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return tracing::info!(%error, "no title: it could not be looked up"),
    }
    let mut span = spans::model(model.provider(), model.name());
    let title = tokio::select! {
        title = tokio::time::timeout(PATIENCE, agent::title::title(model, &run.message, reply)) => title,
        () = drain.cancelled() => return span.fail("drained"),
    };
    match &title {
        Ok(Ok((_, tokens))) => {
            spans::used(&mut span, *tokens);
            metrics.used(model.name(), *tokens);
        }
        Ok(Err(_)) => span.fail("no_answer"),
        Err(_) => span.fail("timeout"),
    }
    drop(span);
    let (title, tokens) = match title {
        Ok(Ok(title)) => title,
        Ok(Err(error)) => return tracing::info!(%error, "no title: the model gave none"),
        Err(_) => return tracing::info!("no title: the model took too long"),
    };
    let written = store::within(async {
        let mut db = store::begin_for(pool, &run.user_id).await?;
        usage::count(&mut db, &run.user_id, tokens).await?;
        let (conversation, user) = (run.conversation_id, &run.user_id);
        conversations::count_title(&mut db, conversation, user, model.name(), tokens).await?;
        if let Some(title) = title {
            conversations::entitle(&mut db, conversation, user, &run.message, &title).await?;
        }
        store::commit(db).await?;
        Ok::<_, StoreError>(())
    });
    if let Err(error) = written.await {
        tracing::info!(%error, "no title: it could not be written");
    }
}

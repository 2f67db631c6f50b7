//! Clients that go on talking through any trouble, and the check that whatever was accepted was answered, once.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use errand_devkit::model::{ScriptedModel, Turn, request};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use super::{Answer, TestSystem};

/// What a client was told of one message.
struct Told {
    text: String,
    /// The run, if the message was accepted.
    run: Option<String>,
}

/// Clients at work. Every message asks for one task of the same name.
pub(crate) struct Load {
    ledger: Arc<Mutex<Vec<Told>>>,
    /// When each message was answered with 200.
    answered: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

/// The model adds the task that the message names, then says so.
pub(crate) fn adds_what_is_said(model: &ScriptedModel) {
    model.script(|request| {
        if request::steps(request).is_empty() {
            Turn::call("add_task", json!({"title": request::last_user(request)}))
        } else {
            Turn::text("Done.")
        }
    });
}

impl Load {
    /// Clients of different users; half of them send keys and repeat what was refused, the others say something new.
    pub(crate) fn start(system: &Arc<TestSystem>, clients: usize) -> Self {
        adds_what_is_said(&system.model);
        let mut load = Self {
            ledger: Arc::default(),
            answered: Arc::default(),
            stop: Arc::default(),
            clients: JoinSet::new(),
        };
        for client in 0..clients {
            let system = Arc::clone(system);
            let (ledger, answered) = (Arc::clone(&load.ledger), Arc::clone(&load.answered));
            let stop = Arc::clone(&load.stop);
            load.clients.spawn(async move {
                let user = format!("client-{client}");
                let with_keys = client % 2 == 0;
                let mut text = format!("{user}: 0");
                for n in 1.. {
                    let answer = say(&system, &user, &text, with_keys).await;
                    let run = answer.body["run_id"].as_str().map(str::to_owned);
                    match answer.status.as_u16() {
                        200 => answered.lock().expect("no panic").push(Instant::now()),
                        202 => assert!(run.is_some(), "{}", answer.body),
                        _ => {
                            answer.assert_error(503, "unavailable");
                            assert!(answer.header("retry-after").parse::<u64>().is_ok());
                        }
                    }
                    let accepted = run.is_some();
                    let told = Told {
                        text: text.clone(),
                        run,
                    };
                    ledger.lock().expect("no panic").push(told);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if accepted || !with_keys {
                        text = format!("{user}: {n}");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
        load
    }

    /// Waits until a message was answered that was sent or waited for after this moment.
    pub(crate) async fn until_answered(&self, since: Instant, within: Duration) {
        loop {
            let last = self.answered.lock().expect("no panic").last().copied();
            if last.is_some_and(|last| last > since) {
                return;
            }
            assert!(since.elapsed() < within, "nothing is answered any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the load and checks every message: accepted ones are answered, each had its effect once, and nothing else had any.
    pub(crate) async fn finish(mut self, system: &TestSystem) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client");
        }
        system
            .until("select count(*) from runs where finished_at is null", 0)
            .await;
        let told = std::mem::take(&mut *self.ledger.lock().expect("no panic"));
        for Told { text, run } in told.iter().filter(|told| told.run.is_some()) {
            let (status, tasks): (String, i64) = sqlx::query_as(
                "select status, (select count(*) from tasks where title = $2) from runs where id = $1::uuid",
            )
            .bind(run)
            .bind(text)
            .fetch_one(&system.db)
            .await
            .expect("the run of an accepted message");
            assert_eq!((status.as_str(), tasks), ("completed", 1), "{text}");
        }
        let doubled = "select count(*) from (select 1 from messages where role = 'user' and user_id like 'client-%' group by content having count(*) > 1) d";
        assert_eq!(system.count(doubled).await, 0, "stored twice");
        let gaps = "select count(*) from (select 1 from run_events group by run_id having count(*) <> max(seq)) g";
        assert_eq!(system.count(gaps).await, 0, "events are missing");
    }
}

async fn say(system: &TestSystem, user: &str, text: &str, with_key: bool) -> Answer {
    let request = system
        .post_chat(user, &json!({"message": text}))
        .header("prefer", "wait=20");
    Answer::of(match with_key {
        true => request.header("idempotency-key", text),
        false => request,
    })
    .await
}

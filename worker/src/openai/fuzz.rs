//! Random streams, as providers might send them: split, reordered, with keys left out, repeated or changed.
//!
//! Each is read as an answer, run through the agent, and shown back to the model. Whatever comes: no panic, no call with the
//! arguments of another, and no request that a strict provider would refuse.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use errand_core::{calendar::Moment, ids::CallKey, pending::Effect};
use errand_store::lifecycle::RequestedCall;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::agent::{
    self, Answer, Assignment, Interrupted, Invocation, Journal, Message, Model, ModelError,
    Progress, Request, ToolDefinition, ToolOutcome, Toolbox,
};

/// Streams of one run of this test, unless `ERRAND_STREAMS` says how many; `.ci/run` asks for 100,000.
const STREAMS: usize = 20_000;
/// Answers with calls in one run of the agent.
const ANSWERS: usize = 2;
/// Runs at the same time.
const THREADS: usize = 4;

/// Deterministic: a failure names its seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stream_leads_to_a_wrong_call_or_a_request_that_is_refused() {
    let streams = std::env::var("ERRAND_STREAMS").ok();
    let streams = streams.map_or(STREAMS, |number| number.parse().expect("a number"));
    let seeds = streams / ANSWERS;
    let threads = (0..THREADS).map(|thread| {
        #[expect(clippy::disallowed_methods, reason = "a stand-in of a test")]
        tokio::spawn(async move {
            let mut counts = (0, 0);
            for seed in (thread..seeds).step_by(THREADS) {
                let (made, sent) = converse(seed as u64).await;
                counts = (counts.0 + made, counts.1 + sent);
            }
            counts
        })
    });
    let (mut made, mut sent) = (0, 0);
    for counts in futures::future::join_all(threads).await {
        let (of_thread, of_provider) = counts.expect("no panic");
        made += of_thread;
        sent += of_provider;
    }
    // A reader that refuses everything would prove nothing.
    assert!(made * 2 > sent, "only {made} of {sent} calls were made");
}

/// One run: several answers with calls, then a text. How many calls were made, and how many were sent.
async fn converse(seed: u64) -> (usize, usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let answers: Vec<Sent> = (0..ANSWERS).map(|_| Sent::random(&mut rng)).collect();
    let streams: String = answers.iter().map(|sent| sent.stream.as_str()).collect();
    let sent: Vec<(String, String)> = answers.iter().flat_map(|sent| sent.calls.clone()).collect();
    let model = Player {
        answers: answers.into_iter().map(|sent| sent.stream).collect(),
        next: AtomicUsize::new(0),
        seed,
    };
    let tools = Recorder::default();
    let assignment = Assignment {
        run_id: Uuid::from_u128(seed.into()),
        instructions: agent::BUILT_IN_INSTRUCTIONS.into(),
        temperature: None,
        user_id: "ada".to_owned(),
        message: "go".to_owned(),
        said: Moment::new(chrono::Utc::now(), None),
        retried: None,
        history: Default::default(),
        recorded: Vec::new(),
        model: if rng.random_bool(0.5) { "m" } else { "another" }.to_owned(),
        needs_approval: Vec::new(),
        history_tokens: 8000,
        max_steps: 16,
    };
    let stop = agent::run(&assignment, &model, &tools, &Deaf).await;
    assert!(stop.is_ok(), "seed {seed}: {stop:?}");
    let made = tools.made.into_inner().expect("no panic");
    let mut left: Vec<_> = sent.clone();
    // Without arguments a call has nobody's; the tools refuse it if they need some.
    let made: Vec<_> = made
        .into_iter()
        .filter(|call| !call.arguments.trim().is_empty())
        .collect();
    for call in &made {
        let place = left.iter().position(|(name, arguments)| {
            *name == call.name && same_json(arguments, &call.arguments)
        });
        match place {
            Some(place) => drop(left.remove(place)),
            None => panic!("seed {seed}: nobody sent {call:?}; what was sent:\n{streams}"),
        }
    }
    (made.len(), sent.len())
}

fn same_json(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    read(one) == read(other)
}

/// What a provider wanted to send, and how it did.
struct Sent {
    calls: Vec<(String, String)>,
    stream: String,
}

/// How a provider names the call that a piece belongs to.
struct Keys {
    first_index: i64,
    has_index: f64,
    shared_index: bool,
    has_id: f64,
    repeats_id: f64,
    changes_id: f64,
    repeats_name: f64,
}

impl Keys {
    fn random(rng: &mut SmallRng) -> Self {
        let mut often = |odds: &[f64]| odds[rng.random_range(0..odds.len())];
        Self {
            has_index: often(&[0.0, 1.0, 1.0, 0.7]),
            has_id: often(&[0.0, 1.0, 1.0, 0.8]),
            repeats_id: often(&[0.0, 0.0, 0.5, 1.0]),
            changes_id: often(&[0.0, 0.0, 0.0, 0.3]),
            repeats_name: often(&[0.0, 0.0, 0.3, 1.0]),
            first_index: rng.random_range(0..3),
            shared_index: rng.random_bool(0.15),
        }
    }
}

impl Sent {
    fn random(rng: &mut SmallRng) -> Self {
        let keys = Keys::random(rng);
        let calls: Vec<(String, String)> = (0..rng.random_range(1..4))
            .map(|_| (name(rng), arguments(rng)))
            .collect();
        let mut queues: Vec<Vec<Value>> = calls
            .iter()
            .enumerate()
            .map(|(n, (name, arguments))| pieces(rng, &keys, n, name, arguments))
            .collect();
        // Nobody could tell fragments of two calls of one tool apart by the tool's name alone: no provider interleaves those.
        let has_key = (keys.has_index == 1.0 && !keys.shared_index) || keys.has_id == 1.0;
        let names: HashSet<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
        let has_names = names.len() == calls.len() && keys.repeats_name == 0.0;
        let is_ordered = rng.random_bool(0.5) || !(has_key || has_names);
        let mut chunks = Vec::new();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let busy: Vec<usize> = (0..queues.len())
                .filter(|&n| !queues[n].is_empty())
                .collect();
            let next = match is_ordered {
                true => busy[0],
                false => busy[rng.random_range(0..busy.len())],
            };
            chunks.push(queues[next].remove(0));
        }
        Self {
            calls,
            stream: stream(rng, &chunks),
        }
    }
}

/// The pieces of one call, its head first.
fn pieces(rng: &mut SmallRng, keys: &Keys, n: usize, name: &str, arguments: &str) -> Vec<Value> {
    let id = format!("id-{n}");
    let has_id = rng.random_bool(keys.has_id);
    let has_index = rng.random_bool(keys.has_index);
    let index = keys.first_index + if keys.shared_index { 0 } else { n as i64 };
    let mut parts = split(rng, arguments);
    if rng.random_bool(0.5) {
        parts.insert(0, String::new());
    }
    let mut pieces = Vec::new();
    for (place, part) in parts.into_iter().enumerate() {
        let is_head = place == 0;
        let mut piece = json!({"function": {"arguments": part}});
        if has_index {
            piece["index"] = json!(index);
        }
        if has_id && (is_head || rng.random_bool(keys.repeats_id)) {
            piece["id"] = match !is_head && rng.random_bool(keys.changes_id) {
                true => json!(format!("id-{n}-{place}")),
                false => json!(id),
            };
        } else if rng.random_bool(0.1) {
            piece["id"] = json!("");
        }
        if is_head || rng.random_bool(keys.repeats_name) {
            piece["function"]["name"] = json!(name);
        } else if rng.random_bool(0.1) {
            piece["function"]["name"] = Value::Null;
        }
        if is_head && rng.random_bool(0.3) {
            piece["extra_content"] = json!({"google": {"thought_signature": format!("s{n}")}});
        }
        pieces.push(piece);
    }
    pieces
}

fn name(rng: &mut SmallRng) -> String {
    let names = [
        "add_task",
        "add_task",
        "add_task",
        "delete_task",
        "update_task",
        "multi_tool_use.parallel",
        "functions.add_task",
        "größe",
        "a name with spaces and more than sixty-four characters, which is more than any tool may have",
    ];
    names[rng.random_range(0..names.len())].to_owned()
}

/// Each is different, so that none can be taken for another.
fn arguments(rng: &mut SmallRng) -> String {
    let mark: u32 = rng.random();
    match rng.random_range(0..20) {
        0 => "null".to_owned(),
        1 => format!("[{mark}]"),
        2 => format!("\"{mark}\""),
        3 => format!("{{\"title\": \"{mark}"),
        4 => format!(r#"{{"title":"\ud83d{mark}"}}"#),
        5 => format!(r#"{{"title":{{"deep":[{{"x":"{mark}"}}]}}}}"#),
        6 => format!(r#"{{"title":"}}{{ \" {mark} é 😀"}}"#),
        7 => format!(" {{ \"title\" : \"{mark}\" }} "),
        _ => format!(r#"{{"title":"{mark}","completed":true}}"#),
    }
}

fn split(rng: &mut SmallRng, text: &str) -> Vec<String> {
    let odds = [0.0, 0.0, 0.05, 0.05, 0.1, 0.1, 0.3, 1.0][rng.random_range(0..8)];
    let mut parts = vec![String::new()];
    for c in text.chars() {
        if !parts.last().is_some_and(String::is_empty) && rng.random_bool(odds) {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// The chunks as an event stream, several pieces in some of them, with what providers put in between.
fn stream(rng: &mut SmallRng, pieces: &[Value]) -> String {
    let mut stream = String::new();
    let event = |stream: &mut String, data: &str| {
        stream.push_str(&format!("data: {data}\n\n"));
    };
    if rng.random_bool(0.1) {
        stream.push('\u{FEFF}');
    }
    let mut rest = pieces;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rng.random_range(1..=rest.len().min(3)));
        rest = later;
        let mut delta = json!({"tool_calls": now});
        if rng.random_bool(0.1) {
            delta["content"] = json!("words ");
        }
        if rng.random_bool(0.05) {
            delta["reasoning_content"] = json!("hm ");
        }
        let mut chunk = json!({"choices": [{"index": 0, "delta": delta}]});
        if rng.random_bool(0.05) {
            let other = json!({"index": 1, "delta": {"tool_calls": [
                {"index": 0, "id": "other", "function": {"name": "add_task", "arguments": "{\"title\":\"other\"}"}}]}});
            chunk["choices"].as_array_mut().expect("a list").push(other);
        }
        event(&mut stream, &chunk.to_string());
        if rng.random_bool(0.05) {
            stream.push_str(
                [": comment\n\n", "data:\n\n", "event: ping\ndata: {}\n\n"][rng.random_range(0..3)],
            );
        }
    }
    event(
        &mut stream,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7.0,"completion_tokens":3}}"#,
    );
    if rng.random_bool(0.8) {
        stream.push_str("data: [DONE]\n\n");
    }
    stream
}

/// A model that sends these streams, then says that it is done, and reads requests as a strict provider does.
struct Player {
    answers: Vec<String>,
    next: AtomicUsize,
    seed: u64,
}

impl Model for Player {
    fn name(&self) -> &str {
        "m"
    }

    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        if let Err(complaint) = check(request.messages) {
            let messages = serde_json::to_string_pretty(request.messages).expect("plain data");
            panic!("seed {}: {complaint}\n{messages}", self.seed);
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let done = r#"data: {"choices":[{"delta":{"content":"Done."},"finish_reason":"stop"}]}"#;
        let stream = self.answers.get(next).map_or(done, String::as_str);
        let body = http::Response::new(reqwest::Body::from(stream.to_owned()));
        let patience = Duration::from_secs(600);
        let until = super::Until {
            begun: Instant::now() + patience,
            silence: patience,
        };
        Ok(super::read(body.into(), 100, until, tell).await?)
    }
}

/// The rules of the strictest providers together.
fn check(messages: &[Message]) -> Result<(), String> {
    let mut open: HashSet<String> = HashSet::new();
    let mut before = "";
    for message in messages {
        let message = serde_json::to_value(message).expect("plain data");
        let role = message["role"].as_str().expect("a role");
        let allowed: &[&str] = match before {
            "" => &["system"],
            "system" => &["user"],
            "user" => &["assistant"],
            "assistant" if !open.is_empty() => &["tool"],
            "assistant" => &["user"],
            _ if !open.is_empty() => &["tool"],
            _ => &["assistant"],
        };
        if !allowed.contains(&role) {
            return Err(format!("{role} after {before}"));
        }
        if role == "tool" && !open.remove(message["tool_call_id"].as_str().unwrap_or_default()) {
            return Err("a result without a call".to_owned());
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let name = function["name"].as_str().unwrap_or_default();
            let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !(1..=64).contains(&name.len()) || !name.chars().all(is_valid) {
                return Err(format!("the name {name:?}"));
            }
            let arguments = function["arguments"].as_str().unwrap_or_default();
            if !serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()) {
                return Err(format!("the arguments {arguments:?}"));
            }
            let id = call["id"].as_str().unwrap_or_default();
            if id.is_empty() || !open.insert(id.to_owned()) {
                return Err(format!("the id {id:?}"));
            }
        }
        before = role_of(role);
    }
    match open.is_empty() && matches!(before, "user" | "tool") {
        true => Ok(()),
        false => Err(format!("it ends with {before}")),
    }
}

fn role_of(role: &str) -> &'static str {
    ["system", "user", "assistant", "tool"]
        .into_iter()
        .find(|known| *known == role)
        .unwrap_or("")
}

/// Keeps the calls that are made.
#[derive(Default)]
struct Recorder {
    made: Mutex<Vec<RequestedCall>>,
}

impl Toolbox for Recorder {
    fn definitions(&self) -> &[ToolDefinition] {
        &[]
    }

    async fn call(&self, invocation: Invocation<'_>) -> Result<ToolOutcome, Interrupted> {
        let Invocation { call, refused, .. } = invocation;
        if refused.is_none() && call.object().is_some() && !call.name.is_empty() {
            self.made.lock().expect("no panic").push(call.clone());
        }
        Ok(ToolOutcome {
            result: json!({"success": refused.is_none()}),
        })
    }

    async fn previews(
        &self,
        _: &str,
        calls: &[&RequestedCall],
    ) -> Result<Vec<Option<Effect>>, Interrupted> {
        Ok(vec![None; calls.len()])
    }
}

struct Deaf;

impl Journal for Deaf {
    fn tell(&self, _: Progress<'_>) {}

    async fn commit(&self, _: i32, _: &Answer) -> Result<(), Interrupted> {
        Ok(())
    }

    async fn acted(&self, _: CallKey, _: &RequestedCall, _: &ToolOutcome) {}
}

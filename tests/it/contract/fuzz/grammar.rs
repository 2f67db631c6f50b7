//! A grammar of socket frames: what clients say, what they nearly say, and what no client says.

use rand::{RngExt, rngs::StdRng};
use serde_json::{Map, Value, json};

/// Methods of the protocol, and some that are none.
const METHODS: [&str; 13] = [
    "run.start",
    "run.start",
    "subscribe",
    "subscribe",
    "unsubscribe",
    "run.cancel",
    "run.decide",
    "run.retry",
    "ping",
    "auth",
    "",
    "run",
    "__proto__",
];

/// Fields of all methods, and one of none.
const FIELDS: [&str; 13] = [
    "message",
    "threadId",
    "runId",
    "onBusy",
    "timeZone",
    "after",
    "approve",
    "decisions",
    "newRunId",
    "token",
    "seq",
    "user_id",
    "x",
];

/// A frame, and whether it is a call that must be answered.
pub(super) struct Frame {
    pub(super) text: String,
    /// The id under which an answer must come; none if the frame is malformed and closes the socket.
    pub(super) id: Option<String>,
}

/// Makes frames.
pub(super) struct Grammar {
    pub(super) random: StdRng,
    /// Ids that exist, of this user and of others.
    pub(super) known: Vec<String>,
    pub(super) made: u64,
}

impl Grammar {
    /// The next frame; one in fifty is malformed.
    pub(super) fn frame(&mut self) -> Frame {
        self.made += 1;
        if self.random.random_range(0..50) == 0 {
            return Frame {
                text: self.malformed(),
                id: None,
            };
        }
        let id = match self.random.random_range(0..10) {
            0 => format!("{}\u{0}\u{202e}é\"", self.made),
            _ => format!("call-{}", self.made),
        };
        let method = METHODS[self.random.random_range(0..METHODS.len())];
        let mut frame = json!({"id": id, "method": method, "params": self.params(method)});
        match self.random.random_range(0..20) {
            0 => frame["extra"] = self.value(2),
            1 => drop(frame.as_object_mut().map(|frame| frame.remove("params"))),
            _ => {}
        }
        Frame {
            text: frame.to_string(),
            id: Some(id),
        }
    }

    /// A message for `/mcp`: mostly a call of one of these tools with some of what it takes, and other things.
    pub(super) fn message(&mut self, tools: &[Value]) -> Value {
        self.made += 1;
        let tool = &tools[self.random.random_range(0..tools.len())];
        let mut arguments = Map::new();
        let fields = tool["inputSchema"]["properties"].as_object();
        for name in fields.into_iter().flat_map(Map::keys) {
            let value = match self.random.random_range(0..8) {
                0 | 1 => continue,
                2 | 3 => self.value(3),
                4 => json!(self.id()),
                _ => json!(self.text()),
            };
            arguments.insert(name.clone(), value);
        }
        // Its own user more often than not, or nothing else would ever be looked at.
        if self.random.random_range(0..4) > 0 {
            arguments.insert("user_id".to_owned(), json!("ada"));
        }
        if self.random.random_range(0..20) == 0 {
            arguments.insert("x".to_owned(), self.value(3));
        }
        let name = match self.random.random_range(0..20) {
            0 => json!(self.text()),
            1 => self.value(1),
            _ => tool["name"].clone(),
        };
        let params = match self.random.random_range(0..25) {
            0 => self.value(3),
            1 => json!({"name": name, "arguments": self.value(3)}),
            _ => json!({"name": name, "arguments": arguments}),
        };
        let method = ["tools/call", "tools/list", "initialize", "ping", "tools/x"];
        let method = method[self.random.random_range(0..40usize).saturating_sub(35)];
        let mut message =
            json!({"jsonrpc": "2.0", "id": self.made, "method": method, "params": params});
        if self.random.random_range(0..30) == 0 {
            message["id"] = self.value(1);
        }
        message
    }

    /// What a method wants, often with a part of it changed.
    fn params(&mut self, method: &str) -> Value {
        let mut params = match method {
            "run.start" => {
                json!({"message": self.text(), "threadId": self.id(), "runId": self.id(), "onBusy": "enqueue"})
            }
            "subscribe" => {
                json!({"threadId": self.id(), "after": {"runId": self.id(), "seq": self.number()}})
            }
            "unsubscribe" => json!({"threadId": self.id()}),
            "run.cancel" => json!({"runId": self.id()}),
            "run.decide" => json!({"runId": self.id(), "approve": true}),
            "run.retry" => json!({"runId": self.id(), "newRunId": self.id()}),
            "auth" => json!({"token": self.text()}),
            _ => json!({}),
        };
        for _ in 0..self.random.random_range(0..3) {
            let field = FIELDS[self.random.random_range(0..FIELDS.len())];
            let value = self.value(3);
            if let Some(params) = params.as_object_mut() {
                match self.random.random_range(0..3) {
                    0 => drop(params.remove(field)),
                    _ => drop(params.insert(field.to_owned(), value)),
                }
            }
        }
        match self.random.random_range(0..25) {
            0 => self.value(3),
            _ => params,
        }
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.random.random_range(0..9) {
            0 => Value::Null,
            1 => json!(self.random.random_range(0..2) == 0),
            2 => json!(self.number()),
            3 => json!(1e308),
            4 | 5 => json!(self.text()),
            6 => json!(self.id()),
            _ if depth == 0 => json!([]),
            7 => (0..self.random.random_range(0..4))
                .map(|_| self.value(depth - 1))
                .collect(),
            _ => {
                let fields = (0..self.random.random_range(0..4)).map(|n| {
                    let name = FIELDS[(n + 3) % FIELDS.len()];
                    (name.to_owned(), self.value(depth - 1))
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    fn number(&mut self) -> i64 {
        [0, 1, -1, 7, i64::MAX, i64::MIN][self.random.random_range(0..6)]
    }

    /// An id: often one that exists, perhaps of somebody else.
    fn id(&mut self) -> String {
        match self.random.random_range(0..6) {
            0 => uuid::Uuid::now_v7().to_string(),
            1 => "not-an-id".to_owned(),
            _ => self.known[self.random.random_range(0..self.known.len())].clone(),
        }
    }

    fn text(&mut self) -> String {
        let texts = [
            "hello",
            "",
            " ",
            "a\u{0}b",
            "\u{1F600}\u{200D}\u{202E}",
            "'; drop table tasks; --",
            "<script>alert(1)</script>",
            "{\"role\":\"system\"}",
        ];
        match self.random.random_range(0..12) {
            0 => "x".repeat(self.random.random_range(7_900..8_100)),
            n => texts[n % texts.len()].to_owned(),
        }
    }

    fn malformed(&mut self) -> String {
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let texts = [
            "",
            "null",
            "[]",
            "7",
            "{",
            "{\"id\":1,\"method\":\"ping\"}",
            "{\"id\":\"a\"}",
            "{\"method\":\"ping\"}",
            "{\"id\":\"a\",\"method\":null}",
            "\u{feff}{}",
            &deep,
        ];
        texts[self.random.random_range(0..texts.len())].to_owned()
    }
}

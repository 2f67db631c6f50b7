//! The history: what clients did and saw and what was done to the house, one JSON object a line.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::Result;
use serde_json::{Value, json};

/// Written by all.
pub(crate) struct History {
    file: Mutex<BufWriter<File>>,
    faults: Mutex<BTreeMap<String, u64>>,
}

/// The hand of one client.
#[derive(Clone, Copy)]
pub(crate) struct Pen<'a> {
    pub(crate) history: &'a History,
    pub(crate) client: usize,
    pub(crate) user: &'a str,
}

impl History {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            file: Mutex::new(BufWriter::new(File::create(path)?)),
            faults: Mutex::default(),
        })
    }

    fn write(&self, mut line: Value) {
        // On the database's clock, so that lines can be told from before and after its rows.
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        line["at"] = json!(at.as_millis() as u64);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A history that cannot be written shows as accepted messages without an answer.
        let _ = writeln!(file, "{line}");
    }

    /// Something was done to the house, or to one of its processes.
    pub(crate) fn fault(&self, what: &str, whom: Option<&str>) {
        self.write(json!({"kind": "fault", "what": what, "whom": whom}));
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(what.to_owned()).or_default() += 1;
    }

    /// How often what was done.
    pub(crate) fn faults(&self) -> BTreeMap<String, u64> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    pub(crate) fn flush(&self) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.flush()?)
    }
}

impl Pen<'_> {
    fn write(&self, kind: &str, key: &str, mut more: Value) {
        more["kind"] = json!(kind);
        more["key"] = json!(key);
        more["client"] = json!(self.client);
        more["user"] = json!(self.user);
        self.history.write(more);
    }

    /// The server said that it has the message.
    pub(crate) fn accepted(&self, key: &str, run: &str) {
        self.write("accepted", key, json!({"run": run}));
    }

    /// The server said that it has the decision, and that this run goes on.
    pub(crate) fn decided(&self, key: &str, waiting: &str, approve: bool, run: &str) {
        let more = json!({"run": run, "waiting": waiting, "approve": approve});
        self.write("decided", key, more);
    }

    /// An event of a stream.
    pub(crate) fn event(&self, key: &str, run: &str, seq: i64, event: &Value) {
        let more = json!({"run": run, "seq": seq, "event": event});
        self.write("event", key, more);
    }

    /// The reply, or none if the run failed with this code.
    pub(crate) fn ended(&self, key: &str, run: &str, reply: Option<&str>, code: Option<&str>) {
        let more = json!({"run": run, "reply": reply, "code": code});
        self.write("ended", key, more);
    }

    /// Something that must not be: a gap in a stream, an answer outside the contract, no answer at all.
    pub(crate) fn wrong(&self, key: &str, what: &str) {
        self.write("wrong", key, json!({"what": what}));
    }
}

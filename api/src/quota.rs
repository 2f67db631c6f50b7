//! What a user may still ask for: the limits against what the database has counted, and the headers that tell of it.
//!
//! The headers are those of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10):
//! `RateLimit-Policy` names each limit with its quota and window, `RateLimit` what remains of it and when it grows again.

use std::time::Duration;

use errand_store::lifecycle::{self, Usage};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Limits;

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// When to try again after too many active runs; how soon one ends is anybody's guess.
const BUSY_PAUSE: Duration = Duration::from_secs(2);
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

/// What remains of the limits over time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    runs: Option<Remaining>,
    tokens: Option<Remaining>,
}

#[derive(Debug, Clone, Copy)]
struct Remaining {
    quota: u64,
    left: u64,
    /// Seconds until there is more.
    more_in: u64,
}

/// A limit that is in the way of one more run.
#[derive(Debug, Clone)]
pub(crate) struct LimitExceeded {
    /// For people.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) pause: Duration,
    /// What remains of the limits over time.
    pub(crate) quota: Quota,
}

impl Quota {
    /// Lets one more run in.
    ///
    /// # Errors
    /// The limit that is in the way.
    pub(crate) fn take(usage: &Usage, limits: &Limits) -> Result<Self, LimitExceeded> {
        if usage.undecided >= lifecycle::MAX_UNDECIDED {
            return Err(LimitExceeded {
                message: "Too many runs wait for a decision: approve, reject or cancel some."
                    .to_owned(),
                pause: BUSY_PAUSE,
                quota: Self::before(usage, limits),
            });
        }
        Self::take_decision(usage, limits)
    }

    /// As [`Self::take`], for the run that goes on after a decision: it makes those fewer that wait for one.
    ///
    /// # Errors
    /// The limit that is in the way.
    pub(crate) fn take_decision(usage: &Usage, limits: &Limits) -> Result<Self, LimitExceeded> {
        let quota = Self::before(usage, limits);
        let refuse = |message: String, pause: Duration| {
            Err(LimitExceeded {
                message,
                pause,
                quota,
            })
        };
        let queued = u64::from(limits.max_queued_runs);
        if queued > 0 && count(usage.queued) >= queued {
            let message = format!("At most {queued} messages may be waiting at the same time.");
            return refuse(message, BUSY_PAUSE);
        }
        let active = u64::from(limits.max_active_runs);
        if active > 0 && count(usage.active) >= active {
            let message = format!("At most {active} messages may be under way at the same time.");
            return refuse(message, BUSY_PAUSE);
        }
        if let Some(runs) = quota.runs.filter(|runs| runs.left == 0) {
            let message = format!("At most {} messages may be sent in a minute.", runs.quota);
            return refuse(message, Duration::from_secs(runs.more_in));
        }
        if let Some(tokens) = quota.tokens.filter(|tokens| tokens.left == 0) {
            let message = format!("The {} tokens of today are used up.", tokens.quota);
            return refuse(message, Duration::from_secs(tokens.more_in));
        }
        let one_less = |runs: Remaining| Remaining {
            left: runs.left - 1,
            ..runs
        };
        Ok(Self {
            runs: quota.runs.map(one_less),
            ..quota
        })
    }

    fn before(usage: &Usage, limits: &Limits) -> Self {
        let remaining = |quota: u64, used: i64, more_in: f64| {
            (quota > 0).then(|| Remaining {
                quota,
                left: quota.saturating_sub(count(used)),
                more_in: Duration::try_from_secs_f64(more_in.ceil())
                    .unwrap_or_default()
                    .as_secs(),
            })
        };
        Self {
            runs: remaining(
                u64::from(limits.rate_runs_per_minute),
                usage.last_minute,
                usage.window_frees_in,
            ),
            tokens: remaining(limits.tokens_per_day, usage.tokens_today, usage.day_ends_in),
        }
    }

    /// Writes the headers; none if nothing is limited.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let limits = [("runs", self.runs, MINUTE), ("tokens", self.tokens, DAY)];
        let (mut policy, mut left) = (Vec::new(), Vec::new());
        for (name, limit, window) in limits {
            if let Some(limit) = limit {
                policy.push(format!("\"{name}\";q={};w={window}", limit.quota));
                left.push(format!("\"{name}\";r={};t={}", limit.left, limit.more_in));
            }
        }
        for (name, items) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::from_str(&items.join(", "))
                && !items.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

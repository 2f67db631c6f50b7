//! Rest: how often a process asks the database by itself, by how long there has been nothing to do.
//!
//! What a process asks while nobody wants anything of it (heartbeats, polls, probes) is there for the hint that was lost and for the worker that
//! died. While there is work it is asked often; when there has been none for a while, seldom; and, if the database may sleep, never.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// How long a process that has nothing to do goes on as if it had.
const LINGER: Duration = Duration::from_secs(5);

/// How often a process asks the database by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// There was work a moment ago, or hints may not arrive.
    Busy,
    /// There was none for a while.
    AtRest,
    /// There was none for so long that the database may sleep: nothing is asked.
    Asleep,
}

/// How long a process has had nothing to do with its database, and who waits for that to change.
#[derive(Debug)]
pub struct Rest {
    /// Time without work after which nothing is asked; never if there is none.
    sleep_after: Option<Duration>,
    last: Mutex<Instant>,
    /// Told when there is work again.
    stirred: Notify,
    /// Told, and remembered, when there is work again after a sleep.
    awoke: Notify,
    /// Listeners that hear nothing just now.
    deaf: AtomicUsize,
}

impl Default for Rest {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Rest {
    /// Of a process that asks nothing after so much time without work (`SLEEP_AFTER`); one that always asks now and then if it is none.
    #[must_use]
    pub fn new(sleep_after: Option<Duration>) -> Self {
        Self {
            sleep_after,
            last: Mutex::new(Instant::now()),
            stirred: Notify::new(),
            awoke: Notify::new(),
            deaf: AtomicUsize::new(0),
        }
    }

    /// Whether it may ever sleep.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.sleep_after.is_some()
    }

    /// There is work, or somebody says that there may be.
    pub fn stir(&self) {
        let idle = {
            let mut last = self.lock();
            let idle = last.elapsed();
            *last = Instant::now();
            idle
        };
        let slept = self.sleep_after.is_some_and(|after| idle >= after);
        // Whoever has work all the time wakes nobody with it.
        if slept || idle >= LINGER {
            self.stirred.notify_waiters();
        }
        if slept {
            self.awoke.notify_one();
        }
    }

    /// For a listener that hears nothing yet. As long as one does not, nobody rests; but who sleeps goes on sleeping, whatever becomes of
    /// the connections.
    pub(super) fn ear(&self) -> Ear<'_> {
        self.deaf.fetch_add(1, Ordering::Relaxed);
        Ear {
            rest: self,
            hears: false,
        }
    }

    /// What it is just now.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace_after(self.idle()).0
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.pace() == Pace::Asleep
    }

    /// Waits for `busy`, or for `at_rest` if there is no work; for as long as it sleeps if it does. Work ends what was too long a wait for it.
    pub async fn pause(&self, busy: Duration, at_rest: Duration) {
        let begun = Instant::now();
        loop {
            let mut stirred = pin!(self.stirred.notified());
            stirred.as_mut().enable();
            let (pace, changes_in) = self.pace_after(self.idle());
            let left = match pace {
                Pace::Busy => busy.saturating_sub(begun.elapsed()),
                Pace::AtRest => at_rest.saturating_sub(begun.elapsed()),
                Pace::Asleep => Duration::MAX,
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = stirred => {}
                () = tokio::time::sleep(left.min(changes_in)) => {}
            }
        }
    }

    /// Wakes the process whenever it has slept for this long: the last resort, where nobody else can.
    pub async fn wake_every(&self, time: Duration) {
        loop {
            let left = time.saturating_sub(self.idle());
            if left.is_zero() {
                self.stir();
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Waits until it does not sleep. Whether it did.
    pub async fn awake(&self) -> bool {
        let mut slept = false;
        loop {
            let mut stirred = pin!(self.stirred.notified());
            stirred.as_mut().enable();
            if !self.is_asleep() {
                return slept;
            }
            slept = true;
            stirred.await;
        }
    }

    /// Waits for the next end of a sleep; at once if one ended since the last time that somebody asked.
    pub async fn awoke(&self) {
        self.awoke.notified().await;
    }

    /// For how long there has been no work.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.lock().elapsed()
    }

    /// The pace of a process that has been idle for this long, and when it changes by itself.
    fn pace_after(&self, idle: Duration) -> (Pace, Duration) {
        let until_sleep = self
            .sleep_after
            .map_or(Duration::MAX, |after| after.saturating_sub(idle));
        if until_sleep.is_zero() {
            return (Pace::Asleep, Duration::MAX);
        }
        if self.deaf.load(Ordering::Relaxed) > 0 {
            // Looked at again in a moment: nobody is told of the end of this.
            return (Pace::Busy, until_sleep.min(LINGER));
        }
        let until_rest = LINGER.saturating_sub(idle);
        match until_rest.is_zero() {
            true => (Pace::AtRest, until_sleep),
            false => (Pace::Busy, until_rest.min(until_sleep)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one listener hears.
pub(super) struct Ear<'a> {
    rest: &'a Rest,
    hears: bool,
}

impl Ear<'_> {
    pub(super) fn hears(&mut self, hears: bool) {
        match (self.hears, hears) {
            (false, true) => self.rest.deaf.fetch_sub(1, Ordering::Relaxed),
            (true, false) => self.rest.deaf.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        self.hears = hears;
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        self.hears(true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const BUSY: Duration = Duration::from_millis(50);
    const AT_REST: Duration = Duration::from_secs(3600);
    const SLEEP_AFTER: Duration = Duration::from_secs(30);

    /// One that had its last work so long ago.
    fn idle_for(idle: Duration, sleep_after: Option<Duration>, hears: bool) -> Arc<Rest> {
        let rest = Rest::new(sleep_after);
        let mut ear = rest.ear();
        ear.hears(hears);
        std::mem::forget(ear);
        *rest.lock() -= idle;
        Arc::new(rest)
    }

    /// One that waits, and whether it goes on doing so for a while.
    async fn waits(rest: &Arc<Rest>) -> (tokio::task::JoinHandle<()>, bool) {
        let waits = Arc::clone(rest);
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let waiting = tokio::spawn(async move { waits.pause(BUSY, AT_REST).await });
        tokio::time::sleep(BUSY * 3).await;
        let goes_on = !waiting.is_finished();
        (waiting, goes_on)
    }

    #[tokio::test]
    async fn who_has_nothing_to_do_waits_for_longer_until_there_is() {
        let rest = idle_for(Duration::ZERO, None, true);
        assert!(!waits(&rest).await.1);
        let rest = idle_for(LINGER, None, true);
        assert_eq!(rest.pace(), Pace::AtRest);
        let (waiting, goes_on) = waits(&rest).await;
        assert!(goes_on);
        rest.stir();
        waiting.await.expect("no panic");
    }

    #[tokio::test]
    async fn who_hears_nothing_does_not_rest() {
        let rest = idle_for(LINGER * 3, None, false);
        assert_eq!(rest.pace(), Pace::Busy);
        assert!(!waits(&rest).await.1);
    }

    #[tokio::test]
    async fn who_sleeps_waits_for_work_alone() {
        // Whether hints arrive or not.
        for hears in [true, false] {
            let rest = idle_for(SLEEP_AFTER, Some(SLEEP_AFTER), hears);
            let (waiting, goes_on) = waits(&rest).await;
            assert!(rest.is_asleep() && goes_on);
            rest.stir();
            waiting.await.expect("no panic");
            // Somebody may ask later.
            rest.awoke().await;
            assert!(!rest.awake().await);
        }
    }

    #[tokio::test]
    async fn a_wait_that_began_before_the_sleep_goes_on_in_it() {
        let rest = idle_for(SLEEP_AFTER - BUSY / 2, Some(SLEEP_AFTER), false);
        assert_eq!(rest.pace(), Pace::Busy);
        let (waiting, goes_on) = waits(&rest).await;
        assert!(goes_on);
        rest.stir();
        waiting.await.expect("no panic");
    }
}

//! A circuit breaker: a provider that fails again and again is left alone for a while, and then tried with one request.
//!
//! Each process has its own. It counts answers that failed in a row, retries included, and not requests: a provider that fails now and then
//! never opens it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Answers that fail in a row before the circuit opens.
pub(crate) const FAILURES: u32 = 5;
/// How long it is open at first; doubled with each probe that fails, up to what the circuit is made with.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// Where a circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Everything is let through.
    Closed,
    /// Nothing is.
    Open,
    /// One request is, and decides.
    HalfOpen,
}

impl Position {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Hears of each change of a circuit's position.
type Watch = Box<dyn Fn(Position) + Send + Sync>;

/// The circuit of one provider.
pub(crate) struct Circuit {
    state: Mutex<State>,
    longest_pause: Duration,
    watch: Watch,
}

#[derive(Debug, Clone, Copy)]
struct State {
    position: Position,
    /// Failures in a row, while it is closed.
    failures: u32,
    /// Until when it is open, and how long it has been so.
    until: Instant,
    pause: Duration,
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&*self.state()).finish()
    }
}

impl Circuit {
    /// A closed one. It is open for `longest_pause` at most before it is tried again; `watch` hears of changes.
    pub(crate) fn new(
        longest_pause: Duration,
        watch: impl Fn(Position) + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                position: Position::Closed,
                failures: 0,
                until: Instant::now(),
                pause: FIRST_PAUSE,
            }),
            longest_pause,
            watch: Box::new(watch),
        }
    }

    /// Leave to ask; none while the circuit is open, or another request finds out whether it has to stay so.
    pub(crate) fn admit(&self) -> Option<Permit<'_>> {
        self.admit_at(Instant::now())
    }

    /// Whether [`Self::admit`] would give leave.
    pub(crate) fn is_passable(&self) -> bool {
        let state = self.state();
        match state.position {
            Position::Closed => true,
            Position::Open => state.until <= Instant::now(),
            Position::HalfOpen => false,
        }
    }

    fn admit_at(&self, now: Instant) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_probe = match state.position {
            Position::Closed => false,
            Position::Open if state.until <= now => true,
            Position::Open | Position::HalfOpen => return None,
        };
        if is_probe {
            self.turn(&mut state, Position::HalfOpen);
        }
        Some(Permit {
            circuit: self,
            is_probe,
            is_judged: false,
        })
    }

    fn succeeded(&self, is_probe: bool) {
        let mut state = self.state();
        // An answer that was begun before the circuit opened says that the provider is back, too.
        if is_probe || state.position != Position::HalfOpen {
            state.failures = 0;
            state.pause = FIRST_PAUSE;
            self.turn(&mut state, Position::Closed);
        }
    }

    fn failed_at(&self, is_probe: bool, now: Instant) {
        let mut state = self.state();
        match (is_probe, state.position) {
            (true, _) => state.pause = (state.pause * 2).min(self.longest_pause),
            (false, Position::Closed) => {
                state.failures += 1;
                if state.failures < FAILURES {
                    return;
                }
                state.pause = FIRST_PAUSE.min(self.longest_pause);
            }
            // It was begun before the circuit opened: nothing new.
            (false, Position::Open | Position::HalfOpen) => return,
        }
        state.until = now + state.pause;
        self.turn(&mut state, Position::Open);
    }

    /// A probe came to nothing, such as one of a run that was cancelled: the next request is one.
    fn given_back(&self) {
        let mut state = self.state();
        state.until = Instant::now();
        self.turn(&mut state, Position::Open);
    }

    fn turn(&self, state: &mut State, position: Position) {
        if state.position != position {
            state.position = position;
            (self.watch)(position);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask a provider. Whoever has it says what came of it; dropped without a word, it counts for nothing.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    circuit: &'a Circuit,
    is_probe: bool,
    is_judged: bool,
}

impl Permit<'_> {
    /// Whether this request finds out if the provider is back: it is asked once.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The provider answered, be it that it refused what it was asked.
    pub(crate) fn succeeded(mut self) {
        self.is_judged = true;
        self.circuit.succeeded(self.is_probe);
    }

    /// The provider is in trouble.
    pub(crate) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(mut self, now: Instant) {
        self.is_judged = true;
        self.circuit.failed_at(self.is_probe, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_judged {
            self.circuit.given_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(25);

    /// A circuit that has just opened, what it has told since, and when that was.
    fn opened() -> (Circuit, mpsc::Receiver<Position>, Instant) {
        let (tell, told) = mpsc::channel();
        let tell = Arc::new(Mutex::new(tell));
        let watch = move |position| {
            let tell = tell.lock().expect("no panic");
            tell.send(position).expect("the test listens");
        };
        let circuit = Circuit::new(LONGEST, watch);
        let now = Instant::now();
        for _ in 0..FAILURES {
            circuit.admit_at(now).expect("it is closed").failed_at(now);
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Position::Open]);
        (circuit, told, now)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let circuit = Circuit::new(LONGEST, |_| panic!("it stays closed"));
        for _ in 0..FAILURES * 3 {
            for _ in 1..FAILURES {
                circuit.admit().expect("it is closed").failed();
            }
            circuit.admit().expect("it is closed").succeeded();
        }
        // What nobody judges counts for nothing.
        for _ in 0..FAILURES * 3 {
            drop(circuit.admit());
        }
        assert!(circuit.is_passable());
    }

    #[test]
    fn one_request_probes_it_and_decides() {
        let (circuit, told, now) = opened();
        assert!(circuit.admit_at(now + FIRST_PAUSE / 2).is_none());
        let later = now + FIRST_PAUSE;
        let probe = circuit.admit_at(later).expect("a probe");
        assert!(probe.is_probe());
        assert!(circuit.admit_at(later).is_none(), "one at a time");
        probe.succeeded();
        assert!(!circuit.admit_at(later).expect("it is closed").is_probe());
        assert_eq!(
            told.try_iter().collect::<Vec<_>>(),
            [Position::HalfOpen, Position::Closed]
        );
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_longer_up_to_a_bound() {
        let (circuit, _told, mut now) = opened();
        for pause in [FIRST_PAUSE, FIRST_PAUSE * 2, LONGEST, LONGEST] {
            assert!(
                circuit
                    .admit_at(now + pause - Duration::from_millis(1))
                    .is_none(),
                "{pause:?}"
            );
            now += pause;
            circuit.admit_at(now).expect("a probe").failed_at(now);
        }
        now += LONGEST;
        circuit.admit_at(now).expect("a probe").succeeded();
        // From the beginning.
        for _ in 0..FAILURES {
            circuit.admit_at(now).expect("it is closed").failed_at(now);
        }
        assert!(circuit.admit_at(now + FIRST_PAUSE).is_some());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_the_next_one_to_try() {
        let (circuit, _told, now) = opened();
        let later = now + FIRST_PAUSE;
        drop(circuit.admit_at(later).expect("a probe"));
        assert!(
            circuit
                .admit_at(later + FIRST_PAUSE)
                .expect("another")
                .is_probe()
        );
    }

    #[test]
    fn answers_from_before_neither_open_it_again_nor_end_a_probe() {
        let (circuit, _told, now) = opened();
        let late = Permit {
            circuit: &circuit,
            is_probe: false,
            is_judged: false,
        };
        late.failed_at(now + FIRST_PAUSE / 2);
        let probe = circuit
            .admit_at(now + FIRST_PAUSE)
            .expect("still as long as at first");
        let late = Permit {
            circuit: &circuit,
            is_probe: false,
            is_judged: false,
        };
        late.succeeded();
        assert!(
            circuit.admit_at(now + FIRST_PAUSE).is_none(),
            "the probe decides"
        );
        probe.succeeded();
        assert!(circuit.is_passable());
    }
}

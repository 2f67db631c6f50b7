use super::*;

fn text(delta: &str) -> Event {
    Event::TextMessageContent {
        message_id: Uuid::nil(),
        delta: delta.to_owned(),
    }
}

/// Streams that were opened at this moment, one after the other.
fn open(count: u64, at: Instant) -> (Streams, Vec<Uuid>) {
    let mut streams = Streams::default();
    let runs: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    for (&run_id, nth) in runs.iter().zip(0..) {
        let mut stream = Stream::new(1, 2, Arc::default());
        stream.due_at = at + Duration::from_micros(nth);
        streams.by_run.insert(run_id, stream);
    }
    (streams, runs)
}

#[test]
fn first_words_go_at_once_and_what_follows_goes_together() {
    let at = Instant::now();
    let (mut streams, runs) = open(1, at);
    assert!(streams.push(runs[0], text("one ")), "nobody looks for it");
    assert_eq!(streams.take_due(at).len(), 1);
    assert!(streams.push(runs[0], text("two ")));
    assert!(!streams.push(runs[0], text("three")), "it is waited for");
    assert!(streams.take_due(at + LEAST_INTERVAL / 2).is_empty());
    let next = streams.looks_at.expect("something waits");
    assert_eq!(next, at + LEAST_INTERVAL + OF_EACH);
    let batches = streams.take_due(next);
    let [batch] = batches.as_slice() else {
        panic!("{batches:?}");
    };
    assert_eq!(batch.first_seq, 3);
    assert_eq!(batch.events, [text("two three")]);
    assert_eq!(streams.looks_at, None, "nothing waits");
}

#[test]
fn of_a_crowd_those_go_first_that_have_waited_longest() {
    let at = Instant::now();
    let (mut streams, runs) = open(MOST_STREAMS as u64 + 3, at);
    for &run_id in &runs {
        streams.push(run_id, text("word"));
    }
    let now = at + LEAST_INTERVAL;
    let of = |batches: Vec<Batch>| -> Vec<Uuid> {
        batches.into_iter().map(|batch| batch.run_id).collect()
    };
    let (first, rest) = runs.split_at(MOST_STREAMS);
    assert_eq!(of(streams.take_due(now)), first);
    // Those that have just been written do not go before those that never were.
    streams.push(first[0], text("more"));
    assert!(streams.looks_at.is_some_and(|next| next <= now));
    assert_eq!(of(streams.take_due(now)), rest);
    assert_eq!(streams.looks_at, Some(now + streams.interval()));
}

#[test]
fn the_more_streams_there_are_the_less_often_each_is_written() {
    let at = Instant::now();
    let intervals = [0, 1, 100, 500, 5000].map(|count| open(count, at).0.interval().as_micros());
    assert_eq!(intervals, [40_000, 40_120, 52_000, 100_000, 100_000]);
}

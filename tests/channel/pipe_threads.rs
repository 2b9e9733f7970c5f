//! One end of a pipe, used by several threads: what arrives while one waits is not left beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use offspring::Context;
use offspring::channel::{End, Selector, pipe};

use crate::harness::{Case, Outcome};

pub(crate) const CASES: &[Case] = crate::cases![on &[Context::Inline] =>
    a_thread_receives_while_another_sends,
    two_threads_receive,
    a_thread_receives_while_another_selects,
    nobody_receives_any_more_while_both_send,
];

const ROUNDS: u64 = 2_000;
/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(60);

/// What the other end does not answer.
const NOISE: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

/// Answers what it gets, one after the other, so that nothing more arrives to wake somebody who was passed over.
fn answer(end: &End<u64, u64>) {
    loop {
        match end.recv().expect("the other end lives") {
            NOISE => {}
            END => return,
            message => end.send(message).expect("somebody waits for it"),
        }
    }
}

fn a_thread_receives_while_another_sends(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<u64, u64>()?;
    let came = AtomicU64::new(0);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| answer(&theirs));
        let receiver = scope.spawn(|| {
            for n in 1..=ROUNDS {
                assert_eq!(ours.recv_timeout(LONG).expect("it answers"), Some(n), "in its turn");
                came.store(n, Ordering::Release);
            }
        });
        for n in 1..=ROUNDS {
            ours.send(n)?;
            while came.load(Ordering::Acquire) < n && !receiver.is_finished() {
                // Looks for room first, and at what arrives meanwhile.
                ours.send_timeout(NOISE, LONG)?;
            }
        }
        receiver.join().expect("it has received all");
        Ok(ours.send(END)?)
    })
}

/// One message for each of two who receive, in one piece or not, and the next when both have come; then the end for each.
fn send_pairs(end: &End<u64, ()>, came: &mpsc::Receiver<u64>, rounds: u64) -> Outcome {
    for n in 0..rounds {
        end.send(2 * n)?;
        end.send(2 * n + 1)?;
        let mut both = [came.recv_timeout(LONG)?, came.recv_timeout(LONG)?];
        both.sort_unstable();
        assert_eq!(both, [2 * n, 2 * n + 1]);
    }
    end.send(END)?;
    Ok(end.send(END)?)
}

fn two_threads_receive(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<(), u64>()?;
    let (say, hear) = mpsc::channel();
    std::thread::scope(|scope| -> Outcome {
        for _ in 0..2 {
            let (say, ours) = (say.clone(), &ours);
            scope.spawn(move || {
                loop {
                    match ours.recv().expect("the other end lives") {
                        END => return,
                        message => say.send(message).expect("somebody counts"),
                    }
                }
            });
        }
        send_pairs(&theirs, &hear, ROUNDS)
    })
}

fn a_thread_receives_while_another_selects(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<(), u64>()?;
    let (say, hear) = mpsc::channel();
    // False at the end.
    let tell = |message: Option<u64>| match message {
        Some(END) => false,
        Some(message) => say.clone().send(message).is_ok(),
        None => true,
    };
    std::thread::scope(|scope| -> Outcome {
        let moment = Duration::from_micros(100);
        let ours = &ours;
        scope.spawn(move || while tell(ours.recv_timeout(moment).expect("the other end lives")) {});
        scope.spawn(move || {
            let mut selector = Selector::new();
            selector.pipe(ours);
            while selector.wait().is_ok() && tell(ours.try_recv().expect("the other end lives")) {}
        });
        send_pairs(&theirs, &hear, ROUNDS / 4)
    })
}

/// Each takes in what the other sends, once those have gone who would have received it.
fn nobody_receives_any_more_while_both_send(_: Context) -> Outcome {
    const BYTES: usize = 8 << 20;
    let (ours, theirs) = pipe::<Vec<u8>, Vec<u8>>()?;
    let both = |end: &End<Vec<u8>, Vec<u8>>| {
        std::thread::scope(|scope| {
            // It is there when the message begins to arrive, and gone long before that is whole.
            let receiver = scope.spawn(|| end.recv_timeout(Duration::from_millis(50)));
            end.send(vec![7; BYTES]).expect("the other end lives");
            let first = receiver.join().expect("it ends").expect("the other end lives");
            first.unwrap_or_else(|| end.recv().expect("the other end lives"))
        })
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| both(&theirs));
        assert_eq!(both(&ours).len(), BYTES);
        assert_eq!(other.join().expect("it ends").len(), BYTES);
    });
    Ok(())
}

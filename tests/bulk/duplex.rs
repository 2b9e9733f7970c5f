//! 64 MiB there and 64 MiB back, both at once, again and again: nobody waits for ever, and the owner needs no
//! more memory than it said.
//!
//! `OFFSPRING_BULK_ROUNDS` says how many on each context.

use offspring::channel::{End, Receiver, Sender, pipe, queue_of_bytes};
use offspring::{Context, Process};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};
use crate::peak::{Peak, cap};
use crate::torture;

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    through_a_pool_both_ways,
    through_a_pipe_both_ways,
    through_queues_both_ways,
];

const LENGTH: usize = 64 << 20;
const BODY: u64 = LENGTH as u64;
const PAGE: usize = 4096;
const FILL: u8 = 0x5a;
const WORKERS: usize = 2;
const IN_FLIGHT: usize = 4;

fn rounds() -> u64 {
    torture::scale("OFFSPRING_BULK_ROUNDS", 4)
}

/// Marks each page with its place and a number, so that a piece that is missing or elsewhere shows.
fn mark(bytes: &mut [u8], number: u64) {
    for (place, page) in (0u64..).zip(bytes.chunks_exact_mut(PAGE)) {
        page[..8].copy_from_slice(&number.to_ne_bytes());
        page[PAGE - 8..].copy_from_slice(&place.to_ne_bytes());
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut bytes = vec![FILL; LENGTH];
    mark(&mut bytes, number);
    bytes
}

/// The first page that is not as [`mark`] left it.
fn wrong(bytes: &[u8], number: u64) -> Option<usize> {
    if bytes.len() != LENGTH {
        return Some(bytes.len() / PAGE);
    }
    let is_right = |(place, page): (u64, &[u8])| {
        page[..8] == number.to_ne_bytes()
            && page[PAGE - 8..] == place.to_ne_bytes()
            && page[8..PAGE - 8] == [FILL; PAGE - 16]
    };
    (0u64..).zip(bytes.chunks_exact(PAGE)).position(|page| !is_right(page))
}

/// A result that shows that the argument was whole.
fn answer(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[..8]);
    let number = u64::from_ne_bytes(number);
    assert_eq!(wrong(&bytes, number), None, "argument {number}");
    mark(&mut bytes, !number);
    bytes
}

fn through_a_pool_both_ways(context: Context) -> Outcome {
    let pool = context.pool().workers(WORKERS).in_flight(IN_FLIGHT).build()?;
    pool.ready(std::time::Duration::from_secs(60))?;
    let peak = Peak::begin();
    let inputs = (0..rounds()).map(body);
    let mut count = 0;
    for (n, result) in (0..).zip(pool.map(inputs, |(), bytes| answer(bytes))) {
        assert_eq!(wrong(&result?, !n), None, "result {n}");
        count += 1;
    }
    assert_eq!(count, rounds());
    // Each input that was taken is here once, as its argument or its result; beside that the one that is being
    // encoded, and the one that is being decoded.
    let bodies = (IN_FLIGHT as u64 + 2) * BODY;
    peak.check(&format!("{count} tasks of 64 MiB both ways"), context, cap(&pool, bodies));
    let stats = pool.stats();
    assert_eq!((stats.bytes_in_flight, stats.bytes_waiting), (0, 0), "{stats:?}");
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// Of a pipe or a pair of queues: what is sent, and how it is encoded; what came meanwhile, and what it becomes.
const OF_A_CHANNEL: u64 = 4 * BODY + (4 << 20);

/// Both send before they receive.
fn through_a_pipe_both_ways(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, Vec<u8>>()?;
    let child = context.process().start(
        (rounds(), theirs),
        |(rounds, end): (u64, End<Vec<u8>, Vec<u8>>)| {
            for n in 0..rounds {
                end.send(body(!n)).expect("the owner is there");
                let bytes = end.recv().expect("the owner is there");
                assert_eq!(wrong(&bytes, n), None, "message {n}");
            }
            rounds
        },
    )?;
    let peak = Peak::begin();
    for n in 0..rounds() {
        ours.send(body(n))?;
        assert_eq!(wrong(&ours.recv()?, !n), None, "message {n}");
    }
    assert_eq!(child.join()?, rounds());
    peak.check(&format!("{} messages of 64 MiB both ways, pipe", rounds()), context, OF_A_CHANNEL);
    Ok(())
}

type Ends = (u64, Sender<Vec<u8>>, Receiver<Vec<u8>>);

/// Each queue has room for one message.
fn through_queues_both_ways(context: Context) -> Outcome {
    let (down, inbox) = queue_of_bytes::<Vec<u8>>(2, LENGTH + 64)?;
    let (outbox, up) = queue_of_bytes::<Vec<u8>>(2, LENGTH + 64)?;
    let child: Process<u64> =
        context.process().start((rounds(), outbox, inbox), |(rounds, outbox, inbox): Ends| {
            for n in 0..rounds {
                outbox.send(body(!n)).expect("the owner is there");
                let bytes = inbox.recv().expect("the owner is there");
                assert_eq!(wrong(&bytes, n), None, "message {n}");
            }
            rounds
        })?;
    let peak = Peak::begin();
    for n in 0..rounds() {
        down.send(body(n))?;
        assert_eq!(wrong(&up.recv()?, !n), None, "message {n}");
    }
    assert_eq!(child.join()?, rounds());
    peak.check(
        &format!("{} messages of 64 MiB both ways, queues", rounds()),
        context,
        OF_A_CHANNEL,
    );
    Ok(())
}

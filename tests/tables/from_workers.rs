//! Workers that send objects in the place of tables as results: each costs its task, and nothing else.
//!
//! `OFFSPRING_TABLE_ROUNDS` says how many.

use offspring::{Context, ErrorKind, SharedSlice};

use crate::harness::Outcome;
use crate::harness::leaks::descriptors;
use crate::hostile::{Lie, Tables, Ticket, parts};
use crate::torture;

const KINDS: u64 = 8;

fn table(length: usize) -> SharedSlice<u8> {
    SharedSlice::from_slice(&vec![1; length]).expect("room for a table")
}

/// A worker's answer; kind 0 is true.
fn lie(n: u64) -> Tables<Vec<SharedSlice<u8>>> {
    let ticket = Ticket::of(0);
    let (real, ticket) = match n % KINDS {
        0 => (vec![table(4096)], ticket),
        1 => (vec![table(4095)], ticket),
        2 => (vec![table(4097)], ticket),
        3 => (vec![table(4096)], Ticket { descriptor: 1, ..ticket }),
        4 => (vec![], ticket),
        5 => (vec![table(4096)], Ticket { length: 4097, ..ticket }),
        6 => (vec![table(4096)], Ticket { bytes: u64::MAX, length: u64::MAX, ..ticket }),
        _ => (vec![table(100), table(4096)], ticket),
    };
    Lie(real, ticket, None)
}

/// The same with memory that can still be written and shrunk, and pipes.
fn writable(n: u64) -> Tables<Vec<offspring::SharedPart<u8>>> {
    let descriptor = u32::try_from(n % 3).expect("a small number");
    Lie(parts().expect("room for parts"), Ticket::of(descriptor), None)
}

#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn objects_in_the_place_of_results(context: Context) -> Outcome {
    let rounds = torture::scale("OFFSPRING_TABLE_ROUNDS", 200);
    let pool = context.pool().workers(2).build()?;
    pool.ready(std::time::Duration::MAX)?;
    let before = descriptors().len();
    let (mut taken, mut refused) = (0u64, 0u64);
    for (n, result) in (0..rounds).zip(pool.map(0..rounds, |(), n| lie(n))) {
        match result {
            Ok(answer) => {
                let table = answer.2.expect("it is decoded");
                assert!(n % KINDS == 0 && *table == [1; 4096], "result {n} was taken");
                taken += 1;
            }
            Err(error) => {
                assert!(n % KINDS != 0, "result {n}: {error}");
                assert_eq!(error.kind(), ErrorKind::DecodeResult, "result {n}: {error}");
                refused += 1;
            }
        }
    }
    for (n, result) in (0..rounds).zip(pool.map(0..rounds, |(), n| writable(n))) {
        let error = result.err().expect("it is no table");
        assert_eq!(error.kind(), ErrorKind::DecodeResult, "result {n}: {error}");
        refused += 1;
    }
    assert_eq!((taken, refused), (rounds.div_ceil(KINDS), 2 * rounds - rounds.div_ceil(KINDS)));
    assert_eq!(descriptors().len(), before, "what was refused is closed");
    torture::report(format_args!("forged results on {context}: {refused} refused, {taken} taken"));
    assert_eq!(pool.submit(5u64, |(), n| n)?.join()?, 5, "it serves");
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

//! An owner that spoils what it sends: its worker says so, and is as good as before.

use std::collections::BTreeMap;
use std::time::Duration;

use offspring::{Context, ErrorKind};

use crate::harness::props::{Random, from_env, kill};
use crate::harness::{Case, Outcome, PROCESSES};
use crate::rings::{HEAD, Ring, Rings};
use crate::tree::{Tree, spoil};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES => spoilt_tasks];

/// So many tasks on each context.
const TASKS: u64 = 20_000;
/// So many are sent at once.
const BATCH: u64 = 64;

/// Spoils what the worker has not read yet, but for where frames begin and end. Returns how many those are.
fn spoil_all(rings: &Rings, random: &mut Random) -> u64 {
    let (mut position, tail) = rings.published(Ring::Down);
    let mut count = 0;
    while position < tail {
        let mut head = [0; HEAD];
        rings.read(Ring::Down, position, &mut head);
        let length = usize::try_from(u64::from_ne_bytes(head) & 0x7fff_ffff).unwrap();
        assert!(length < 1000, "a small task: {head:x?}");
        let mut bytes = vec![0; length];
        rings.read(Ring::Down, position + HEAD as u64, &mut bytes);
        // The name of the function, which mostly stays, then the argument.
        let from = if random.below(20) == 0 || length <= 8 { 0 } else { 8 };
        spoil(&mut bytes[from..], random);
        rings.write(Ring::Down, position + HEAD as u64, &bytes);
        position += (HEAD + length.next_multiple_of(8)) as u64;
        count += 1;
    }
    count
}

fn spoilt_tasks(context: Context) -> Outcome {
    let wanted = from_env("OFFSPRING_HOSTILE_TASKS").unwrap_or(TASKS);
    let mut random = Random::new();
    let pool = context.pool().workers(1).in_flight(1024).build()?;
    pool.ready(Duration::from_secs(200))?;
    let rings = Rings::find();
    let pid = pool.submit((), |(), ()| std::process::id())?.join()?;
    let (mut spoilt, mut round, mut seen) = (0, 0u64, BTreeMap::new());
    while spoilt < wanted {
        round += 1;
        // It gets many ahead when it was quick with those before.
        for answer in pool.map(0..200u64, |(), n| n) {
            answer?;
        }
        kill(pid, libc::SIGSTOP);
        let task = |(): &mut (), tree: Tree| tree.depth();
        let tasks = (0..BATCH).map(|n| pool.submit(Tree::of(n), task));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        spoilt += spoil_all(&rings, &mut random);
        kill(pid, libc::SIGCONT);
        for (n, task) in tasks.into_iter().enumerate() {
            let kind = match task.join() {
                Ok(depth) => {
                    assert!(depth < 10, "round {round}, task {n}: {depth}");
                    None
                }
                Err(error) => {
                    // An argument that cannot be read, or a function that does not exist.
                    let right =
                        matches!(error.kind(), ErrorKind::DecodeArguments | ErrorKind::Protocol);
                    assert!(right, "round {round}, task {n}: {error}");
                    Some(format!("{:?}", error.kind()))
                }
            };
            *seen.entry(kind).or_insert(0u64) += 1;
        }
        assert_eq!(pool.submit((), |(), ()| std::process::id())?.join()?, pid, "round {round}");
    }
    println!("{spoilt} spoilt tasks in {round} rounds: {seen:?}");
    assert!(seen.len() >= 3, "all sorts of outcomes: {seen:?}");
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 0, "the worker lives: {report:?}");
    assert!(report.abnormal_exits().is_empty(), "{report:?}");
    Ok(())
}

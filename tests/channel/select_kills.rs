//! Processes that are killed while they wait in a selector, or while they send to those who do.

use std::time::Duration;

use offspring::channel::{Receiver, Selector, Sender, queue};
use offspring::{Context, ErrorKind, SharedSlice};

use crate::harness::leaks::remove_names_of_the_killed;
use crate::harness::props::{Random, from_env};
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const CASES: &[Case] =
    crate::cases![on ISOLATED => killed_while_they_wait, killed_while_they_send];

const LONG: Duration = Duration::from_secs(60);

fn rounds(usual: u64) -> u64 {
    from_env("OFFSPRING_QUEUE_ROUNDS").unwrap_or(usual)
}

/// Its number, bytes that show whether it is whole, and in every third a table that holds the number too: a descriptor
/// goes ahead of its message, in another way than the bytes.
type Item = (u64, Vec<u8>, Option<SharedSlice<u64>>);
type Ends = (Receiver<Item>, Receiver<Item>, Sender<u64>);

fn item(number: u64) -> Item {
    let table = (number % 3 == 0).then(|| SharedSlice::from_slice(&[number]).unwrap());
    (number, vec![number as u8; 1000], table)
}

fn checked((number, bytes, table): Item) -> u64 {
    assert!(bytes == vec![number as u8; 1000], "{number} is torn");
    let (table, own) = (table.map(|table| table.to_vec()), (number % 3 == 0).then(|| vec![number]));
    assert_eq!(table, own, "{number} came with another's table");
    number
}

/// Waits, and takes nothing.
fn watch((one, two, notes): Ends) {
    let mut selector = Selector::new();
    selector.receiver(&one);
    selector.receiver(&two);
    notes.send(u64::MAX).unwrap();
    loop {
        selector.wait().unwrap();
    }
}

/// Passes on what comes, until a queue is closed.
fn pass_on((one, two, notes): Ends) {
    let mut selector = Selector::new();
    selector.receiver(&one);
    selector.receiver(&two);
    loop {
        let end = [&one, &two][selector.wait().unwrap()];
        match end.try_recv() {
            Ok(item) => item.into_iter().for_each(|item| notes.send(checked(item)).unwrap()),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
    }
}

fn killed_while_they_wait(context: Context) -> Outcome {
    let mut random = Random::new();
    let (first, one) = queue::<Item>(16)?;
    let (second, two) = queue::<Item>(16)?;
    let (notes, noted) = queue::<u64>(16)?;
    let ends = || (one.clone(), two.clone(), notes.clone());
    let worker = context.process().start(ends(), pass_on)?;
    for round in 0..rounds(50) {
        let victim = context.process().start(ends(), watch)?;
        let hello = noted.recv_timeout(LONG)?;
        assert_eq!(hello, Some(u64::MAX), "round {round}: the victim waits");
        let before = random.below(4);
        for number in 0..8 {
            if number == before {
                std::thread::sleep(Duration::from_micros(random.below(500)));
                victim.kill()?;
            }
            let sender = if random.below(2) == 0 { &first } else { &second };
            sender.send(item(number))?;
            let came = noted.recv_timeout(LONG)?;
            assert_eq!(came, Some(number), "round {round}: killed before {before}");
        }
        drop(victim);
    }
    drop((first, second));
    worker.join()?;
    Ok(())
}

fn killed_while_they_send(context: Context) -> Outcome {
    let mut random = Random::new();
    for round in 0..rounds(20) {
        let (first, one) = queue::<Item>(1 + random.place(4))?;
        let (second, two) = queue::<Item>(1 + random.place(4))?;
        let mut children = Vec::new();
        for sender in [first, second] {
            children.push(context.process().start(sender, |sender: Sender<Item>| -> () {
                for number in 0.. {
                    sender.send(item(number)).unwrap();
                }
            })?);
        }
        let limit = random.below(300);
        let pids = [children[0].id(), children[1].id()];
        let ends = [&one, &two];
        let mut selector = Selector::new();
        for end in ends {
            selector.receiver(end);
        }
        for child in &mut children {
            selector.process(child);
        }
        let (mut next, mut killed) = ([0; 2], false);
        while !selector.is_empty() {
            let ready = selector.wait_timeout(LONG)?;
            let ready = ready.ok_or_else(|| format!("round {round}: stuck after {next:?}"))?;
            if ready >= 2 {
                assert!(killed, "round {round}: {ready} ended by itself");
                selector.remove(ready);
                continue;
            }
            match ends[ready].try_recv() {
                Ok(Some(item)) => {
                    assert_eq!(checked(item), next[ready], "round {round}: from {ready}");
                    next[ready] += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Closed, "round {round}: {error}");
                    selector.remove(ready);
                }
            }
            if !killed && next[0] + next[1] >= limit {
                killed = true;
                pids.iter().for_each(|pid| crate::harness::props::kill(*pid, libc::SIGKILL));
            }
        }
        assert!(killed && next[0] + next[1] >= limit, "round {round}: {next:?} of {limit}");
    }
    remove_names_of_the_killed();
    Ok(())
}

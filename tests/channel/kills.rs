//! Several producers and consumers, killed at random moments: nothing twice, nothing torn, no descriptor in the wrong
//! message, nobody stuck.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::channel::{Receiver, Sender, queue};
use offspring::{Context, ErrorKind, Process, SharedArray, SharedSlice};

use crate::harness::leaks::remove_names_of_the_killed;
use crate::harness::props::{Random, from_env};
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, eventually};

pub(crate) const CASES: &[Case] = crate::cases![on ISOLATED => exact_counts, random_kills];

/// Who sent it, which it is, bytes that show whether it is whole, and in every third a table that says whose it is.
type Item = (u64, u64, Vec<u8>, Option<SharedSlice<u64>>);
/// Who took it, who sent it, which it was, or what was wrong with it; `None` in the end. (A panic would be
/// lost with a consumer that is killed after it.)
type Note = (u64, Option<Result<(u64, u64), String>>);

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 3;
/// How many each producer sends in a round.
const COUNT: u64 = 300;
const LIMIT: Duration = Duration::from_secs(60);

fn content(producer: u64, number: u64) -> Vec<u8> {
    let length = match number % 50 {
        0 => 70_000,
        rest => rest * 3,
    };
    vec![(producer * 31 + number) as u8; usize::try_from(length).unwrap()]
}

/// A descriptor goes ahead of its message, in another way than the bytes.
fn table(producer: u64, number: u64) -> Option<SharedSlice<u64>> {
    (number % 3 == 0).then(|| SharedSlice::from_slice(&[producer, number]).unwrap())
}

/// What a producer is given: who it is, how many it sends, where to, and where it counts those that were taken from it.
type Work = (u64, u64, Sender<Item>, SharedArray<AtomicU64>);

fn produce((producer, count, sender, sent): Work) -> u64 {
    for number in 0..count {
        let item = (producer, number, content(producer, number), table(producer, number));
        if let Err(error) = sender.send(item) {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            return number;
        }
        sent[producer as usize].store(number + 1, Ordering::Release);
    }
    count
}

fn checked((producer, number, bytes, table): Item) -> Result<(u64, u64), String> {
    if bytes != content(producer, number) {
        return Err(format!("{producer}/{number} is torn"));
    }
    let own = (number % 3 == 0).then(|| vec![producer, number]);
    let table = table.map(|table| table.to_vec());
    if table != own {
        return Err(format!("{producer}/{number} came with the table {table:?}"));
    }
    Ok((producer, number))
}

fn consume((consumer, receiver, notes): (u64, Receiver<Item>, Sender<Note>)) {
    for item in &receiver {
        let checked = item.map_err(|error| error.to_string()).and_then(checked);
        notes.send((consumer, Some(checked))).unwrap();
    }
    notes.send((consumer, None)).unwrap();
}

struct Team {
    producers: Vec<Option<Process<u64>>>,
    consumers: Vec<Option<Process<()>>>,
    notes: Receiver<Note>,
    /// How many each producer knows to be sent.
    sent: SharedArray<AtomicU64>,
}

fn team(context: Context, count: u64, capacity: usize) -> offspring::Result<Team> {
    let (items, inbox) = queue::<Item>(capacity)?;
    let (noting, notes) = queue::<Note>(1 << 20)?;
    let sent = SharedArray::new(PRODUCERS as usize)?;
    let producers = (0..PRODUCERS)
        .map(|n| {
            context.process().start((n, count, items.clone(), sent.clone()), produce).map(Some)
        })
        .collect::<Result<_, _>>()?;
    let consumers = (0..CONSUMERS)
        .map(|n| context.process().start((n, inbox.clone(), noting.clone()), consume).map(Some))
        .collect::<Result<_, _>>()?;
    Ok(Team { producers, consumers, notes, sent })
}

fn exact_counts(context: Context) -> Outcome {
    let count = 2000;
    let Team { producers, consumers, notes, .. } = team(context, count, 8)?;
    let (mut seen, mut ends) = (BTreeSet::new(), 0);
    for note in &notes {
        match note?.1 {
            Some(item) => {
                let item = item?;
                assert!(seen.insert(item), "{item:?} came twice");
            }
            None => ends += 1,
        }
    }
    assert_eq!((seen.len() as u64, ends), (PRODUCERS * count, CONSUMERS));
    for producer in producers.into_iter().flatten() {
        assert_eq!(producer.join()?, count);
    }
    for consumer in consumers.into_iter().flatten() {
        consumer.join()?;
    }
    Ok(())
}

fn random_kills(context: Context) -> Outcome {
    let mut random = Random::new();
    let rounds = from_env("OFFSPRING_QUEUE_ROUNDS").unwrap_or(15);
    let mut all = Vec::new();
    for round in 0..rounds {
        let killed = one_round(context, &mut random);
        all.extend(killed.map_err(|error| format!("round {round}: {error}"))?);
    }
    remove_names_of_the_killed();
    let amid = all.iter().filter(|sent| (1..COUNT).contains(sent)).count();
    let none = format!("no producer was killed in the middle of its {COUNT} items");
    assert!(amid > 0, "in {rounds} rounds {none}, those that were had sent {all:?}");
    Ok(())
}

/// Returns how many each producer that was killed knew to be sent.
fn one_round(
    context: Context,
    random: &mut Random,
) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    let count = COUNT;
    let capacity = 1 + random.place(6);
    let mut team = team(context, count, capacity)?;
    let mut killed = Vec::new();
    // Before that, some children are not even there yet.
    let progress = random.below(PRODUCERS * count / 2);
    let all_sent = || team.sent.iter().map(|sent| sent.load(Ordering::Acquire)).sum::<u64>();
    eventually("the producers have sent a part", || all_sent() >= progress);
    // Up to two of each are killed, one of each always lives.
    let (mut dead_producers, mut dead_consumers) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1 + random.below(4) {
        let pause = Duration::from_micros(random.below(8000));
        std::thread::sleep(pause);
        if random.below(2) == 0 && dead_producers.len() < 2 {
            let place = random.place(3);
            if let Some(producer) = team.producers[place].take() {
                producer.kill()?;
                drop(producer);
                dead_producers.insert(place as u64);
                killed.push(team.sent[place].load(Ordering::Acquire));
            }
        } else if dead_consumers.len() < 2 {
            let place = random.place(3);
            if let Some(consumer) = team.consumers[place].take() {
                consumer.kill()?;
                dead_consumers.insert(place as u64);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut ends = BTreeSet::new();
    loop {
        match team.notes.recv_timeout(LIMIT) {
            Ok(Some((_, Some(item)))) => {
                let item = item?;
                if !seen.insert(item) {
                    return Err(format!("{item:?} came twice").into());
                }
            }
            Ok(Some((consumer, None))) => assert!(ends.insert(consumer)),
            Ok(None) => return Err(format!("stuck: {} items, ends {ends:?}", seen.len()).into()),
            Err(error) if error.kind() == ErrorKind::Closed => break,
            Err(error) => return Err(error.into()),
        }
    }
    // Each consumer that was killed may have taken one that it did not note.
    let mut missing = 0;
    for producer in 0..PRODUCERS {
        let numbers: BTreeSet<u64> =
            seen.iter().filter(|item| item.0 == producer).map(|item| item.1).collect();
        let sent = if dead_producers.contains(&producer) {
            // A beginning of all: what it knew to be sent, and perhaps one more, which is seen if it came.
            let known = team.sent[producer as usize].load(Ordering::Acquire);
            numbers.last().map_or(0, |last| last + 1).max(known)
        } else {
            count
        };
        missing += sent - numbers.len() as u64;
    }
    let allowed = dead_consumers.len() as u64;
    if missing > allowed {
        return Err(format!("{missing} are missing, {allowed} consumers were killed").into());
    }
    for producer in team.producers.into_iter().flatten() {
        assert_eq!(producer.join()?, count);
    }
    for consumer in team.consumers.into_iter().flatten() {
        consumer.join()?;
    }
    Ok(killed)
}

//! Somebody writes to the memory of a queue what no end of it writes: an error for the others, and no more.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use offspring::channel::{Receiver, Sender, queue};
use offspring::{Context, ErrorKind};

use crate::harness::leaks::SHARED_MEMORY;
use crate::harness::{Case, Outcome};

pub(crate) const CASES: &[Case] = crate::cases![
    words_that_cannot_be,
    // Elsewhere the system does not say how much of a file is there.
    #[cfg(not(offspring_force_portable))]
    lengths_that_cannot_be,
];

const LONG: Duration = Duration::from_secs(60);
/// Of the message that is there; a word of that size stands for nothing else.
const BYTES: usize = 123_456;
const WORD: usize = size_of::<u64>();
/// What a queue says about itself: where its message begins and ends, how many there are and of how many bytes, how
/// many are not done, and up to where memory was given back.
type State = [u64; 6];
/// What stands before a message: its length, the number of the attempt, how many descriptors.
const HEAD: u64 = 24;

type Ends = (Sender<Vec<u8>>, Receiver<Vec<u8>>);

/// What is put in the place of the state that is there.
type Forge = fn(State) -> State;

const FORGED: &[Forge] = &[
    |[_, tail, rest @ ..]| spread(tail, tail, rest),
    |[_, tail, rest @ ..]| spread(u64::MAX, tail, rest),
    |[_, _, rest @ ..]| spread(0, u64::MAX, rest),
    |[_, _, rest @ ..]| spread(0, 1 << 40, rest),
    |[head, tail, _, rest @ ..]| [head, tail, 2, rest[0], rest[1], rest[2]],
    |[head, tail, _, rest @ ..]| [head, tail, u64::MAX, rest[0], rest[1], rest[2]],
    |[head, tail, messages, _, rest @ ..]| [head, tail, messages, 0, rest[0], rest[1]],
    |[head, tail, messages, _, rest @ ..]| [head, tail, messages, u64::MAX, rest[0], rest[1]],
    |[_, _, messages, bytes, rest @ ..]| {
        // It agrees with itself, and ends where no file does.
        [u64::MAX - HEAD - bytes, u64::MAX, messages, bytes, rest[0], rest[1]]
    },
    |_| [u64::MAX; 6],
];

fn spread(head: u64, tail: u64, rest: [u64; 4]) -> State {
    [head, tail, rest[0], rest[1], rest[2], rest[3]]
}

/// Shared memory that this process has mapped for writing, with where it is.
fn mapped() -> std::io::Result<Vec<(u64, Vec<u64>)>> {
    let memory = File::open("/proc/self/mem")?;
    let mut all = Vec::new();
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        if !line.contains(SHARED_MEMORY) || !line.contains("rw-s") {
            continue;
        }
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = range.map(|(start, end)| (number(start), number(end))).expect("a range");
        let mut bytes = vec![0; usize::try_from(end - start).expect("it is mapped")];
        memory.read_exact_at(&mut bytes, start)?;
        let words = bytes.chunks_exact(WORD);
        let words = words.map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes")));
        all.push((start, words.collect()));
    }
    Ok(all)
}

/// Puts other words in the place of the state of the queue that has one message; how many times it was found.
fn forge(change: Forge) -> std::io::Result<usize> {
    let memory = File::options().write(true).open("/proc/self/mem")?;
    let mut found = 0;
    for (start, words) in mapped()? {
        for (index, state) in words.windows(6).enumerate() {
            let state: State = state.try_into().expect("6 words");
            let [head, tail, messages, bytes, unfinished, released] = state;
            let is_it = bytes >= BYTES as u64 && tail == bytes.wrapping_add(HEAD);
            if is_it && [head, messages, unfinished, released] == [0, 1, 1, 0] {
                let new: Vec<u8> =
                    change(state).iter().flat_map(|word| word.to_ne_bytes()).collect();
                memory.write_all_at(&new, start + (index * WORD) as u64)?;
                found += 1;
            }
        }
    }
    Ok(found)
}

/// A queue with one message, and a sender for somebody else.
fn with_a_message() -> Result<Ends, Box<dyn std::error::Error>> {
    let (sender, receiver) = queue::<Vec<u8>>(4)?;
    sender.send(vec![7; BYTES])?;
    Ok((sender, receiver))
}

/// All that can be done with the ends says what is wrong.
fn expect_refused(what: &str, sender: &Sender<Vec<u8>>, receiver: &Receiver<Vec<u8>>) {
    for _ in 0..2 {
        for result in [receiver.recv_timeout(LONG), receiver.try_recv(), receiver.recv().map(Some)]
        {
            let error = result.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Protocol, "{what}: {error}");
        }
        let error = sender.try_send(vec![1]).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{what}: {error}");
    }
}

fn words_that_cannot_be(context: Context) -> Outcome {
    for number in 0..FORGED.len() {
        let what = format!("state {number}");
        let (sender, receiver) = with_a_message()?;
        let child = context.process().start((sender.clone(), number), |(sender, number)| {
            let found = forge(FORGED[number]).unwrap();
            drop::<Sender<Vec<u8>>>(sender);
            found
        })?;
        assert!(child.join()? > 0, "{what}: the state was found");
        expect_refused(&what, &sender, &receiver);
    }
    Ok(())
}

#[cfg(not(offspring_force_portable))]
/// Writes the length before the message, and a state that agrees with it.
fn lengthen(bytes: u64) -> std::io::Result<usize> {
    let mut found = 0;
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let Ok(file) = File::options().read(true).write(true).open(entry.path()) else { continue };
        let mut head = [0; WORD];
        let is_it = file.metadata()?.is_file()
            && file.read_exact_at(&mut head, 0).is_ok()
            && (BYTES..BYTES + 16)
                .contains(&usize::try_from(u64::from_ne_bytes(head)).unwrap_or(0));
        if is_it {
            file.write_all_at(&bytes.to_ne_bytes(), 0)?;
            // As long as it says, and empty behind what is there.
            file.set_len(bytes + HEAD)?;
            found += 1;
        }
    }
    Ok(found)
}

#[cfg(not(offspring_force_portable))]
fn lengths_that_cannot_be(context: Context) -> Outcome {
    let (sender, receiver) = with_a_message()?;
    let child = context.process().start(sender.clone(), |sender| {
        // More than any machine has, and memory for none of it.
        let found = lengthen(1 << 39).unwrap();
        let forged = forge(|[head, _, messages, _, rest @ ..]| {
            [head, (1 << 39) + HEAD, messages, 1 << 39, rest[0], rest[1]]
        });
        drop::<Sender<Vec<u8>>>(sender);
        (found, forged.unwrap())
    })?;
    let (found, forged) = child.join()?;
    assert!(found > 0 && forged > 0, "the message was found: {found}, {forged}");
    let error = receiver.recv_timeout(LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    Ok(())
}

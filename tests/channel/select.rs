//! Selectors: what is ready, in turns, with limits, and what is closed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use offspring::channel::{End, Receiver, Selector, Sender, pipe, queue, queue_of_bytes};
use offspring::{Context, ErrorKind, Sendable};

use crate::harness::{Case, Outcome};

pub(crate) const CASES: &[Case] = crate::cases![
    everything_in_one_selector,
    turns,
    closed_is_ready,
    limits_of_selectors,
    room_in_queues,
    a_ring_that_nobody_took_out,
    room_in_pipes,
    taken_by_somebody_else,
    tasks_beside_a_queue,
];

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60);

type Ends = (Sender<u64>, Sender<String>, End<Vec<u8>, ()>);

fn everything_in_one_selector(context: Context) -> Outcome {
    const COUNT: u64 = 50;
    let (numbers, number) = queue::<u64>(64)?;
    let (words, word) = queue::<String>(64)?;
    let (ours, theirs) = pipe::<(), Vec<u8>>()?;
    let (mut reader, mut writer) = UnixStream::pair()?;
    let pool = context.pool().workers(1).build()?;
    let task = pool.submit(20u64, |(), n| n + 1)?;
    let mut child =
        context.process().start((numbers, words, theirs), |(numbers, words, end): Ends| {
            for n in 0..COUNT {
                numbers.send(n).unwrap();
                words.send(n.to_string()).unwrap();
                // Inline, all of it is sent before any of it is read: as much as the smallest buffers hold.
                if n % 10 == 0 {
                    end.send(vec![1; 100]).unwrap();
                }
            }
            COUNT
        })?;
    writer.write_all(b"x")?;

    let (mut sum, mut text, mut bytes, mut seen) = (0, String::new(), 0, BTreeSet::new());
    let mut selector = Selector::new();
    let added = [
        selector.receiver(&number),
        selector.receiver(&word),
        selector.pipe(&ours),
        selector.process(&mut child),
        selector.task(&task),
        selector.readable(&reader),
    ];
    assert_eq!(added, [0, 1, 2, 3, 4, 5]);
    while !selector.is_empty() {
        let Some(ready) = selector.wait_timeout(LONG)? else {
            return Err(format!("nothing comes of {selector:?}; ready were {seen:?}").into());
        };
        seen.insert(ready);
        let closed = match ready {
            0 => number.try_recv().map(|number| sum += number.unwrap_or(0)),
            1 => word.try_recv().map(|word| text += &word.unwrap_or_default()),
            2 => ours.try_recv().map(|some| bytes += some.unwrap_or_default().len()),
            _ => {
                selector.remove(ready);
                Ok(())
            }
        };
        match closed {
            Err(error) if error.kind() == ErrorKind::Closed => selector.remove(ready),
            other => other?,
        }
    }
    drop(selector);
    assert_eq!(sum, (0..COUNT).sum());
    assert_eq!(text, (0..COUNT).map(|n| n.to_string()).collect::<String>());
    assert_eq!(bytes as u64, COUNT / 10 * 100);
    assert!(seen.into_iter().eq(0..6));
    assert_eq!((child.join()?, task.join()?), (COUNT, 21));
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    assert_eq!(byte, *b"x");
    pool.shutdown()?;
    Ok(())
}

fn turns(_: Context) -> Outcome {
    let (first, one) = queue::<u64>(1000)?;
    let (second, two) = queue::<u64>(1000)?;
    let (ours, theirs) = pipe::<u64, u64>()?;
    let (_open, never) = queue::<u64>(1)?;
    for n in 0..100 {
        first.send(n)?;
        second.send(n)?;
    }
    // As much as the smallest buffers hold; what is taken is sent again.
    for n in 0..3 {
        theirs.send(n)?;
    }
    drop(second);
    let take = |ready| match ready {
        0 => one.try_recv().unwrap(),
        1 => two.try_recv().unwrap(),
        2 => {
            theirs.send(0).unwrap();
            ours.try_recv().unwrap()
        }
        other => panic!("{other} is never ready"),
    };
    let mut selector = Selector::new();
    selector.receiver(&one);
    selector.receiver(&two);
    selector.pipe(&ours);
    selector.receiver(&never);
    let mut counts = [0; 3];
    for _ in 0..60 {
        let ready = selector.wait()?;
        assert!(take(ready).is_some(), "{ready}");
        counts[ready] += 1;
    }
    assert_eq!(counts, [20; 3]);
    // The same for selectors that are made anew.
    let mut counts = [0; 3];
    for _ in 0..60 {
        let mut selector = Selector::new();
        selector.receiver(&one);
        selector.receiver(&two);
        selector.pipe(&ours);
        let ready = selector.try_wait()?.ok_or("something is ready")?;
        assert!(take(ready).is_some(), "{ready}");
        counts[ready] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
    // One that always has something keeps nobody from seeing that another was closed.
    while two.try_recv().is_ok() {}
    let ready: BTreeSet<_> = (0..10).map(|_| selector.wait().unwrap()).collect();
    assert!(ready.into_iter().eq(0..3));
    Ok(())
}

fn closed_is_ready(context: Context) -> Outcome {
    let (sender, inbox) = queue::<u64>(4)?;
    let (outbox, receiver) = queue::<u64>(1)?;
    let (ours, theirs) = pipe::<u64, u64>()?;
    outbox.send(1)?;
    {
        let mut selector = Selector::new();
        selector.receiver(&inbox);
        selector.sender(&outbox);
        selector.pipe(&ours);
        assert_eq!(selector.try_wait()?, None);
    }
    let child = context.process().start((sender, receiver, theirs), |ends| {
        let (sender, receiver, end): (Sender<u64>, Receiver<u64>, End<u64, u64>) = ends;
        sender.send(7).unwrap();
        drop((sender, receiver, end));
    })?;
    let mut selector = Selector::new();
    selector.receiver(&inbox);
    selector.sender(&outbox);
    selector.pipe(&ours);
    let mut message = None;
    while !selector.is_empty() {
        let ready = selector.wait_timeout(LONG)?.ok_or("nothing was closed")?;
        let closed = match ready {
            0 => match inbox.try_recv() {
                Ok(some) => {
                    message = message.or(some);
                    continue;
                }
                Err(error) => error,
            },
            1 => outbox.try_send(2).unwrap_err().into(),
            _ => ours.try_recv().unwrap_err(),
        };
        assert_eq!(closed.kind(), ErrorKind::Closed, "{ready}: {closed}");
        // It stays so.
        assert!(selector.try_wait()?.is_some());
        selector.remove(ready);
    }
    assert_eq!(message, Some(7), "what was sent before comes first");
    child.join()?;
    Ok(())
}

fn limits_of_selectors(_: Context) -> Outcome {
    let mut selector = Selector::new();
    let error = selector.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("nothing to wait for"), "{error}");
    let (sender, receiver) = queue::<u64>(4)?;
    let (ours, theirs) = pipe::<u64, u64>()?;
    assert_eq!(selector.receiver(&receiver), 0);
    assert_eq!(selector.pipe(&ours), 1);
    selector.remove(7);
    assert_eq!(selector.len(), 2);
    for _ in 0..3 {
        assert_eq!(selector.try_wait()?, None);
        assert_eq!(selector.wait_timeout(Duration::ZERO)?, None);
        let start = Instant::now();
        assert_eq!(selector.wait_timeout(SHORT)?, None);
        assert!(start.elapsed() >= SHORT);
        sender.send(1)?;
        assert_eq!(selector.wait_timeout(Duration::MAX)?, Some(0));
        assert_eq!(receiver.try_recv()?, Some(1));
        theirs.send(2)?;
        assert_eq!(selector.wait()?, 1);
        assert_eq!(ours.try_recv()?, Some(2));
    }
    selector.remove(0);
    sender.send(1)?;
    assert_eq!(selector.try_wait()?, None, "removed");
    selector.remove(1);
    assert!(selector.is_empty());
    Ok(())
}

fn room_in_queues(_: Context) -> Outcome {
    let (small, from_small) = queue::<u64>(2)?;
    let (large, from_large) = queue_of_bytes::<Vec<u8>>(100, 10_000)?;
    let mut selector = Selector::new();
    selector.sender(&small);
    selector.sender(&large);
    assert!(selector.try_wait()?.is_some());
    (0..2).for_each(|n| small.try_send(n).unwrap());
    (0..9).for_each(|_| large.try_send(vec![1; 1000]).unwrap());
    assert_eq!(selector.try_wait()?, Some(1), "there are some bytes left");
    // Who was refused waits for as much as that takes.
    assert_eq!(large.try_send(vec![1; 3000]).unwrap_err().kind(), ErrorKind::Busy);
    for taken in 0..2 {
        let ready = selector.wait_timeout(SHORT)?;
        assert_eq!(ready, None, "{taken} taken, {large:?}");
        from_large.recv()?;
    }
    assert_eq!(selector.wait()?, 1);
    large.try_send(vec![1; 3000])?;
    assert_eq!(large.try_send(vec![1; 3000]).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(selector.wait_timeout(SHORT)?, None);
    from_small.recv()?;
    assert_eq!(selector.wait()?, 0);
    small.try_send(3)?;
    assert_eq!(selector.try_wait()?, None);
    Ok(())
}

/// The kernel tells receivers of a connection that was reset before it gives them what was sent.
fn a_ring_that_nobody_took_out(_: Context) -> Outcome {
    let (sender, receiver) = queue::<Sendable<File>>(1)?;
    let file = || File::open("/dev/null").map(Sendable::new);
    sender.send(file()?)?;
    let mut selector = Selector::new();
    selector.sender(&sender);
    // So that it is known to be polled for room.
    assert_eq!(selector.wait_timeout(Duration::from_millis(10))?, None);
    receiver.recv()?;
    sender.send(file()?)?;
    drop(selector);
    drop(sender);
    receiver.recv()?;
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

fn room_in_pipes(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, ()>()?;
    let mut selector = Selector::new();
    selector.pipe_room(&ours);
    let mut sent = 0;
    while selector.try_wait()?.is_some() {
        ours.try_send(vec![1; 1000])?;
        sent += 1;
    }
    assert_eq!(ours.try_send(vec![1; 1000]).unwrap_err().kind(), ErrorKind::Busy);
    for n in 0..sent {
        assert_eq!(theirs.try_recv()?, Some(vec![1; 1000]), "{n} of {sent}");
    }
    assert_eq!(selector.wait()?, 0);
    drop(theirs);
    assert_eq!(selector.wait()?, 0);
    assert_eq!(ours.try_send(vec![1]).unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

fn taken_by_somebody_else(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(8)?;
    let other = receiver.clone();
    let mut selector = Selector::new();
    selector.receiver(&other);
    for n in 0..10 {
        // So that somebody is known to have gone to sleep.
        assert_eq!(selector.wait_timeout(Duration::from_millis(1))?, None);
        sender.send(n)?;
        assert_eq!(selector.try_wait()?, Some(0));
        let taken = context
            .process()
            .start(receiver.clone(), |receiver: Receiver<u64>| receiver.try_recv().unwrap())?;
        assert_eq!(taken.join()?, Some(n));
        assert_eq!(other.try_recv()?, None);
        assert_eq!(selector.try_wait()?, None, "{n}: it is gone");
        assert_eq!(selector.wait_timeout(Duration::from_millis(1))?, None);
    }
    Ok(())
}

fn tasks_beside_a_queue(context: Context) -> Outcome {
    const COUNT: u64 = 20;
    let (sender, receiver) = queue::<u64>(64)?;
    let pool = context.pool().workers(2).init(sender.clone(), |sender| sender).build()?;
    let other = context.pool().workers(1).build()?;
    let mut tasks = Vec::new();
    for n in 0..COUNT {
        tasks.push(pool.submit(n, |sender: &mut Sender<u64>, n| {
            sender.send(n).unwrap();
            2 * n
        })?);
    }
    tasks.push(other.submit((), |(), ()| 2 * COUNT)?);
    let mut selector = Selector::new();
    let numbers: Vec<_> = tasks.iter().map(|task| selector.task(task)).collect();
    assert!(numbers.into_iter().eq(0..tasks.len()));
    let numbers = selector.receiver(&receiver);
    let mut messages = BTreeSet::new();
    while selector.len() > 1 || messages.len() < tasks.len() - 1 {
        let ready = selector.wait_timeout(LONG)?.ok_or_else(|| format!("{messages:?}"))?;
        if ready == numbers {
            messages.extend(receiver.try_recv()?);
        } else {
            assert!(tasks[ready].is_done(), "{ready}");
            selector.remove(ready);
        }
    }
    assert!(messages.into_iter().eq(0..COUNT));
    let all = tasks.into_iter().map(|task| task.join()).collect::<Result<Vec<_>, _>>()?;
    assert!(all.into_iter().eq((0..=COUNT).map(|n| 2 * n)));
    // A task that was joined meanwhile is ready.
    let task = other.submit((), |(), ()| 5)?;
    let joined = selector.task(&task);
    assert_eq!(task.join()?, 5);
    assert_eq!(selector.wait()?, joined);
    drop(selector);
    drop((sender, pool, other));
    Ok(())
}

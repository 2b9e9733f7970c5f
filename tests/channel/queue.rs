//! What a queue promises to one or two processes: order, bounds, limits, closing, sizes, ends on their way.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use offspring::channel::{self, Receiver, Selector, Sender, queue, queue_of_bytes};
use offspring::{Context, ErrorKind, Sendable, SharedSlice};

use crate::harness::scarcity::limited;
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, eventually};

pub(crate) const CASES: &[Case] = crate::cases![
    in_order_through_a_process,
    the_capacity_is_exact,
    bytes_are_bounded,
    a_limit_for_the_size_of_files,
    limits_of_time,
    closed_by_the_last_end,
    every_size,
    ends_and_descriptors_in_messages,
    many_descriptors_in_messages,
    done_and_joined,
    in_the_state_of_workers,
    a_message_that_does_not_encode,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    a_full_queue_keeps_nobody,
    a_full_queue_lets_its_owner_end,
    a_sender_waits_for_a_receiver,
    killed_ends_close_it,
    others_hold_no_ends,
];

pub(crate) const FORKED: &[Case] = crate::cases![on &[Context::Fork] => captured_by_a_closure];

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

fn in_order_through_a_process(context: Context) -> Outcome {
    let (input, numbers) = queue::<u32>(4096)?;
    let (squares, output) = queue::<u64>(4096)?;
    for n in 0..3000 {
        input.send(n)?;
    }
    drop(input);
    let child = context.process().start(
        (numbers, squares),
        |(numbers, squares): (Receiver<u32>, Sender<u64>)| {
            for n in &numbers {
                let n = u64::from(n.unwrap());
                squares.send(n * n).unwrap();
            }
        },
    )?;
    let found = output.iter().collect::<Result<Vec<_>, _>>()?;
    assert!(found.iter().copied().eq((0..3000).map(|n: u64| n * n)), "{} came", found.len());
    child.join()?;
    Ok(())
}

fn the_capacity_is_exact(context: Context) -> Outcome {
    for capacity in [1, 2, channel::DEFAULT_CAPACITY, 5000] {
        let (sender, receiver) = queue::<usize>(capacity)?;
        assert_eq!((sender.capacity(), receiver.capacity()), (capacity, capacity));
        for round in 0..2 {
            // Sent there, full here.
            let full =
                context.process().start((sender.clone(), capacity), |(sender, capacity)| {
                    (0..capacity).for_each(|n| sender.try_send(n).unwrap());
                    let refused = sender.try_send(777).unwrap_err();
                    (refused.kind() == ErrorKind::Busy, refused.to_string(), refused.into_message())
                })?;
            let (busy, text, message) = full.join()?;
            assert!(busy && text.contains(&format!("{capacity} of at most {capacity}")), "{text}");
            assert_eq!((message, receiver.len(), round < 2), (777, capacity, true));
            for n in 0..capacity {
                assert_eq!(receiver.try_recv()?, Some(n));
            }
            assert_eq!(receiver.try_recv()?, None);
            assert!(receiver.is_empty() && sender.is_empty());
        }
    }
    for (capacity, bytes) in [(0, 1), (1, 0)] {
        let error = queue_of_bytes::<u8>(capacity, bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    Ok(())
}

fn bytes_are_bounded(context: Context) -> Outcome {
    let (sender, receiver) = queue_of_bytes::<Vec<u8>>(1000, 3 << 20)?;
    let sent = context.process().start(sender.clone(), |sender: Sender<Vec<u8>>| {
        (0..).take_while(|_| sender.try_send(vec![7; 1 << 20]).is_ok()).count()
    })?;
    assert_eq!(sent.join()?, 3);
    assert_eq!(sender.try_send(vec![7; 1]).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(receiver.recv()?, vec![7; 1 << 20]);
    sender.try_send(vec![8; 1000])?;
    assert_eq!(
        receiver.recv()?.len() + receiver.recv()?.len() + receiver.recv()?.len(),
        (2 << 20) + 1000
    );
    // One that is larger than the bound goes alone.
    sender.try_send(vec![9; 8 << 20])?;
    assert_eq!(sender.try_send(vec![7; 1]).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(receiver.recv()?, vec![9; 8 << 20]);
    Ok(())
}

/// What passes through it in all is more than a file may have.
fn a_limit_for_the_size_of_files(_: Context) -> Outcome {
    let (sender, receiver) = queue::<Vec<u8>>(4)?;
    let message = |n: u8| vec![n; 10 << 10];
    limited(libc::RLIMIT_FSIZE, 64 << 10, || {
        let (mut sent, mut taken, mut refused) = (1, 0, 0);
        sender.send(message(0))?;
        while taken < 20 {
            // One that has no room in an empty queue either is not waited for.
            let never = sender.send(vec![0; 64 << 10]).unwrap_err();
            assert_eq!(never.kind(), ErrorKind::System, "{never}");
            match sender.try_send(message(sent)) {
                Ok(()) => sent += 1,
                Err(full) => {
                    assert_eq!(full.kind(), ErrorKind::Busy, "{sent} sent: {full}");
                    let late = sender.send_timeout(full.into_message(), SHORT).unwrap_err();
                    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
                    let mut selector = Selector::new();
                    selector.sender(&sender);
                    for n in taken..sent {
                        assert_eq!(selector.wait_timeout(SHORT)?, None, "{n} of {sent}");
                        assert_eq!(receiver.recv()?, message(n));
                    }
                    assert_eq!(selector.wait_timeout(LONG)?, Some(0), "it is empty");
                    sender.send(late.into_message())?;
                    (taken, sent, refused) = (sent, sent + 1, refused + 1);
                }
            }
            if sent - taken > 1 {
                assert_eq!(receiver.recv()?, message(taken));
                taken += 1;
            }
        }
        assert!(refused > 1, "it never was full");
        Ok(())
    })
}

fn limits_of_time(_: Context) -> Outcome {
    let (sender, receiver) = queue::<u8>(1)?;
    let start = std::time::Instant::now();
    assert_eq!(receiver.recv_timeout(SHORT)?, None);
    assert!(start.elapsed() >= SHORT);
    sender.send_timeout(1, SHORT)?;
    let start = std::time::Instant::now();
    let late = sender.send_timeout(2, SHORT).unwrap_err();
    assert!(start.elapsed() >= SHORT);
    assert_eq!((late.kind(), late.into_message()), (ErrorKind::TimedOut, 2));
    assert_eq!(receiver.recv_timeout(Duration::MAX)?, Some(1));
    assert_eq!(receiver.recv_timeout(Duration::ZERO)?, None);
    Ok(())
}

fn closed_by_the_last_end(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u8>(8)?;
    let other = sender.clone();
    other.send(1)?;
    drop(sender);
    assert_eq!(receiver.try_recv()?, Some(1));
    assert_eq!(receiver.try_recv()?, None, "one sender is left");
    // The last message and the end of the last sender come from another process.
    context.process().start(other, |sender: Sender<u8>| sender.send(2).unwrap())?.join()?;
    assert_eq!(receiver.recv()?, 2);
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(receiver.iter().count(), 0);

    let (sender, receiver) = queue::<String>(8)?;
    context.process().start(receiver, |receiver: Receiver<String>| drop(receiver))?.join()?;
    let refused = sender.send("text".into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
    assert_eq!(refused.into_message(), "text");
    Ok(())
}

/// Bytes, and how many they were.
type Counted = (usize, Vec<u8>);

fn every_size(context: Context) -> Outcome {
    const KIB: usize = 1 << 10;
    let sizes = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 8 << 20, 3];
    let (there, inbox) = queue::<Vec<u8>>(sizes.len())?;
    let (outbox, back) = queue::<Counted>(sizes.len())?;
    let content = |size: usize| (0..size).map(|n| ((n * 31) >> 4) as u8).collect::<Vec<_>>();
    for size in sizes {
        there.send(content(size))?;
    }
    drop(there);
    let child = context.process().start(
        (inbox, outbox),
        |(inbox, outbox): (Receiver<Vec<u8>>, Sender<Counted>)| {
            for bytes in &inbox {
                let bytes = bytes.unwrap();
                outbox.send((bytes.len(), bytes)).unwrap();
            }
        },
    )?;
    for size in sizes {
        let (length, bytes) = back.recv()?;
        assert!(length == size && bytes == content(size), "{size} bytes");
    }
    child.join()?;
    Ok(())
}

fn ends_and_descriptors_in_messages(context: Context) -> Outcome {
    type Parcel = (Sender<u64>, SharedSlice<u64>, Sendable<UnixStream>);
    let (parcels, inbox) = queue::<Parcel>(4)?;
    let (answers, sums) = queue::<u64>(4)?;
    let (reader, writer) = UnixStream::pair()?;
    for _ in 0..3 {
        let table = SharedSlice::from_iter(0..1000)?;
        parcels.send((answers.clone(), table, Sendable::new(writer.try_clone()?)))?;
    }
    drop((parcels, answers, writer));
    let child = context.process().start(inbox, |inbox: Receiver<Parcel>| {
        for parcel in &inbox {
            let (answers, table, mut writer) = parcel.unwrap();
            std::io::Write::write_all(&mut *writer, b"x").unwrap();
            answers.send(table.iter().sum()).unwrap();
        }
    })?;
    let sums = sums.iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(sums, [499_500; 3]);
    assert_eq!(std::io::read_to_string(reader)?, "xxx");
    child.join()?;
    Ok(())
}

fn many_descriptors_in_messages(context: Context) -> Outcome {
    let (sender, receiver) = queue::<Vec<SharedSlice<u64>>>(4)?;
    let child = context.process().start(sender, |sender: Sender<Vec<SharedSlice<u64>>>| {
        for count in [250, 0, 1, 17] {
            let all = (0..count).map(|n| SharedSlice::from_slice(&[n]).unwrap()).collect();
            sender.send(all).unwrap();
        }
        let many = (0..251).map(|n| SharedSlice::from_slice(&[n]).unwrap()).collect();
        sender.send(many).unwrap_err().kind() == ErrorKind::EncodeArguments
    })?;
    assert!(child.join()?, "251 are too many");
    for count in [250, 0, 1, 17] {
        let all = receiver.recv()?;
        assert!(all.iter().map(|table| table[0]).eq(0..count), "{count}");
    }
    Ok(())
}

fn done_and_joined(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u8>(8)?;
    assert!(receiver.task_done().is_err(), "nothing was sent");
    sender.join()?;
    for n in 0..5 {
        sender.send(n)?;
    }
    assert!(!sender.join_timeout(SHORT)?);
    let child = context.process().start(receiver.clone(), |receiver: Receiver<u8>| {
        while receiver.try_recv().unwrap().is_some() {
            receiver.task_done().unwrap();
        }
    })?;
    sender.join()?;
    child.join()?;
    assert_eq!(receiver.task_done().unwrap_err().kind(), ErrorKind::Invalid);
    sender.send(1)?;
    drop(receiver);
    assert_eq!(sender.join().unwrap_err().kind(), ErrorKind::Closed, "nobody will do it");
    Ok(())
}

fn in_the_state_of_workers(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(64)?;
    let pool = context.pool().workers(3).init(sender, |sender| sender).build()?;
    for result in pool.map(0..50u64, |sender: &mut Sender<u64>, n| sender.send(n).unwrap()) {
        result?;
    }
    // And to workers that run already.
    let (late, other) = queue::<u64>(64)?;
    for result in
        pool.map((50..60).map(|n| (late.clone(), n)), |_, (sender, n)| sender.send(n).unwrap())
    {
        result?;
    }
    pool.shutdown()?;
    drop(late);
    let mut found = receiver.iter().collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    assert!(found.into_iter().eq(0..50));
    let mut found = other.iter().collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    assert!(found.into_iter().eq(50..60));
    Ok(())
}

/// Encodes itself if its number is even.
#[derive(Debug, serde::Deserialize)]
struct Even(u8);

impl serde::Serialize for Even {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom("odd"));
        }
        serializer.serialize_newtype_struct("Even", &self.0)
    }
}

fn a_message_that_does_not_encode(_: Context) -> Outcome {
    let (sender, receiver) = queue::<Even>(8)?;
    sender.send(Even(2))?;
    let refused = sender.send(Even(3)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::EncodeArguments, "{refused:?}");
    assert_eq!(refused.into_message().0, 3);
    sender.send(Even(4))?;
    drop(sender);
    let all: Vec<_> = receiver.iter().map(|even| even.unwrap().0).collect();
    assert_eq!(all, [2, 4]);
    Ok(())
}

fn a_full_queue_keeps_nobody(context: Context) -> Outcome {
    let (sender, receiver) = queue::<Vec<u8>>(100)?;
    let child = context.process().start(sender, |sender: Sender<Vec<u8>>| {
        (0..100).for_each(|n| sender.send(vec![n; 100_000]).unwrap());
    })?;
    child.join()?;
    // It is gone, and all it sent is there.
    for n in 0..100 {
        assert_eq!(receiver.recv()?, vec![n; 100_000]);
    }
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

/// The one that has made it, and has both ends to its last moment.
fn a_full_queue_lets_its_owner_end(context: Context) -> Outcome {
    let fill = |()| {
        let (sender, receiver) = queue::<Vec<u8>>(100).unwrap();
        (0..100).for_each(|n| sender.send(vec![n; 100_000]).unwrap());
        let unread = receiver.len();
        std::mem::forget((sender, receiver));
        unread
    };
    let process = context.process().start((), fill)?;
    assert_eq!(process.join()?, 100);
    let pool = context.pool().workers(1).build()?;
    assert_eq!(pool.submit((), move |(), ()| fill(()))?.join()?, 100);
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits().len(), 0, "{report:?}");
    Ok(())
}

fn a_sender_waits_for_a_receiver(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(2)?;
    let child = context.process().start(sender, |sender: Sender<u64>| {
        (0..20_000).for_each(|n| sender.send(n).unwrap());
    })?;
    for n in 0..20_000 {
        assert_eq!(receiver.recv_timeout(LONG)?, Some(n));
        assert!(receiver.len() <= 2);
    }
    child.join()?;
    Ok(())
}

fn killed_ends_close_it(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(4)?;
    let child = context.process().start(sender, |sender: Sender<u64>| -> () {
        sender.send(1).unwrap();
        crate::harness::sleep_for_ever()
    })?;
    assert_eq!(receiver.recv()?, 1);
    child.kill()?;
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    drop(child);

    let (sender, receiver) = queue::<u64>(1)?;
    let child = context.process().start(receiver, |receiver: Receiver<u64>| -> () {
        receiver.recv().unwrap();
        crate::harness::sleep_for_ever()
    })?;
    sender.send(1)?;
    eventually("it is taken", || sender.is_empty());
    sender.send(2)?;
    child.kill()?;
    // Full, and nobody is left to make room.
    assert_eq!(sender.send(3).unwrap_err().kind(), ErrorKind::Closed);
    drop(child);
    Ok(())
}

/// A supervisor, a template, other children and workers do not keep a queue open.
fn others_hold_no_ends(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(4)?;
    let pool = context.pool().workers(2).build()?;
    pool.ready(LONG)?;
    let other = context.process().start((), |()| -> () { crate::harness::sleep_for_ever() })?;
    sender.send(1)?;
    drop(sender);
    assert_eq!(receiver.recv()?, 1);
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    drop(other);
    pool.shutdown()?;
    Ok(())
}

fn captured_by_a_closure(_: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(4)?;
    let (answers, inbox) = queue::<u64>(4)?;
    let child = offspring::fork::start(|| {
        let number = receiver.recv().unwrap();
        answers.send(number + 1).unwrap();
        let further = answers.clone();
        further.send(number + 2).unwrap();
    })?;
    drop(answers);
    sender.send(40)?;
    assert_eq!((inbox.recv()?, inbox.recv()?), (41, 42));
    child.join()?;
    assert_eq!(inbox.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

//! Pipes: both directions, ends on their way, ends that are gone.

use std::sync::Barrier;
use std::time::Duration;

use offspring::channel::{End, pipe};
use offspring::{Context, ErrorKind, SharedSlice};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const CASES: &[Case] = crate::cases![
    what_was_not_received_travels_with_the_end,
    an_end_through_a_pipe,
    times_of_pipes,
    tried_without_room,
    two_threads_send_and_the_other_end_stops_between,
    no_turn_behind_a_message_that_nobody_receives,
    gone_ends,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    there_and_back_many_times,
    both_send_large_ones_at_once,
    killed_in_the_middle_of_a_message,
    killed_between_messages,
];

const SHORT: Duration = Duration::from_millis(20);
/// For what must not be late on any machine.
const AMPLE: Duration = Duration::from_secs(20);

fn there_and_back_many_times(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<SharedSlice<u64>, (u64, Vec<u8>)>()?;
    let child = context.process().start(theirs, |end: End<(u64, Vec<u8>), SharedSlice<u64>>| {
        loop {
            match end.recv() {
                Ok(table) => end.send((table.iter().sum(), vec![1; table.len() * 10])).unwrap(),
                Err(error) => return error.kind() == ErrorKind::Closed,
            }
        }
    })?;
    for n in 0..500 {
        ours.send(SharedSlice::from_iter(0..n)?)?;
        let (sum, bytes) = ours.recv()?;
        assert_eq!((sum, bytes.len() as u64), ((0..n).sum(), n * 10));
    }
    drop(ours);
    assert!(child.join()?);
    Ok(())
}

fn both_send_large_ones_at_once(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, Vec<u8>>()?;
    let child = context.process().start(theirs, |end: End<Vec<u8>, Vec<u8>>| {
        end.send(vec![2; 16 << 20]).unwrap();
        let bytes = end.recv().unwrap();
        (bytes.len(), bytes.iter().all(|byte| *byte == 1))
    })?;
    ours.send(vec![1; 16 << 20])?;
    assert!(ours.recv()? == vec![2; 16 << 20]);
    assert_eq!(child.join()?, (16 << 20, true));
    Ok(())
}

fn what_was_not_received_travels_with_the_end(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<(u32, SharedSlice<u32>), ()>()?;
    // Not from here: how many fit while nobody reads is for the system to say.
    let send = |ours: End<(u32, SharedSlice<u32>), ()>| {
        for n in 0..20 {
            ours.send((n, SharedSlice::from_iter(0..n).unwrap())).unwrap();
        }
    };
    let (process, thread) = if context.is_isolated() {
        (Some(context.process().start(ours, send)?), None)
    } else {
        (None, Some(std::thread::spawn(move || send(ours))))
    };
    // The first is received here, which may read more than that.
    assert_eq!(theirs.recv()?.0, 0);
    let child = context.process().start(theirs, |end: End<(), (u32, SharedSlice<u32>)>| {
        let mut sums = Vec::new();
        while let Ok((n, table)) = end.recv() {
            sums.push((n, table.iter().sum::<u32>()));
        }
        sums
    })?;
    let sums = child.join()?;
    assert!(sums.into_iter().eq((1..20).map(|n| (n, (0..n).sum()))));
    if let Some(process) = process {
        process.join()?;
    }
    if let Some(thread) = thread {
        thread.join().expect("the other thread sends");
    }
    Ok(())
}

fn an_end_through_a_pipe(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<End<u8, String>, ()>()?;
    let (near, far) = pipe::<String, u8>()?;
    ours.send(far)?;
    near.send("text".into())?;
    let child = context.process().start(theirs, |end: End<(), End<u8, String>>| {
        let far = end.recv().unwrap();
        let text = far.recv().unwrap();
        far.send(u8::try_from(text.len()).unwrap()).unwrap();
    })?;
    assert_eq!(near.recv()?, 4);
    child.join()?;
    assert_eq!(near.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

fn times_of_pipes(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, ()>()?;
    assert_eq!(theirs.try_recv()?, None);
    assert_eq!(theirs.recv_timeout(SHORT)?, None);
    ours.send_timeout(vec![1], SHORT)?;
    assert_eq!(theirs.try_recv()?, Some(vec![1]));
    // Until the system holds no more: then it is refused whole, and nothing is lost.
    let mut sent = 0;
    let refused = loop {
        match ours.send_timeout(vec![2; 1000], SHORT) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    assert_eq!(refused.into_message().len(), 1000);
    for n in 0..sent {
        assert_eq!(theirs.try_recv()?, Some(vec![2; 1000]), "{n} of {sent}");
    }
    assert_eq!(theirs.try_recv()?, None);
    // In the middle of a large one, nothing whole could follow.
    let refused = ours.send_timeout(vec![3; 16 << 20], SHORT).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    assert!(refused.to_string().contains("closed"), "{refused}");
    assert_eq!(theirs.recv().unwrap_err().kind(), ErrorKind::Died);
    Ok(())
}

fn tried_without_room(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, ()>()?;
    let mut sent = 0;
    let refused = loop {
        match ours.try_send(vec![2; 1000]) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert!(sent > 0, "there was no room at all");
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert_eq!(refused.into_message(), vec![2; 1000]);
    for n in 0..sent {
        assert_eq!(theirs.try_recv()?, Some(vec![2; 1000]), "{n} of {sent}");
    }
    assert_eq!(theirs.try_recv()?, None, "what was refused was not begun");
    ours.try_send(vec![3])?;
    assert_eq!(theirs.recv()?, [3]);
    drop(theirs);
    let refused = ours.try_send(vec![4]).unwrap_err();
    assert_eq!((refused.kind(), refused.into_message()), (ErrorKind::Closed, vec![4]));
    Ok(())
}

/// Who is done does not wait for bytes of another, and does not close the pipe for them.
fn two_threads_send_and_the_other_end_stops_between(_: Context) -> Outcome {
    const BYTES: usize = 8 << 20;
    let first = |message: String| message.as_bytes()[0];
    for round in 0..20 {
        let (ours, theirs) = pipe::<String, ()>()?;
        let begin = Barrier::new(2);
        std::thread::scope(|scope| -> Outcome {
            let limited = scope.spawn(|| {
                begin.wait();
                ours.send_timeout("a".repeat(BYTES), AMPLE)
            });
            let patient = scope.spawn(|| {
                begin.wait();
                ours.send("b".repeat(BYTES))
            });
            let mut came = vec![first(theirs.recv()?)];
            if came == *b"b" {
                came.push(first(theirs.recv()?));
            }
            // From here on nothing is received, and nothing of this message is left.
            let sent = limited.join().expect("it sends");
            assert!(sent.is_ok(), "it came in round {round}, after all: {sent:?}");
            if came == *b"a" {
                came.push(first(theirs.recv()?));
            }
            came.sort_unstable();
            assert_eq!(came, *b"ab");
            patient.join().expect("it sends")?;
            Ok(())
        })?;
    }
    Ok(())
}

fn no_turn_behind_a_message_that_nobody_receives(_: Context) -> Outcome {
    let (ours, theirs) = pipe::<Vec<u8>, ()>()?;
    std::thread::scope(|scope| -> Outcome {
        let patient = scope.spawn(|| ours.send(vec![1; 16 << 20]));
        let mut tried = 0;
        crate::harness::eventually("it waits for the other end", || {
            let refused = ours.try_send(vec![2]).err();
            tried += usize::from(refused.is_none());
            refused.is_some_and(|refused| refused.kind() == ErrorKind::Busy)
        });
        let refused = ours.send_timeout(vec![3], SHORT).unwrap_err();
        assert_eq!((refused.kind(), refused.into_message()), (ErrorKind::TimedOut, vec![3]));
        let mut came = Vec::new();
        while came.len() < tried + 1 {
            came.push(theirs.recv()?.len());
        }
        came.sort_unstable();
        assert_eq!(came.pop(), Some(16 << 20));
        assert!(came.iter().all(|length| *length == 1), "{came:?}");
        patient.join().expect("it sends")?;
        ours.try_send(vec![4])?;
        assert_eq!(theirs.recv()?, [4], "what was refused was not sent");
        Ok(())
    })
}

fn gone_ends(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<String, u64>()?;
    let child = context.process().start(theirs, |end: End<u64, String>| {
        (0..3).for_each(|n| end.send(n).unwrap());
    })?;
    child.join()?;
    let all: Vec<u64> = std::iter::from_fn(|| ours.recv().ok()).collect();
    assert_eq!(all, [0, 1, 2], "what was sent before arrives");
    assert_eq!(ours.recv().unwrap_err().kind(), ErrorKind::Closed);
    let refused = ours.send("late".into()).unwrap_err();
    assert_eq!((refused.kind(), refused.into_message()), (ErrorKind::Closed, "late".to_owned()));
    Ok(())
}

/// Sends a message that the system cannot hold, and says `true` when it has begun and waits for the other end; `false`
/// for each small one that it sends to find that out.
fn begin_a_large_one((end, begun): (End<String, ()>, offspring::channel::Sender<bool>)) {
    std::thread::scope(|scope| {
        scope.spawn(|| end.send("large".repeat(4 << 20)));
        // The small ones before it were all received: there is no room because of the large one.
        crate::harness::eventually("the large one waits", || {
            let refused = end.try_send("small".into()).err();
            let waits = refused.is_some_and(|refused| refused.kind() == ErrorKind::Busy);
            begun.send(waits).unwrap();
            begun.join().unwrap();
            waits
        });
    });
}

fn killed_in_the_middle_of_a_message(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<(), String>()?;
    let (begun, begins) = offspring::channel::queue(1)?;
    let child = context.process().start((theirs, begun), begin_a_large_one)?;
    while !begins.recv()? {
        assert_eq!(ours.recv()?, "small");
        begins.task_done()?;
    }
    child.kill()?;
    drop(child);
    match ours.recv() {
        Ok(text) => panic!("{} bytes came", text.len()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Died, "{error}"),
    }
    Ok(())
}

fn killed_between_messages(context: Context) -> Outcome {
    let (ours, theirs) = pipe::<(), u8>()?;
    let child = context.process().start(theirs, |end: End<u8, ()>| -> () {
        end.send(1).unwrap();
        end.send(2).unwrap();
        crate::harness::sleep_for_ever()
    })?;
    assert_eq!(ours.recv()?, 1);
    child.kill()?;
    drop(child);
    let rest: Vec<u8> = std::iter::from_fn(|| ours.recv().ok()).collect();
    assert!(rest.is_empty() || rest == [2], "{rest:?}");
    assert_eq!(ours.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

//! Parts in messages that were not sent: refused, since there was no room or nobody to receive, or waiting for a
//! worker in the memory of a pool.

use std::time::Duration;

use offspring::channel::{pipe, queue};
use offspring::{Context, ErrorKind, LentSlice, SharedPart, SharedSliceMut};
use serde::{Deserialize, Serialize};

use crate::harness::Outcome;
use crate::harness::props::{Scratch, wait_for};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn table(elements: usize, part: usize) -> Fallible<(LentSlice<u64>, Vec<SharedPart<u64>>)> {
    Ok(SharedSliceMut::zeroed(elements)?.split(part)?)
}

#[offspring::test(contexts(Inline))]
fn sent_again_after_the_queue_was_full(_: Context) -> Outcome {
    let (mut lent, mut parts) = table(20, 10)?;
    let (sender, receiver) = queue::<SharedPart<u64>>(1)?;
    let (mut second, first) = (parts.remove(1), parts.remove(0));
    second.as_mut_slice()[0] = 1;
    sender.send(first)?;
    let refused = sender.try_send(second).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    let refused = sender.send_timeout(refused.into_message(), Duration::ZERO).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    // Ours, as nobody was sent it.
    let mut second = refused.into_message();
    second.as_mut_slice()[1] = 2;
    assert_eq!(receiver.recv()?.range(), 0..10);
    sender.try_send(second)?;
    assert_eq!(lent.first_held()?, Some(10..20));
    let mut second = receiver.recv()?;
    assert_eq!((second.range(), &second.as_mut_slice()[..3]), (10..20, &[1, 2, 0][..]));
    second.as_mut_slice()[2] = 3;
    drop(second);
    assert_eq!(lent.freeze()?[10..13], [1, 2, 3]);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn ours_again_when_nobody_can_receive(_: Context) -> Outcome {
    let (mut lent, mut parts) = table(20, 10)?;
    let (sender, receiver) = queue::<SharedPart<u64>>(1)?;
    drop(receiver);
    let refused = sender.send(parts.remove(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
    let mut part = refused.into_message();
    part.as_mut_slice()[0] = 1;
    let (end, other) = pipe::<SharedPart<u64>, ()>()?;
    drop(other);
    let refused = end.send(part).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
    let mut part = refused.into_message();
    part.as_mut_slice()[1] = 2;
    // Another process takes it like one that was never sent, and then it is not here any more.
    let child = Context::Spawn.process().start(part, |mut part: SharedPart<u64>| {
        part.as_mut_slice()[2] = 3;
    })?;
    child.join()?;
    drop(parts);
    assert_eq!(lent.freeze()?[..3], [1, 2, 3]);
    Ok(())
}

/// Of which the second field cannot be encoded when it says so.
#[derive(Serialize, Deserialize)]
struct Job {
    part: SharedPart<u64>,
    #[serde(serialize_with = "refuse")]
    bad: bool,
}

fn refuse<S: serde::Serializer>(bad: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    if *bad {
        return Err(serde::ser::Error::custom("not this one"));
    }
    serializer.serialize_bool(*bad)
}

#[offspring::test(contexts(Inline))]
fn sent_again_after_another_field_was_refused(_: Context) -> Outcome {
    let (mut lent, mut parts) = table(10, 10)?;
    let (sender, receiver) = queue::<Job>(1)?;
    let refused = sender.send(Job { part: parts.remove(0), bad: true }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::EncodeArguments, "{refused}");
    let mut job = refused.into_message();
    job.bad = false;
    sender.send(job)?;
    receiver.recv()?.part.as_mut_slice()[0] = 1;
    assert_eq!(lent.freeze()?[0], 1);
    Ok(())
}

/// A child by fork has nothing of the tasks that wait for a worker.
#[offspring::test(contexts(Fork))]
fn children_by_fork_do_not_hold_what_waits(context: Context) -> Outcome {
    let (gate, end) = (Scratch::new("gate"), Scratch::new("end"));
    let (mut lent, parts) = table(200, 10)?;
    let pool = Context::Spawn.pool().workers(1).build()?;
    let mut tasks = vec![pool.submit(gate.path(), |(), gate| wait_for(&gate))?];
    for part in parts {
        tasks.push(pool.submit(part, |(), mut part: SharedPart<u64>| {
            part.as_mut_slice()[0] = part.first_index() as u64 + 1;
        })?);
    }
    let child = context.process().start(end.path(), |end| wait_for(&end))?;
    gate.open();
    for task in tasks {
        task.join()?;
    }
    let frozen = lent.freeze_timeout(Duration::from_secs(30));
    end.open();
    child.join()?;
    let frozen = frozen?;
    for first in (0..200).step_by(10) {
        assert_eq!(frozen[first], first as u64 + 1);
    }
    Ok(())
}

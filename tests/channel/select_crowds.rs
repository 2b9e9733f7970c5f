//! Selectors in several processes: at the same queues, beside others, woken by others.

use std::time::Duration;

use offspring::channel::{End, Receiver, Selector, Sender, pipe, queue};
use offspring::{Context, ErrorKind, Process};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const CASES: &[Case] = crate::cases![on ISOLATED =>
    there_and_back_by_selectors,
    several_processes_at_one_queue,
    beside_others_that_just_receive,
    senders_that_wait_for_room,
    a_large_result,
    a_process_that_is_killed,
    beside_a_thread_that_joins,
];

pub(crate) const FORKED: &[Case] = crate::cases![on &[Context::Fork] => ends_of_a_closure];

const LONG: Duration = Duration::from_secs(60);

fn there_and_back_by_selectors(context: Context) -> Outcome {
    let (there, inbox) = queue::<u64>(4)?;
    let (answers, back) = queue::<u64>(4)?;
    let (stop, stopped) = pipe::<(), ()>()?;
    type Ends = (Receiver<u64>, Sender<u64>, End<(), ()>);
    let child = context.process().start((inbox, answers, stopped), |ends: Ends| {
        let (inbox, answers, stopped) = ends;
        let mut selector = Selector::new();
        selector.receiver(&inbox);
        selector.pipe(&stopped);
        let mut count = 0;
        while selector.wait().unwrap() == 0 {
            if let Some(number) = inbox.try_recv().unwrap() {
                answers.send(number + 1).unwrap();
                count += 1;
            }
        }
        count
    })?;
    let mut selector = Selector::new();
    selector.receiver(&back);
    for n in 0..1000 {
        there.send(n)?;
        assert_eq!(selector.wait_timeout(LONG)?, Some(0), "{n}");
        assert_eq!(back.try_recv()?, Some(n + 1));
    }
    stop.send(())?;
    assert_eq!(child.join()?, 1000);
    Ok(())
}

/// Takes what comes from two queues until both are closed.
fn take_all((one, two): (Receiver<u64>, Receiver<u64>)) -> Vec<u64> {
    let mut selector = Selector::new();
    let ends = [&one, &two];
    for end in ends {
        selector.receiver(end);
    }
    let mut all = Vec::new();
    while !selector.is_empty() {
        let ready = selector.wait().unwrap();
        match ends[ready].try_recv() {
            Ok(number) => all.extend(number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                selector.remove(ready);
            }
        }
    }
    all
}

fn collect(children: Vec<Process<Vec<u64>>>) -> offspring::Result<Vec<u64>> {
    let mut all = Vec::new();
    for child in children {
        all.extend(child.join()?);
    }
    all.sort_unstable();
    Ok(all)
}

fn several_processes_at_one_queue(context: Context) -> Outcome {
    let (first, one) = queue::<u64>(8)?;
    let (second, two) = queue::<u64>(8)?;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(context.process().start((one.clone(), two.clone()), take_all)?);
    }
    drop((one, two));
    for n in 0..3000 {
        if n % 3 == 0 { first.send(n)? } else { second.send(n)? }
    }
    drop((first, second));
    let all = collect(children)?;
    assert!(all.iter().copied().eq(0..3000), "{} came", all.len());
    Ok(())
}

fn beside_others_that_just_receive(context: Context) -> Outcome {
    let (first, one) = queue::<u64>(2)?;
    let (second, two) = queue::<u64>(2)?;
    let mut children = vec![context.process().start((one.clone(), two.clone()), take_all)?];
    for receiver in [one.clone(), two.clone()] {
        children.push(context.process().start(receiver, |receiver: Receiver<u64>| {
            receiver.iter().map(|number| number.unwrap()).collect()
        })?);
    }
    drop((one, two));
    for n in 0..2000 {
        if n % 2 == 0 { first.send(n)? } else { second.send(n)? }
    }
    drop((first, second));
    let all = collect(children)?;
    assert!(all.iter().copied().eq(0..2000), "{} came", all.len());
    Ok(())
}

fn senders_that_wait_for_room(context: Context) -> Outcome {
    const COUNT: u64 = 1000;
    let (first, one) = queue::<u64>(1)?;
    let (second, two) = queue::<u64>(3)?;
    let mut children = Vec::new();
    for child in 0..2 {
        let ends = (child, first.clone(), second.clone());
        children.push(context.process().start(
            ends,
            |(child, first, second): (u64, Sender<u64>, Sender<u64>)| {
                let mut selector = Selector::new();
                selector.sender(&first);
                selector.sender(&second);
                let mut next = 0;
                while next < COUNT {
                    let ready = selector.wait().unwrap();
                    let sent = [&first, &second][ready].try_send(child * COUNT + next);
                    match sent.map_err(|refused| refused.kind()) {
                        Ok(()) => next += 1,
                        Err(kind) => assert_eq!(kind, ErrorKind::Busy),
                    }
                }
                Vec::new()
            },
        )?);
    }
    drop((first, second));
    let mut all = take_all((one, two));
    all.extend(collect(children)?);
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..2 * COUNT), "{} came", all.len());
    Ok(())
}

fn a_large_result(context: Context) -> Outcome {
    let (_open, receiver) = queue::<u64>(1)?;
    let mut child = context.process().start((), |()| vec![7u8; 16 << 20])?;
    let mut selector = Selector::new();
    selector.receiver(&receiver);
    selector.process(&mut child);
    assert_eq!(selector.wait_timeout(LONG)?, Some(1));
    drop(selector);
    assert!(child.join()? == vec![7; 16 << 20]);
    Ok(())
}

fn a_process_that_is_killed(context: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(1)?;
    let mut children = Vec::new();
    for n in 0..3 {
        let sender = sender.clone();
        children.push(context.process().start(
            (n, sender),
            |(n, sender): (u64, Sender<u64>)| -> () {
                if n == 1 {
                    sender.send(n).unwrap();
                }
                crate::harness::sleep_for_ever()
            },
        )?);
    }
    let victim = children[1].id();
    let mut selector = Selector::new();
    let queue = selector.receiver(&receiver);
    let numbers: Vec<_> = children.iter_mut().map(|child| selector.process(child)).collect();
    assert_eq!(selector.wait_timeout(LONG)?, Some(queue));
    assert_eq!(receiver.try_recv()?, Some(1));
    assert_eq!(selector.try_wait()?, None);
    crate::harness::props::kill(victim, libc::SIGKILL);
    assert_eq!(selector.wait_timeout(LONG)?, Some(numbers[1]));
    drop(selector);
    assert!(!children[1].is_alive());
    assert!(children[0].is_alive() && children[2].is_alive());
    Ok(())
}

fn ends_of_a_closure(_: Context) -> Outcome {
    let (sender, receiver) = queue::<u64>(4)?;
    let (answers, inbox) = queue::<u64>(4)?;
    let mut outside = Selector::new();
    outside.receiver(&inbox);
    let child = offspring::fork::start(|| {
        let mut selector = Selector::new();
        selector.receiver(&receiver);
        assert_eq!(selector.wait().unwrap(), 0);
        answers.send(receiver.try_recv().unwrap().unwrap() + 1).unwrap();
    })?;
    sender.send(40)?;
    assert_eq!(outside.wait_timeout(LONG)?, Some(0));
    assert_eq!(inbox.try_recv()?, Some(41));
    child.join()?;
    Ok(())
}

/// Each of the two threads drives the pool now and then, and must not leave the other asleep.
fn beside_a_thread_that_joins(context: Context) -> Outcome {
    let (open, gate) = queue::<u64>(4)?;
    let pool = context.pool().workers(2).init(gate, |gate| gate).build()?;
    let wait = |gate: &mut Receiver<u64>, n: u64| n + gate.recv().unwrap();
    for round in 0..50 {
        let (one, two) = (pool.submit(10, wait)?, pool.submit(20, wait)?);
        let mut selector = Selector::new();
        selector.task(&one);
        let joined = std::thread::scope(|scope| {
            let joining = scope.spawn(move || two.join());
            (0..2).for_each(|_| open.send(1).unwrap());
            assert_eq!(selector.wait_timeout(LONG).unwrap(), Some(0), "round {round}");
            joining.join().unwrap()
        });
        assert_eq!((one.join()?, joined?), (11, 21), "round {round}");
    }
    pool.shutdown()?;
    Ok(())
}

//! Numbers through a queue, received directly and with a selector, beside a pipe of the system.

use std::time::Instant;

use offspring::channel::{Receiver, Selector, Sender, queue};
use offspring::{Context, ErrorKind};

use crate::Outcome;
use crate::bare::pipe;
use crate::plan::Plan;
use crate::table::{Printer, Table, Target};

/// About as many as the pipe of the limit holds.
const CAPACITY: usize = 8192;

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut table = Table::of_ratios(
        "Numbers through a queue (Fork; time for each; limit: a pipe, 8 bytes each)",
    );
    let (count, trips) = plan.pick((50_000, 5_000), (300_000, 30_000));
    let rows: [(&str, &str, u64, Way); 5] = [
        ("1x1", "1 sender, 1 receiver", 1, Way::Receive),
        ("2x2", "2 senders, 2 receivers", 2, Way::Receive),
        ("select/1x1", "1 sender, 1 receiver with a selector", 1, Way::Select),
        ("select/2x2", "2 senders, 2 receivers with selectors", 2, Way::Select),
        ("select/two", "2 senders, a queue each, 1 receiver with a selector", 2, Way::SelectOfTwo),
    ];
    for (name, what, senders, way) in rows {
        if plan.wants(&format!("queue/{name}")) {
            let receivers = if matches!(way, Way::SelectOfTwo) { 1 } else { senders };
            let each = |took: f64| took / count as f64;
            let pair = plan.repetitions().compare(
                || pipe::pass(senders, receivers, count).map(each),
                || pass(senders, receivers, count, way).map(each),
            )?;
            table.pair(what, &pair, Target::Words("–"));
        }
    }
    for (name, what, selects) in [
        ("round", "there and back, one in flight", false),
        ("select/round", "there and back with selectors, one in flight", true),
    ] {
        if plan.wants(&format!("queue/{name}")) {
            let each = |took: f64| took / trips as f64;
            let pair = plan.repetitions().compare(
                || pipe::round_trips(trips).map(each),
                || round_trips(trips, selects).map(each),
            )?;
            table.pair(what, &pair, Target::Words("–"));
        }
    }
    printer.print(&table);
    Ok(())
}

/// How messages are received.
#[derive(Debug, Clone, Copy)]
enum Way {
    Receive,
    Select,
    SelectOfTwo,
}

fn produce((sender, first, step, count): (Sender<u64>, u64, u64, u64)) {
    for number in (first..count).step_by(usize::try_from(step).unwrap_or(1)) {
        sender.send(number).expect("somebody receives");
    }
}

fn receive(receiver: Receiver<u64>) -> u64 {
    receiver.iter().map(|number| number.expect("a number")).sum()
}

fn select(ends: Vec<Receiver<u64>>) -> u64 {
    let mut selector = Selector::new();
    for end in &ends {
        selector.receiver(end);
    }
    let mut sum = 0;
    while !selector.is_empty() {
        let ready = selector.wait().expect("something is ready");
        match ends[ready].try_recv() {
            Ok(number) => sum += number.unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::Closed => selector.remove(ready),
            Err(error) => panic!("{error}"),
        }
    }
    sum
}

fn pass(senders: u64, receivers: u64, count: u64, way: Way) -> Outcome<f64> {
    let begin = Instant::now();
    let queues = if matches!(way, Way::SelectOfTwo) { 2 } else { 1 };
    let (mut into, mut from) = (Vec::new(), Vec::new());
    for _ in 0..queues {
        let (sender, receiver) = queue::<u64>(CAPACITY / queues)?;
        into.push(sender);
        from.push(receiver);
    }
    let mut sending = Vec::new();
    for (first, sender) in (0..senders).zip(into.iter().cycle()) {
        let arguments = (sender.clone(), first, senders, count);
        sending.push(Context::Fork.process().start(arguments, produce)?);
    }
    drop(into);
    let mut receiving = Vec::new();
    for _ in 0..receivers {
        let child = Context::Fork.process();
        receiving.push(match way {
            Way::Receive => child.start(from[0].clone(), receive)?,
            Way::Select | Way::SelectOfTwo => child.start(from.clone(), select)?,
        });
    }
    drop(from);
    for child in sending {
        child.join()?;
    }
    let mut total = 0;
    for child in receiving {
        total += child.join()?;
    }
    assert_eq!(total, (0..count).sum());
    Ok(begin.elapsed().as_secs_f64())
}

/// The next message; with a selector beside one that never comes.
fn next(receiver: &Receiver<u64>, selector: Option<&mut Selector<'_>>) -> Option<u64> {
    let Some(selector) = selector else { return receiver.recv().ok() };
    loop {
        selector.wait().ok()?;
        if let Some(number) = receiver.try_recv().ok()? {
            return Some(number);
        }
    }
}

fn echo((inbox, outbox, selects): (Receiver<u64>, Sender<u64>, bool)) {
    let (_open, never) = queue::<u64>(1).expect("a queue");
    let mut selector = Selector::new();
    selector.receiver(&inbox);
    selector.receiver(&never);
    while let Some(number) = next(&inbox, selects.then_some(&mut selector)) {
        outbox.send(number + 1).expect("somebody receives");
    }
}

fn round_trips(count: u64, selects: bool) -> Outcome<f64> {
    let (there, inbox) = queue::<u64>(1)?;
    let (outbox, back) = queue::<u64>(1)?;
    let child = Context::Fork.process().start((inbox, outbox, selects), echo)?;
    let (_open, never) = queue::<u64>(1)?;
    let mut selector = Selector::new();
    selector.receiver(&back);
    selector.receiver(&never);
    let begin = Instant::now();
    for number in 0..count {
        there.send(number)?;
        let answer = next(&back, selects.then_some(&mut selector));
        assert_eq!(answer, Some(number + 1));
    }
    let took = begin.elapsed().as_secs_f64();
    drop(there);
    child.join()?;
    Ok(took)
}

//! crossmist: functions that run in a new run of this program, and channels to them. It has no pool, so two
//! processes that serve channels stand for one.

use crossmist::{Child, Duplex};
use peers::work;
use peers::{Outcome, Peer, WORKERS, Workers};

/// So many numbers are under way to each process.
const WINDOW: u64 = 32;

struct Crossmist;

struct Served {
    channels: Vec<Duplex<u64, u64>>,
    children: Vec<Child<()>>,
}

#[crossmist::func]
fn once(number: u64) -> u64 {
    work::work(number)
}

#[crossmist::func]
#[expect(clippy::unwrap_used, reason = "a function of a child has nobody to return an error to")]
fn serve(mut channel: Duplex<u64, u64>) {
    while let Some(number) = channel.recv().unwrap() {
        channel.send(&work::work(number)).unwrap();
    }
}

#[crossmist::func]
fn ends_of(bytes: Vec<u8>) -> u64 {
    work::ends(&bytes)
}

#[crossmist::main]
fn main() -> Outcome<()> {
    peers::measure::measure(&mut Crossmist)
}

impl Peer for Crossmist {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        Ok(once.spawn(number)?.join()?)
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        let mut served = Served { channels: Vec::new(), children: Vec::new() };
        for _ in 0..WORKERS {
            let (ours, theirs) = crossmist::duplex()?;
            served.children.push(serve.spawn(theirs)?);
            served.channels.push(ours);
        }
        Ok(Box::new(served))
    }
}

impl Workers for Served {
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        let ways = self.channels.len() as u64;
        let way = |number: u64| usize::try_from(number % ways);
        let mut total = 0u64;
        for number in 0..count + WINDOW * ways {
            if let Some(answered) = number.checked_sub(WINDOW * ways).filter(|n| *n < count) {
                let answer = self.channels[way(answered)?].recv()?;
                total = total.wrapping_add(answer.ok_or("the process has ended")?);
            }
            if number < count {
                self.channels[way(number)?].send(&number)?;
            }
        }
        Ok(total)
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.channels[0].request(&number)?)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        // The argument of a new process, which costs little beside it.
        Ok(ends_of.run(bytes)?)
    }

    fn stop(mut self: Box<Self>) -> Outcome<()> {
        self.channels.clear();
        for child in self.children.drain(..) {
            child.join()?;
        }
        Ok(())
    }
}

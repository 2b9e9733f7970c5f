//! Eight bytes at a time through a pipe of the system, which any number of processes write to and read from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

use super::process::Child;
use crate::Outcome;

/// Tells one reader that nothing more comes.
const END: u64 = u64::MAX;

struct Pipe {
    reading: File,
    writing: File,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: there is room for two numbers.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } == -1 {
            return Err(io::Error::last_os_error());
        }
        let [reading, writing] = ends.map(|raw| {
            // SAFETY: the kernel just made this number for us.
            File::from(unsafe { OwnedFd::from_raw_fd(raw) })
        });
        Ok(Self { reading, writing })
    }

    fn send(&self, number: u64) {
        let sent = (&self.writing).write(&number.to_ne_bytes());
        assert!(sent.is_ok_and(|count| count == 8), "8 bytes are written at once");
    }

    fn receive(&self) -> u64 {
        let mut bytes = [0; 8];
        let got = (&self.reading).read(&mut bytes);
        assert!(got.is_ok_and(|count| count == 8), "8 bytes are read at once");
        u64::from_ne_bytes(bytes)
    }

    /// The sum of all, until the end.
    fn sum(&self) -> u64 {
        std::iter::from_fn(|| Some(self.receive()).filter(|number| *number != END)).sum()
    }
}

/// The numbers below `count`, from some processes to some others. In seconds, with the start of the processes.
pub(crate) fn pass(senders: u64, receivers: u64, count: u64) -> Outcome<f64> {
    let begin = Instant::now();
    let (numbers, sums) = (Pipe::new()?, Pipe::new()?);
    let sending: Vec<Child> = (0..senders)
        .map(|first| {
            let mut own = (first..count).step_by(usize::try_from(senders).unwrap_or(1));
            Child::fork(|| own.by_ref().for_each(|number| numbers.send(number)))
        })
        .collect::<Result<_, _>>()?;
    let receiving: Vec<Child> = (0..receivers)
        .map(|_| Child::fork(|| sums.send(numbers.sum())))
        .collect::<Result<_, _>>()?;
    sending.into_iter().try_for_each(Child::wait)?;
    (0..receivers).for_each(|_| numbers.send(END));
    let total: u64 = (0..receivers).map(|_| sums.receive()).sum();
    receiving.into_iter().try_for_each(Child::wait)?;
    assert_eq!(total, (0..count).sum());
    Ok(begin.elapsed().as_secs_f64())
}

/// So many numbers there and back, one at a time. In seconds.
pub(crate) fn round_trips(count: u64) -> Outcome<f64> {
    let (there, back) = (Pipe::new()?, Pipe::new()?);
    let child = Child::fork(|| {
        loop {
            match there.receive() {
                END => break,
                number => back.send(number + 1),
            }
        }
    })?;
    let begin = Instant::now();
    for number in 0..count {
        there.send(number);
        assert_eq!(back.receive(), number + 1);
    }
    let took = begin.elapsed().as_secs_f64();
    there.send(END);
    child.wait()?;
    Ok(took)
}

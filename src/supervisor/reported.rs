//! What the fork server says about the end of a child that it forked.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::Signal;
use offspring_platform::wait::{Exit, Pid};
use offspring_platform::watch::Watch;

use super::protocol::Exited;
use crate::codec;
use crate::link::{Kind, Link};

/// How long the fork server may take to report an end that the watch has shown.
const REPORT: Duration = Duration::from_secs(1);

/// What the fork server says about the end of a child. When the watch shows that it has ended, the
/// report is on its way, and waited for: whoever was woken by the sentinel finds the child ended. If it does not come,
/// then the watch says how the child ended, where the system tells.
pub(crate) fn reported_or_soon(
    report: &mut Link,
    watch: Option<&Watch>,
    pid: Pid,
) -> io::Result<Option<Exit>> {
    let exit = reported(report);
    if exit.is_some() && watch.is_none() {
        // The socket is the sentinel, and stays readable when its other end is closed, which comes next.
        let until = Instant::now() + REPORT;
        while !report.is_at_end() && Instant::now() < until {
            poll::wait(&mut [report.interest()?], Some(REPORT))?;
            if report.fill().is_err() {
                break;
            }
        }
    }
    let Some(watch) = watch else { return Ok(exit) };
    let is_untold = exit == Some(Exit::Unknown) && report.is_at_end();
    if exit.is_some() && !is_untold {
        return Ok(exit);
    }
    if is_untold {
        // The kernel closes what a process had before it ends its children. An error is that it has ended.
        let _ = watch.signal(pid, Signal::Kill);
    }
    let mut sentinel = [Interest::readable(watch.as_fd())];
    poll::wait(&mut sentinel, Some(Duration::ZERO))?;
    if !sentinel[0].can_read() {
        return Ok(None);
    }
    if is_untold {
        return Ok(Some(watch.exit_of_other().unwrap_or(Exit::Unknown)));
    }
    // It may come in pieces, and a signal may end the wait: one look is not enough.
    let until = Instant::now() + REPORT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        poll::wait(&mut [report.interest()?], Some(left))?;
        let exit = reported(report);
        if exit.is_some() {
            return Ok(exit);
        }
        if left.is_zero() {
            // Somebody has stopped the fork server, say. It may know more, but nobody has to wait for it.
            return Ok(watch.exit_of_other());
        }
    }
}

/// What the fork server says about the end of a child.
pub(crate) fn reported(report: &mut Link) -> Option<Exit> {
    let filled = report.fill();
    while let Some(frame) = report.next() {
        if frame.kind == Kind::Exited {
            let exited = codec::decode_own::<Exited>(&frame.bytes);
            return Some(exited.map_or(Exit::Unknown, |exited| exited.exit()));
        }
    }
    // The fork server is gone, and the kernel ends its children with it. Nobody saw how.
    (filled.is_err() || report.is_at_end()).then_some(Exit::Unknown)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::process::Command;
    use std::sync::Arc;

    use offspring_platform::descriptors;

    use super::*;
    use crate::codec::Encoded;
    use crate::codec::descriptors::Carried;

    #[test]
    fn a_report_behind_many_pieces_is_waited_for() -> Result<(), Box<dyn Error>> {
        let mut child = Command::new("true").spawn()?;
        let watch = Watch::child(i32::try_from(child.id())?)?;
        poll::wait(&mut [Interest::readable(watch.as_fd())], None)?;
        let (ours, theirs) = descriptors::socket_pair()?;
        let (mut ours, mut theirs) = (Link::new(ours), Link::new(theirs));
        // A read ends behind descriptors, and a look after a few reads: the report is in none of the first two.
        for _ in 0..40 {
            let descriptors = vec![Arc::new(io::stdin()) as Carried];
            theirs.queue(Kind::Done, 0, Encoded { descriptors, ..Encoded::default() });
        }
        let exited = Exited::new(Exit::Code(7), None, false);
        theirs.queue(Kind::Exited, 0, codec::encode(&exited)?);
        // Where buffers are small, not all of it fits in at once.
        let exit = std::thread::scope(|scope| {
            let sender = scope.spawn(move || theirs.flush_all());
            let pid = Pid::try_from(child.id());
            let exit = reported_or_soon(&mut ours, Some(&watch), pid.expect("it is one"));
            // Whatever came of it, nobody waits for room any more.
            drop(ours);
            sender.join().expect("it does not panic")?;
            Ok::<_, Box<dyn Error>>(exit?)
        })?;
        assert_eq!(exit, Some(Exit::Code(7)), "the end that the watch has shown");
        child.wait()?;
        Ok(())
    }
}

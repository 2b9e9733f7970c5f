//! A bounded queue between any number of processes on both sides.

mod bell;
mod core;
mod missing;
mod receiver;
mod sender;

use std::io;

use offspring_platform::descriptors;
use offspring_platform::fd::PrivateFd;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use bell::Watch;
pub use receiver::{Iter, Receiver};
pub use sender::Sender;

use self::core::Core;
use crate::error::{Error, ErrorKind};
use crate::shared::creation::refused;

/// A capacity for those who have no reason for another: 1,024 messages, on every system.
pub const DEFAULT_CAPACITY: usize = 1024;
/// How many bytes wait in a queue at most if nothing else is said: 256 MiB.
pub const DEFAULT_BYTES: usize = 256 << 20;

/// Makes a queue that holds so many messages, and [`DEFAULT_BYTES`] at most.
///
/// Descriptors of messages (of a [`SharedSlice`](crate::SharedSlice), a [`Sendable`](crate::Sendable), an end of a
/// queue) wait in a socket, and of messages that have some only as many wait as its buffer takes: 278 where Linux
/// has its usual `net.core.wmem_default`, one at least. A sender waits for room there as it does in the queue.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for a capacity of 0; [`ErrorKind::System`] when there is no memory or no
/// descriptor left.
pub fn queue<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), Error>
where
    T: Serialize + DeserializeOwned + 'static,
{
    queue_of_bytes(capacity, DEFAULT_BYTES)
}

/// Makes a queue that holds so many messages, and so many bytes of encoded messages.
///
/// A message that is larger than that alone is sent when the queue is empty.
///
/// # Errors
///
/// As [`queue`](fn@queue); a bound of 0 bytes is [`ErrorKind::Invalid`] too.
pub fn queue_of_bytes<T>(capacity: usize, bytes: usize) -> Result<(Sender<T>, Receiver<T>), Error>
where
    T: Serialize + DeserializeOwned + 'static,
{
    let doing = "make a queue";
    if capacity == 0 || bytes == 0 {
        return Err(Error::new(ErrorKind::Invalid, doing)
            .detail("a queue without room could never pass anything on"));
    }
    let core = Core::new(capacity as u64, bytes as u64);
    core.and_then(ends).map_err(|error| refused(doing, error))
}

fn ends<T>(core: Core) -> io::Result<(Sender<T>, Receiver<T>)> {
    let (sending, receiving) = descriptors::message_pair()?;
    let sending = PrivateFd::capturable(sending.into_owned()?)?;
    let receiving = PrivateFd::capturable(receiving.into_owned()?)?;
    Ok((Sender::new(core.clone(), sending), Receiver::new(core, receiving)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Runs something in another thread while this one has the lock, as long as somebody would who is stopped.
    fn while_it_is_held<R: Send + 'static>(
        core: &Core,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        let held = core.lock(None, "").unwrap().unwrap();
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || done.send(run()));
        // Far less than a wait for the lock at each of 50 looks takes; the limits are of milliseconds.
        let result = result.recv_timeout(Duration::from_secs(5));
        drop(held);
        result.expect("it comes back while somebody else has the lock")
    }

    #[test]
    fn limits_hold_while_somebody_has_the_lock() {
        const LIMIT: Duration = Duration::from_millis(10);
        let core = Core::new(1, 1000).unwrap();
        let (sender, receiver) = ends::<u8>(core.clone()).unwrap();
        let sending = sender.clone();
        let late = while_it_is_held(&core, move || sending.send_timeout(1, LIMIT)).unwrap_err();
        assert_eq!((late.kind(), late.into_message()), (ErrorKind::TimedOut, 1));
        sender.send(1).unwrap();
        // Full, and held.
        let sending = sender.clone();
        let late = while_it_is_held(&core, move || sending.send_timeout(2, LIMIT)).unwrap_err();
        assert_eq!((late.kind(), late.into_message()), (ErrorKind::TimedOut, 2));
        let receiving = receiver.clone();
        let nothing = while_it_is_held(&core, move || receiving.recv_timeout(LIMIT));
        assert_eq!(nothing.unwrap(), None);
        assert_eq!(receiver.recv().unwrap(), 1);
    }
}

//! The user's code in a supervisor: it ends with the owner, whose end nobody there sees meanwhile.
//!
//! On Linux the kernel sees it. Elsewhere that takes a thread, and a supervisor that forks must not have had one. So
//! there it is a process: the warden.

use std::os::unix::process::parent_id;
use std::time::Duration;

use offspring_platform::fd::{self, PrivateFd};
use offspring_platform::fork::{self, Permission, Side};
use offspring_platform::lifeline::{self, Consequence};
use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::{self, Signal};
use offspring_platform::threads::SingleThreaded;
use offspring_platform::wait::{self, Pid};
use offspring_platform::{descriptors, exit};

type Failed = Box<dyn std::error::Error>;

/// Runs `work`, and ends this process if its owner ends meanwhile, if it has this end of its lifeline. Where it cannot be
/// run for lack of something, the text says of what.
pub(super) fn run(
    by: Option<(&PrivateFd, Permission)>,
    work: impl FnOnce() -> Result<(), String>,
) -> Result<Result<(), String>, Failed> {
    let Some((end, permission)) = by else { return Ok(work()) };
    let own = Pid::try_from(std::process::id())?;
    let warden = match lifeline::IS_A_THREAD.then(|| Warden::start(end, own, permission)) {
        Some(Err(error)) => {
            let text = "the process that ends it with its owner could not be started";
            return Ok(Err(format!("{text}: {error}")));
        }
        Some(Ok(warden)) => Some(warden),
        None => None,
    };
    // Nothing where the warden does it.
    lifeline::tie(end.borrow()?, own, Consequence::Kill)?;
    // It may have gone before. Its socket is not read: what comes with requests would be open in the
    // child that is forked next.
    if is_readable(end)? {
        return Err("the owner is gone".into());
    }
    let result = work();
    lifeline::tie(end.borrow()?, own, Consequence::Wake)?;
    drop(warden);
    Ok(result)
}

fn is_readable(end: &PrivateFd) -> std::io::Result<bool> {
    let mut interest = [Interest::readable(end.borrow()?)];
    poll::wait(&mut interest, Some(Duration::ZERO))?;
    Ok(interest[0].can_read())
}

/// A process that kills its parent when the owner of that is gone. It ends when it is dropped, and with its parent.
struct Warden {
    pid: Pid,
    #[expect(dead_code, reason = "held, never used")]
    life: PrivateFd,
}

impl Warden {
    fn start(end: &PrivateFd, ward: Pid, permission: Permission) -> Result<Self, Failed> {
        let (life_of_ward, life) = descriptors::pipe()?;
        let end = PrivateFd::new(fd::duplicate(end.borrow()?)?)?;
        let blocked = signal::Blocked::all()?;
        let witness = SingleThreaded::check(&blocked).map_err(|_| "a thread runs beside it")?;
        match fork::fork(permission, witness, blocked, vec![end, life_of_ward])? {
            Side::Parent(pid) => Ok(Self { pid, life }),
            Side::Child(kept) => {
                let _bomb = exit::Bomb::arm();
                watch(&kept, ward)
            }
        }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It was not collected, so the number is its own; and if the user's code has collected it, that is all there
        // was to do.
        if signal::send(self.pid, Signal::Kill).is_ok() {
            let _ = wait::reap(self.pid, None);
        }
    }
}

/// In the warden.
fn watch(kept: &[PrivateFd], ward: Pid) -> ! {
    let [end, life_of_ward] = kept else { exit::now(exit::FELL_OUT) };
    loop {
        let (Ok(end), Ok(life)) = (end.borrow(), life_of_ward.borrow()) else {
            exit::now(exit::FELL_OUT)
        };
        let mut interests = [Interest::readable(end), Interest::readable(life)];
        // An error is a lack of memory, which passes.
        let _ = poll::wait(&mut interests, None);
        // With a ward that has ended, its number may be somebody else's soon.
        if interests[1].can_read() || Ok(ward) != Pid::try_from(parent_id()) {
            exit::now(0);
        }
        if interests[0].can_read() {
            let _ = signal::send(ward, Signal::Kill);
            exit::now(0);
        }
    }
}

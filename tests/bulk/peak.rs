//! The most memory that this process had resident since a moment.

use offspring::{Context, Pool};

/// What a pool needs beside bodies: for each worker two rings for frames and two for bodies, and heads of
/// messages, buffers and lists of its own.
const RINGS: u64 = 2 * (128 << 10) + 2 * (1 << 20);
const LISTS: u64 = 1 << 20;

pub(crate) struct Peak {
    before: u64,
}

impl Peak {
    /// From now on, which the kernel is told to forget what was before.
    pub(crate) fn begin() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
        Self { before: field("VmHWM:") }
    }

    /// So many bytes more than in the beginning, at most.
    pub(crate) fn reached(&self) -> u64 {
        field("VmHWM:").saturating_sub(self.before)
    }

    /// Checks that it stayed below a cap, and a tenth of it more; and reports it.
    #[track_caller]
    pub(crate) fn check(&self, what: &str, context: Context, cap: u64) {
        let reached = self.reached();
        crate::torture::report(format_args!(
            "{what} on {context}: {:.1} MiB more at most, cap {:.1} MiB",
            mebibytes(reached),
            mebibytes(cap)
        ));
        assert!(reached <= cap + cap / 10, "{what}: {reached} bytes more, the cap is {cap}");
    }
}

/// What the owner of a pool may need, that has so many bytes of bodies at most.
pub(crate) fn cap<S: 'static>(pool: &Pool<S>, bodies: u64) -> u64 {
    bodies + pool.workers() as u64 * RINGS + LISTS
}

fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

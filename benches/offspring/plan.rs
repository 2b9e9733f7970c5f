//! What to measure and how often, as the command line says.

use std::time::Instant;

use crate::Outcome;
use crate::table::Pair;

pub(crate) const USAGE: &str = "\
cargo bench --bench offspring -- [--quick] [--only <substring>] [--markdown]

  --quick              fewer and shorter repetitions, no parent of 4 GiB, `table/anatomy` only if asked for: about two minutes
  --only <substring>   only measurements with this in their name, such as `feeding/` or `starts/fork`;
                       the names appear while they run
  --markdown           print tables for a document
  --only syscalls      count system calls with perf and strace, which is never done otherwise";

/// The wishes of the caller.
#[derive(Debug)]
pub(crate) struct Plan {
    quick: bool,
    markdown: bool,
    only: Option<String>,
}

impl Plan {
    /// `None` when only help is wanted.
    pub(crate) fn from_arguments() -> Outcome<Option<Self>> {
        let mut plan = Self { quick: false, markdown: false, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => plan.quick = true,
                "--markdown" => plan.markdown = true,
                "--only" => plan.only = Some(arguments.next().ok_or("--only needs a substring")?),
                // `cargo bench` says so to every benchmark.
                "--bench" => {}
                "--help" | "-h" => return Ok(None),
                other => return Err(format!("`{other}` is not understood; try --help").into()),
            }
        }
        Ok(Some(plan))
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    pub(crate) fn markdown(&self) -> bool {
        self.markdown
    }

    /// Whether the measurement of this name is to be made. If so, says that it begins.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let wanted = self.includes(name);
        if wanted {
            eprintln!("measuring {name}");
        }
        wanted
    }

    /// Whether nothing was asked for by name.
    pub(crate) fn measures_all(&self) -> bool {
        self.only.is_none()
    }

    pub(crate) fn includes(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// One of two values, for the short and the full form.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Repetitions of a measurement that is itself an average over many tasks.
    pub(crate) fn repetitions(&self) -> Budget {
        self.pick(
            Budget { least: 3, most: 5, seconds: 3.0 },
            Budget { least: 5, most: 11, seconds: 15.0 },
        )
    }

    /// Repetitions of something that is looked at one by one, for the tail of its distribution.
    pub(crate) fn starts(&self) -> Budget {
        self.pick(
            Budget { least: 5, most: 1_000, seconds: 2.0 },
            Budget { least: 11, most: 2_000, seconds: 25.0 },
        )
    }

    /// How long one repetition of a stream of tasks shall take.
    pub(crate) fn stream_seconds(&self) -> f64 {
        self.pick(0.15, 0.5)
    }
}

/// How often something is repeated: until `most` times or `seconds` have passed, but `least` times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) seconds: f64,
}

impl Budget {
    /// Measures the bare limit and offspring in turns, so that both meet the same weather. Each returns
    /// seconds. One repetition before the first is thrown away: it is the one that touches new memory.
    pub(crate) fn compare(
        self,
        mut bare: impl FnMut() -> Outcome<f64>,
        mut ours: impl FnMut() -> Outcome<f64>,
    ) -> Outcome<Pair> {
        let [pair] = self.compare_each(|| Ok([bare()?]), || Ok([ours()?]))?;
        Ok(pair)
    }

    /// The same for those who measure several things in one repetition.
    pub(crate) fn compare_each<const N: usize>(
        self,
        bare: impl FnMut() -> Outcome<[f64; N]>,
        ours: impl FnMut() -> Outcome<[f64; N]>,
    ) -> Outcome<[Pair; N]> {
        let rounds = self.rounds(bare, ours)?;
        Ok(std::array::from_fn(|which| {
            let pairs: Vec<_> =
                rounds.iter().map(|(bare, ours)| (bare[which], ours[which])).collect();
            Pair::new(&pairs)
        }))
    }

    /// What both have said, in turns.
    pub(crate) fn rounds<T>(
        self,
        mut bare: impl FnMut() -> Outcome<T>,
        mut ours: impl FnMut() -> Outcome<T>,
    ) -> Outcome<Vec<(T, T)>> {
        bare()?;
        ours()?;
        let begin = Instant::now();
        let mut rounds = Vec::new();
        while rounds.len() < self.most
            && (rounds.len() < self.least || begin.elapsed().as_secs_f64() < self.seconds)
        {
            // Whoever comes second may find caches warmer, so they change places.
            if rounds.len() % 2 == 0 {
                let first = bare()?;
                rounds.push((first, ours()?));
            } else {
                let first = ours()?;
                rounds.push((bare()?, first));
            }
        }
        Ok(rounds)
    }
}

/// How many tasks take about `seconds`, by running ever more of them.
pub(crate) fn calibrate(seconds: f64, mut run: impl FnMut(u64) -> Outcome<f64>) -> Outcome<u64> {
    let mut tasks = 1_000;
    loop {
        let took = run(tasks)?;
        if took > seconds / 8.0 || tasks > 1 << 26 {
            // Rounded through microseconds: integers, so that no cast of a float is needed.
            let micros = |time: f64| std::time::Duration::from_secs_f64(time).as_micros().max(1);
            let wanted = u128::from(tasks) * micros(seconds) / micros(took);
            return Ok(u64::try_from(wanted)?.max(1_000));
        }
        tasks *= 4;
    }
}

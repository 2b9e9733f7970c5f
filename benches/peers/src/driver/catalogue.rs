//! Which library is used for what, and in which way.

/// One way to do the work of a measure.
pub struct Entry {
    /// The library, and the way if it has several.
    pub label: &'static str,
    /// The program in src/bin/ without its `peer-`, or [`PYTHON`].
    pub program: &'static str,
    pub measure: &'static str,
    pub variant: &'static str,
    /// The way of offspring that this is compared with: the one that starts processes alike.
    pub beside: &'static str,
}

pub struct Measure {
    pub id: &'static str,
    pub title: &'static str,
    /// What the time is of.
    pub unit: &'static str,
    pub entries: Vec<Entry>,
    /// A program that has not ended after so many seconds hangs.
    pub deadline: u64,
}

/// The measure in which tasks can be lost.
pub const CRASH: &str = "crash";
pub const OURS: &str = "offspring";
pub const PYTHON: &str = "python";
/// Threads are shown for reference, and are no peer.
pub const THREADS: &str = "threads";

const FORK: &str = "fork";
const SPAWN: &str = "spawn";
const SERVER: &str = "forkserver";

type Row = (&'static str, &'static str, &'static str, &'static str);

const OURS_EACH: [Row; 3] = [
    ("offspring, Fork", OURS, FORK, FORK),
    ("offspring, Spawn", OURS, SPAWN, SPAWN),
    ("offspring, ForkServer", OURS, SERVER, SERVER),
];
/// The way of tasks is the same on all contexts.
const OURS_ONE: Row = ("offspring (Spawn)", OURS, SPAWN, SPAWN);
const PROCSPAWN: Row = ("procspawn", "procspawn", "", SPAWN);
const CROSSMIST: Row = ("crossmist", "crossmist", "", SPAWN);
const IPC_CHANNEL: Row = ("ipc-channel, hand-made workers", "ipc-channel", "", SPAWN);
const ZYGOTE: Row = ("zygote", "zygote", "", SERVER);
const ZYGOTE_FORK: Row = ("zygote, forked here", "zygote", FORK, FORK);
const MP: [Row; 3] = [
    ("multiprocessing, fork", PYTHON, FORK, FORK),
    ("multiprocessing, spawn", PYTHON, SPAWN, SPAWN),
    ("multiprocessing, forkserver", PYTHON, SERVER, SERVER),
];
const POOLS: [Row; 5] = [
    ("concurrent.futures (fork)", PYTHON, "futures", FORK),
    ("loky", PYTHON, "loky", SPAWN),
    ("joblib", PYTHON, "joblib", SPAWN),
    ("mpire (fork)", PYTHON, "mpire", FORK),
    ("Pebble (fork)", PYTHON, "pebble", FORK),
];

fn rows(parts: &[&[Row]]) -> Vec<Row> {
    parts.concat()
}

fn thread(label: &'static str) -> Row {
    (label, THREADS, "", SPAWN)
}

fn measure(id: &'static str, title: &'static str, unit: &'static str, rows: Vec<Row>) -> Measure {
    let entry =
        |(label, program, variant, beside)| Entry { label, program, measure: id, variant, beside };
    let entries = rows.into_iter().map(entry).collect();
    Measure { id, title, unit, entries, deadline: 120 }
}

/// All, in the order of the report.
pub fn measures() -> Vec<Measure> {
    vec![
        start("start", "Starting a process, small parent"),
        start("start-1gib", "Starting a process, parent with 1 GiB resident"),
        measure(
            "pool",
            "A pool of 2 workers, until two tasks have answers",
            "from nothing to the second answer",
            rows(&[
                &OURS_EACH,
                &[PROCSPAWN, IPC_CHANNEL, ZYGOTE, ZYGOTE_FORK],
                &MP,
                &POOLS,
                &[thread("threads: rayon's pool")],
            ]),
        ),
        measure(
            "tasks",
            "Number to number, one task for each, 2 warm workers",
            "for each task",
            tasks("procspawn, 64 queued", "zygote, two and two threads", "threads: rayon's spawn"),
        ),
        chunks(),
        measure(
            "round-trip",
            "Round trip: one task in flight, 2 warm workers",
            "there and back",
            tasks("procspawn", "zygote", "threads: rayon's install"),
        ),
        measure(
            "bytes",
            "An argument of 64 MiB",
            "until a worker that has it all has answered",
            tasks("procspawn, Vec<u8>", "zygote, Vec<u8>", "threads: moved"),
        ),
        bits(
            "bits",
            "On bits of all 16-bit numbers, a task for each; start and end of 2 workers too",
        ),
        bits(
            "bits-chunks",
            "On bits of all 16-bit numbers in tasks of 64; start and end of 2 workers too",
        ),
        table(),
        crash(),
    ]
}

fn start(id: &'static str, title: &'static str) -> Measure {
    let ipc = ("ipc-channel and std's Command", IPC_CHANNEL.1, IPC_CHANNEL.2, IPC_CHANNEL.3);
    let pebble = ("Pebble, concurrent.process (fork)", PYTHON, "pebble", FORK);
    let rows = rows(&[
        &OURS_EACH,
        &[PROCSPAWN, CROSSMIST, ipc, ZYGOTE, ZYGOTE_FORK],
        &MP,
        &[pebble, thread("threads: std's spawn")],
    ]);
    measure(id, title, "start, answer, collected", rows)
}

fn tasks(procspawn: &'static str, zygote: &'static str, threads: &'static str) -> Vec<Row> {
    let renamed = |label, row: Row| (label, row.1, row.2, SPAWN);
    rows(&[
        &[OURS_ONE, renamed(procspawn, PROCSPAWN), IPC_CHANNEL, renamed(zygote, ZYGOTE)],
        &MP.map(|row| renamed(row.0, row)),
        &POOLS.map(|row| renamed(row.0, row)),
        &[thread(threads)],
    ])
}

fn chunks() -> Measure {
    let mut measure = measure(
        "chunks",
        "Number to number in chunks of 64, 2 warm workers",
        "for each number",
        tasks("procspawn, 64 queued", "zygote, two and two threads", "threads: rayon's par_iter"),
    );
    measure.entries[0].label = "offspring (Spawn), the caller's chunks";
    let own = |label, program, variant| Entry {
        label,
        program,
        measure: "chunks-own",
        variant,
        beside: SPAWN,
    };
    measure.entries.insert(1, own("offspring (Spawn), chunk_size(64)", OURS, SPAWN));
    for (label, variant) in [
        ("multiprocessing, fork; its chunks", FORK),
        ("joblib; its batches", "joblib"),
        ("mpire (fork); its chunks", "mpire"),
    ] {
        let last = measure.entries.len() - 1;
        measure.entries.insert(last, own(label, PYTHON, variant));
    }
    measure
}

fn bits(id: &'static str, title: &'static str) -> Measure {
    let zygote = ("zygote, two and two threads", ZYGOTE_FORK.1, ZYGOTE_FORK.2, ZYGOTE_FORK.3);
    let rows = rows(&[
        &OURS_EACH,
        &[PROCSPAWN, IPC_CHANNEL, zygote],
        &MP,
        &POOLS,
        &[thread("threads: rayon's par_iter")],
    ]);
    let mut measure = measure(id, title, "the whole job", rows);
    measure.deadline = 300;
    measure
}

/// The label says how a worker comes to the table.
fn table() -> Measure {
    let rows = rows(&[
        &OURS_EACH,
        &[
            ("procspawn, Shmem as argument", "procspawn", "", SPAWN),
            ("ipc-channel, IpcSharedMemory", "ipc-channel", "", SPAWN),
            ("zygote, inherited", "zygote", FORK, FORK),
            ("multiprocessing, fork: inherited", PYTHON, FORK, FORK),
            ("multiprocessing, spawn: SharedMemory", PYTHON, SPAWN, SPAWN),
            ("multiprocessing, forkserver: SharedMemory", PYTHON, SERVER, SERVER),
            ("concurrent.futures (fork): inherited", PYTHON, "futures", FORK),
            ("loky: SharedMemory", PYTHON, "loky", SPAWN),
            ("joblib: array as argument, mapped by it", PYTHON, "joblib", SPAWN),
            ("mpire (fork): shared_objects", PYTHON, "mpire", FORK),
            ("Pebble (fork): inherited", PYTHON, "pebble", FORK),
        ],
        &[thread("threads: rayon's pool")],
    ]);
    let title = "A table of 512 MiB, until a new pool's first answer from it";
    measure("table", title, "from no workers to the answer", rows)
}

/// Libraries that have pools.
fn crash() -> Measure {
    let rows = rows(&[&OURS_EACH, &[PROCSPAWN], &MP, &POOLS]);
    let title = "20 tasks of 5 ms at once, one kills its worker";
    let mut measure = measure(CRASH, title, "until all have an outcome", rows);
    measure.deadline = 15;
    measure
}

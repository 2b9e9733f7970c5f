//! Fills an SQLite database from a CSV file, with one connection in each worker.
//!
//! ```sh
//! cargo run --release --example database -- [context]     # inline, fork, spawn (the default), forkserver
//! ```
//!
//! You will see how many rows and transactions each worker wrote, and that the database then says the same of
//! 100,000 rows as a plain loop over the file: how many there are of each city, and their sums.
//!
//! A connection can neither be sent to another process nor survive a fork. So each worker opens its own: it is
//! the worker's state, and never leaves it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use offspring::Context;
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};

const ROWS: u32 = 100_000;
/// Rows in one task, and so in one transaction: enough that its cost does not matter.
const BATCH: usize = 500;

/// What was measured, where and when: a line of the file, and a row of the database.
#[derive(Debug, Serialize, Deserialize)]
struct Measurement {
    id: u32,
    city: String,
    minute: u32,
    /// In tenths of a degree, so that sums are exact.
    tenths: i64,
}

/// A worker's state.
struct Store {
    connection: Connection,
    rows: usize,
    transactions: usize,
}

impl Store {
    /// What each worker does first.
    fn open(database: PathBuf) -> rusqlite::Result<Self> {
        let connection = Connection::open(database)?;
        // Only one process writes at a time. The others wait for their turn, instead of an error at once.
        connection.busy_timeout(Duration::from_secs(60))?;
        // Enough for a log that is written ahead: a crash of a process costs its transaction at most.
        connection.pragma_update(None, "synchronous", "normal")?;
        Ok(Self { connection, rows: 0, transactions: 0 })
    }

    /// What a task does: it inserts all of these rows, or none.
    fn insert(&mut self, rows: &[Measurement]) -> rusqlite::Result<usize> {
        // Asks for the right to write before all else. A transaction that reads first is refused when it wants
        // to write and another process was faster, however long it would wait.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statement = transaction.prepare("INSERT INTO measurements VALUES (?, ?, ?, ?)")?;
        for row in rows {
            statement.execute((row.id, &row.city, row.minute, row.tenths))?;
        }
        drop(statement);
        transaction.commit()?;
        self.rows += rows.len();
        self.transactions += 1;
        Ok(rows.len())
    }

    /// What each worker does last. The last of all moves the log into the database.
    fn close(self) -> Result<(usize, usize), String> {
        self.connection.close().map_err(|(_, error)| error.to_string())?;
        Ok((self.rows, self.transactions))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: no database is open in this process when it is forked, and it has nothing else that must not
    // exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::args().nth(1).map_or(Ok(Context::Spawn), |name| name.parse())?;

    let scratch = Scratch::new()?;
    let input = scratch.0.join("measurements.csv");
    let database = scratch.0.join("measurements.db");
    write_measurements(&input)?;
    create(&database)?;

    let rows = fill(context, &input, &database)?;
    let stored = Summary::of_database(&database)?;
    for (city, (count, sum)) in &stored.cities {
        println!("{city:10} {count:6} rows, together {sum:8} tenths of a degree");
    }
    assert_eq!(rows, ROWS as usize);
    assert_eq!(stored, Summary::of_file(&input)?);
    println!("{context}: {rows} rows with checksum {}, as a plain loop has it", stored.checksum);
    Ok(())
}

/// An empty database.
fn create(database: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(database)?;
    // A property of the file, so that workers find it so. Readers and the writer do not wait for each other.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(
        "CREATE TABLE measurements (
            id INTEGER PRIMARY KEY, city TEXT NOT NULL, minute INTEGER NOT NULL, tenths INTEGER NOT NULL
        ) STRICT",
    )
}

/// Inserts all rows of the file, and returns how many those were.
fn fill(context: Context, input: &Path, database: &Path) -> Result<usize, Box<dyn Error>> {
    let pool = context
        .pool()
        .workers(4) // they take turns at writing, and read, encode and compile beside each other
        .try_init(database.to_owned(), Store::open) // a failure is what all tasks get, not a hang
        .exit(Store::close)
        .build()?;

    // Read while workers insert what was read before; the file is never in memory as a whole.
    let mut reader = csv::Reader::from_path(input)?;
    let mut end = Ok(());
    let mut rows = reader.deserialize().map_while(|row| row.map_err(|error| end = Err(error)).ok());
    let batches = std::iter::from_fn(|| {
        let batch: Vec<Measurement> = rows.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    });

    let mut inserted = 0;
    let insert = |store: &mut Store, rows: Vec<Measurement>| {
        store.insert(&rows).map_err(|error| error.to_string())
    };
    for result in pool.map_unordered(batches, insert) {
        inserted += result??; // the outer `?` is for what befell the worker, the inner one for SQLite
    }
    end?;

    let mut written = 0;
    for done in pool.shutdown()?.into_exit_values() {
        let (rows, transactions) = done??;
        println!("a worker wrote {rows} rows in {transactions} transactions");
        written += rows;
    }
    assert_eq!(written, inserted);
    Ok(inserted)
}

/// What can be said of all rows, in whatever order they come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    /// How many rows, and the sum of what was measured.
    cities: BTreeMap<String, (u32, i64)>,
    /// Different when values have changed their rows.
    checksum: i64,
}

impl Summary {
    /// By a plain loop.
    fn of_file(input: &Path) -> csv::Result<Self> {
        let mut summary = Self::default();
        for row in csv::Reader::from_path(input)?.deserialize() {
            let row: Measurement = row?;
            let (count, sum) = summary.cities.entry(row.city).or_default();
            *count += 1;
            *sum += row.tenths;
            summary.checksum += i64::from(row.id) * i64::from(row.minute) * row.tenths;
        }
        Ok(summary)
    }

    /// By the database.
    fn of_database(database: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(database)?;
        let mut cities = connection
            .prepare("SELECT city, count(*), sum(tenths) FROM measurements GROUP BY city")?;
        let cities = cities.query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        let cities = cities.collect::<rusqlite::Result<_>>()?;
        let checksum = "SELECT sum(id * minute * tenths) FROM measurements";
        let checksum = connection.query_row(checksum, (), |row| row.get(0))?;
        Ok(Self { cities, checksum })
    }
}

/// Makes up the file. It is the same each time.
fn write_measurements(path: &Path) -> Result<(), Box<dyn Error>> {
    let cities = ["Bergen", "Cusco", "Dakar", "Hanoi", "Oslo", "Porto", "Quito", "Tunis"];
    let mut writer = csv::Writer::from_path(path)?;
    let mut random = 1u64;
    for id in 1..=ROWS {
        // Knuth's linear congruential generator; its upper bits are the good ones.
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [city, degree, ..] = (random >> 32).to_le_bytes();
        writer.serialize(Measurement {
            id,
            city: cities[usize::from(city) % cities.len()].to_owned(),
            minute: id / 60,
            tenths: i64::from(degree) - 100,
        })?;
    }
    writer.flush()?;
    Ok(())
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let name = format!("offspring-database-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
        })?;
        Ok(Self(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

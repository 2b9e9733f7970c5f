//! A dictionary that is searched where it lies: one `fst` map in shared memory, used by the workers of every
//! context. Nothing of it is decoded or copied, however many workers there are.
//!
//! ```sh
//! cargo run --release --example zero_copy
//! ```
//!
//! You will see how large the dictionary is, and what begins like some words; the workers of each context find the
//! same as this process does in its own view of it.

use fst::{IntoStreamer, Map, Streamer};
use offspring::{Context, SharedBytes};

/// All words of a list that begin like this, and the numbers of their lines.
fn beginning_with(words: &Map<SharedBytes>, start: &str) -> Vec<(String, u64)> {
    // Behind all that begins like this: the same with a last character that no word has.
    let mut found = words.range().ge(start).lt(format!("{start}\u{10ffff}")).into_stream();
    let mut list = Vec::new();
    while let Some((word, line)) = found.next() {
        list.push((String::from_utf8_lossy(word).into_owned(), line));
    }
    list
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();

    // Made once. A map of fst is a run of bytes, which is all that shared memory wants.
    let list = include_str!("data/words.txt");
    let mut words: Vec<(&str, u64)> = list.lines().zip(0..).collect();
    words.sort_unstable();
    words.dedup_by_key(|(word, _)| *word);
    let count = words.len();
    let map = Map::from_iter(words)?;
    let bytes = SharedBytes::from_bytes(map.as_fst().as_bytes())?;
    assert_eq!(count, 278_622);
    println!("{count} words in {} KiB of shared memory", bytes.len() >> 10);

    let starts = ["process", "spawn", "fork", "zero", "unthink"];
    // So many words of the list begin like that, and that itself is the first.
    let counts = [27, 8, 33, 6, 12];
    let here = Map::new(bytes.clone())?;
    let expected = starts.map(|start| beginning_with(&here, start));
    for ((start, count), list) in starts.into_iter().zip(counts).zip(&expected) {
        println!("{start}: {} words, the first of which is {:?}", list.len(), list[0]);
        assert_eq!((list.len(), list[0].0.as_str()), (count, start));
    }
    for context in [Context::Inline, Context::Fork, Context::Spawn, Context::ForkServer] {
        let pool = context
            .pool()
            .workers(2)
            // The descriptor arrives, the pages are mapped, and the map is there.
            .try_init(bytes.clone(), |bytes: SharedBytes| Map::new(bytes))
            .build()?;
        let results = pool
            .map(starts.map(String::from), |words, start: String| beginning_with(words, &start));
        let mut found = Vec::new();
        for result in results {
            found.push(result?);
        }
        assert_eq!(found, expected, "{context}");
        pool.shutdown()?;
    }
    println!("the same on every context");
    Ok(())
}

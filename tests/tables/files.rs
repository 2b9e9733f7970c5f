//! Files that are mapped as they are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use offspring::{Context, ErrorKind, SharedBytes, SharedSlice, UnchangingFile};

use crate::harness::Outcome;
use crate::harness::props::Scratch;

fn unchanging(path: &Path) -> UnchangingFile {
    // SAFETY: the files of these cases change only where nobody reads them any more.
    unsafe { UnchangingFile::new(path) }
}

#[offspring::test]
fn the_same_file_everywhere(context: Context) -> Outcome {
    let file = Scratch::new("table");
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_ne_bytes).collect();
    std::fs::write(file.path(), &bytes)?;
    let table: SharedSlice<u32> = SharedSlice::map_file(&unchanging(&file.path()))?;
    assert!(table.iter().copied().eq(0..100_000));
    let tail = table.slice(99_000..);
    // Whoever has it mapped needs no name.
    std::fs::remove_file(file.path())?;
    let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
    let results = pool.map(vec![tail; 10], |table, tail: SharedSlice<u32>| {
        (table.len(), table[77_777], tail.len(), tail[0], tail)
    });
    for result in results {
        let (length, element, tail_length, first, tail) = result?;
        assert_eq!((length, element, tail_length, first), (100_000, 77_777, 1000, 99_000));
        assert_eq!(tail[999], 99_999, "back from the worker");
    }
    Ok(())
}

/// The name leads to another file now; those who get the table map the old one.
#[offspring::test]
fn a_file_that_was_replaced(context: Context) -> Outcome {
    let (file, new) = (Scratch::new("table"), Scratch::new("new"));
    std::fs::write(file.path(), [1; 5000])?;
    let table = SharedBytes::map_file(&unchanging(&file.path()))?;
    std::fs::write(new.path(), [2; 6000])?;
    std::fs::rename(new.path(), file.path())?;
    let child = context.process().start(table, |table: SharedBytes| (table.len(), table[4999]))?;
    assert_eq!(child.join()?, (5000, 1));
    assert_eq!(std::fs::metadata(file.path())?.size(), 6000);
    Ok(())
}

/// The promise was broken; but nobody who gets the table afterwards is ended by it.
#[offspring::test]
fn a_file_that_was_cut_short(context: Context) -> Outcome {
    let file = Scratch::new("table");
    std::fs::write(file.path(), [1; 100_000])?;
    let table = SharedBytes::map_file(&unchanging(&file.path()))?;
    std::fs::OpenOptions::new().write(true).open(file.path())?.set_len(10)?;
    let error = context
        .process()
        .start(table, |table: SharedBytes| table[99_999])
        .and_then(offspring::Process::join)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
    assert!(error.to_string().contains("has changed"), "{error}");
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn what_cannot_be_mapped(_: Context) -> Outcome {
    let missing = std::env::temp_dir().join("no-such-table");
    let error = SharedBytes::map_file(&unchanging(&missing)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert!(error.to_string().contains("no-such-table"), "{error}");
    for special in [std::env::temp_dir(), "/dev/null".into()] {
        let error = SharedBytes::map_file(&unchanging(&special)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let file = Scratch::new("odd");
    std::fs::write(file.path(), [1; 9])?;
    let error = SharedSlice::<u64>::map_file(&unchanging(&file.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("9 bytes"), "{error}");
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn every_length(_: Context) -> Outcome {
    let file = Scratch::new("table");
    for length in [0, 1, 4095, 4096, 4097, 3 << 20] {
        let bytes: Vec<u8> = (0..length).map(|n: usize| (n % 251) as u8).collect();
        std::fs::write(file.path(), &bytes)?;
        let builder = SharedSlice::builder().populate(true).huge_pages(true);
        let table: SharedSlice<u8> = builder.map_file(&unchanging(&file.path()))?;
        assert!(*table == *bytes, "{length} bytes");
        let back =
            Context::Inline.process().start(table, |table: SharedSlice<u8>| table)?.join()?;
        assert!(*back == *bytes, "{length} bytes");
        drop(back);
        std::fs::remove_file(file.path())?;
    }
    Ok(())
}

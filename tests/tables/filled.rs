//! Tables that one process fills in place, and what happens to who writes into a frozen one.

use offspring::{Context, ErrorKind, SharedSlice, SharedSliceMut};

use crate::harness::Outcome;

#[cfg(target_os = "linux")]
#[offspring::test]
fn filled_here_and_read_there(context: Context) -> Outcome {
    let mut table = SharedSliceMut::<u32>::zeroed(100_000)?;
    assert_eq!(table.len(), 100_000);
    for (n, place) in (0..).zip(table.iter_mut()) {
        *place = n * 3;
    }
    table[7] += 1;
    assert_eq!(table[7], 22);
    let address = table.as_ptr();
    let table = table.freeze()?;
    assert!(
        (0..).zip(&*table).all(|(n, found)| *found == n * 3 + u32::from(n == 7)),
        "{address:p}"
    );
    let child = context.process().start(table, |table: SharedSlice<u32>| {
        (0u32..)
            .zip(&*table)
            .filter(|(n, found)| **found != n * 3)
            .map(|(n, _)| n)
            .collect::<Vec<_>>()
    })?;
    assert_eq!(child.join()?, [7]);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn zeroes_and_nothing_else(_: Context) -> Outcome {
    for elements in [0, 1, 511, 512, 513, 3_000_000] {
        let table = SharedSliceMut::<u64>::zeroed(elements)?;
        assert_eq!(format!("{table:?}"), format!("SharedSliceMut<u64>({elements} elements)"));
        assert!(table.len() == elements && table.iter().all(|element| *element == 0));
        let table = table.freeze()?;
        assert!(table.len() == elements && table.iter().all(|element| *element == 0));
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn the_same_with_every_option(_: Context) -> Outcome {
    for (huge, populate) in [(false, true), (true, false), (true, true)] {
        for elements in [0, 1, 1000, 262_144, 262_145, 2_000_000] {
            let builder = SharedSlice::<u64>::builder().huge_pages(huge).populate(populate);
            let copied = builder.from_iter(0..elements)?;
            assert!(copied.iter().copied().eq(0..elements), "{builder:?}, {elements}");
            let mut filled = builder.zeroed(usize::try_from(elements)?)?;
            filled.iter_mut().zip(0..).for_each(|(place, n)| *place = n);
            let filled = filled.freeze()?;
            assert!(*filled == *copied, "{builder:?}, {elements}");
            // The wishes travel too.
            let child = Context::Spawn
                .process()
                .start(filled, |filled: SharedSlice<u64>| filled.iter().sum::<u64>())?;
            assert_eq!(child.join()?, (0..elements).sum::<u64>(), "{builder:?}, {elements}");
        }
    }
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn more_than_can_exist(_: Context) -> Outcome {
    for elements in
        [usize::MAX, usize::MAX / 8, usize::MAX / 8 + 1, isize::MAX.unsigned_abs() / 8 + 1]
    {
        let error = SharedSliceMut::<u64>::zeroed(elements).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::System), "{error}");
        assert!(!error.to_string().is_empty());
    }
    // What can exist, and is not there; the portable way hands it out all the same.
    if cfg!(offspring_force_portable) {
        return Ok(());
    }
    let error = SharedSliceMut::<u8>::zeroed(1 << 46).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    Ok(())
}

/// Through raw pointers, as broken C code would do it.
#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_write_ends_the_writer_alone(context: Context) -> Outcome {
    use offspring::Phase;
    let table = SharedSlice::from_iter(0..10_000u64)?;
    let pool = context.pool().workers(2).init(table.clone(), |table| table).build()?;
    let results = pool.map(0..20u64, |table, n| {
        if n == 7 {
            let place = table.as_ptr().cast_mut();
            // SAFETY: none. This must end this process, and change nothing.
            unsafe { place.write_volatile(99) };
        }
        table.iter().sum::<u64>()
    });
    for (n, result) in results.enumerate() {
        match result {
            Ok(sum) => assert!(n != 7 && sum == 49_995_000, "task {n}: {sum}"),
            Err(error) => {
                assert_eq!(n, 7, "{error}");
                assert_eq!(error.signal(), Some(libc::SIGSEGV), "{error}");
                assert_eq!(error.phase(), Phase::Started, "{error}");
            }
        }
    }
    assert!(table.iter().copied().eq(0..10_000), "the table of the parent");
    Ok(())
}

/// The same of single processes: the sibling lives all the time, and reads afterwards.
#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_process_that_writes_ends_alone(context: Context) -> Outcome {
    use crate::harness::props::{Scratch, wait_for};
    let table = SharedSlice::from_iter(0..10_000u64)?;
    let gate = Scratch::new("gate");
    let sibling = context.process().start(
        (table.clone(), gate.path()),
        |(table, gate): (SharedSlice<u64>, std::path::PathBuf)| {
            let before = table.iter().sum::<u64>();
            wait_for(&gate);
            (before, table.iter().sum::<u64>())
        },
    )?;
    let writer = context.process().start(table.clone(), |table: SharedSlice<u64>| {
        let place = table.as_ptr().cast_mut();
        // SAFETY: none. This must end this process, and change nothing.
        unsafe { place.write_volatile(99) };
    })?;
    let error = writer.join().expect_err("it must not write");
    assert_eq!(error.signal(), Some(libc::SIGSEGV), "{error}");
    gate.open();
    assert_eq!(sibling.join()?, (49_995_000, 49_995_000));
    assert!(table.iter().copied().eq(0..10_000), "the table of the parent");
    Ok(())
}

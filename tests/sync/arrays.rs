//! Arrays and values of several types at once, and what is refused.

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize, Ordering,
};

use offspring::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use offspring::{Atomic, Context, ErrorKind, LockedArray, SharedArray, SharedSlice, SharedValue};

use crate::harness::{Case, Outcome};

pub(crate) const CASES: &[Case] = crate::cases![
    three_arrays_of_different_types,
    every_type_of_atomic,
    empty_and_large,
    parts_of_a_locked_array,
    another_type_on_the_other_side,
    impossible_ones,
];

type Three =
    (SharedArray<AtomicU8>, SharedArray<AtomicI64>, LockedArray<[f32; 3]>, SharedValue<f64>);

fn three_arrays_of_different_types(context: Context) -> Outcome {
    let three: Three = (
        SharedArray::from_iter([1, 2, 3])?,
        SharedArray::new(4)?,
        LockedArray::from_slice(&[[0.5; 3]; 2])?,
        SharedValue::new(1.25)?,
    );
    // Written here before, there, and read here.
    three.1[3].store(-7, Ordering::Relaxed);
    let child =
        context.process().start(three.clone(), |(bytes, numbers, rows, value): Three| {
            let seen = (bytes[2].load(Ordering::Relaxed), numbers[3].load(Ordering::Relaxed));
            bytes[0].store(200, Ordering::Relaxed);
            numbers[0].store(i64::MIN, Ordering::Relaxed);
            let work = || {
                rows.lock()?.set(1, [1.0, 2.0, 3.0]);
                value.update(|value| value * 2.0)
            };
            (
                seen,
                (bytes.len(), numbers.len(), rows.len()),
                work().map_err(|error| error.to_string()),
            )
        })?;
    assert_eq!(child.join()?, ((3, -7), (3, 4, 2), Ok(2.5)));
    let (bytes, numbers, rows, value) = three;
    assert_eq!(bytes.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [200, 2, 3]);
    assert_eq!(numbers[0].load(Ordering::Relaxed), i64::MIN);
    assert_eq!(rows.lock()?.to_vec(), [[0.5; 3], [1.0, 2.0, 3.0]]);
    assert_eq!(value.get()?, 2.5);
    Ok(())
}

fn one_type<A: Atomic>(context: Context, first: A::Value, last: fn(&A) -> i64) -> Outcome
where
    A::Value: Clone,
{
    let array = SharedArray::<A>::from_iter(vec![first; 1000])?;
    let child = context.process().start(array, |array: SharedArray<A>| (array.len(), array))?;
    let (length, array) = child.join()?;
    assert_eq!((length, array.len(), last(&array[999])), (1000, 1000, 77), "{array:?}");
    Ok(())
}

fn every_type_of_atomic(context: Context) -> Outcome {
    one_type::<AtomicU8>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicI8>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicU16>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicI16>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicU32>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicI32>(context, 77, |n| n.load(Ordering::Relaxed).into())?;
    one_type::<AtomicU64>(context, 77, |n| n.load(Ordering::Relaxed).try_into().unwrap_or(-1))?;
    one_type::<AtomicI64>(context, 77, |n| n.load(Ordering::Relaxed))?;
    one_type::<AtomicUsize>(context, 77, |n| n.load(Ordering::Relaxed).try_into().unwrap_or(-1))?;
    one_type::<AtomicIsize>(context, 77, |n| n.load(Ordering::Relaxed).try_into().unwrap_or(-1))
}

fn empty_and_large(context: Context) -> Outcome {
    let large = 4 << 20;
    let all = (
        SharedArray::<AtomicU32>::new(0)?,
        LockedArray::<u64>::zeroed(0)?,
        SharedArray::<AtomicU32>::new(large)?,
        LockedArray::<u64>::zeroed(large)?,
    );
    type All = (SharedArray<AtomicU32>, LockedArray<u64>, SharedArray<AtomicU32>, LockedArray<u64>);
    let child = context.process().start(all.clone(), |(none, nothing, atomics, array): All| {
        atomics[atomics.len() - 1].store(1, Ordering::Relaxed);
        let mut guard = array.lock().expect("free");
        guard.set(array.len() - 1, 2);
        (none.len(), nothing.is_empty(), atomics.len(), array.len())
    })?;
    assert_eq!(child.join()?, (0, true, large, large));
    assert_eq!(all.2[large - 1].load(Ordering::Relaxed), 1);
    assert_eq!(all.3.lock()?.get(large - 1), Some(2));
    assert_eq!((all.1.lock()?.get(0), all.0.is_empty()), (None, true));
    Ok(())
}

/// Elements of three bytes, so that they lie in every way across words.
fn parts_of_a_locked_array(context: Context) -> Outcome {
    let elements: Vec<[u8; 3]> = (0..100).map(|n| [n, n + 1, n + 2]).collect();
    let array = LockedArray::from_slice(&elements)?;
    let child = context.process().start(array.clone(), |array: LockedArray<[u8; 3]>| {
        let mut guard = array.lock().expect("free");
        for start in (1..90).step_by(7) {
            let mut part = [[0; 3]; 5];
            guard.read(start, &mut part);
            guard.write(start, &part.map(|[a, b, c]| [c, b, a]));
        }
        guard.set(99, [0; 3]);
    })?;
    child.join()?;
    let mut expected = elements;
    for start in (1..90).step_by(7) {
        expected[start..start + 5].iter_mut().for_each(|element| element.reverse());
    }
    expected[99] = [0; 3];
    assert_eq!(array.lock()?.to_vec(), expected);
    for (start, count) in [(99, 2), (100, 1), (usize::MAX, 2)] {
        let read = std::panic::catch_unwind(|| {
            let guard = LockedArray::<[u8; 3]>::zeroed(100).expect("memory");
            guard.lock().expect("free").read(start, &mut vec![[0; 3]; count]);
        });
        assert!(read.is_err(), "{count} at {start}");
    }
    Ok(())
}

fn another_type_on_the_other_side(context: Context) -> Outcome {
    fn check<A, B>(context: Context, sent: A) -> Outcome
    where
        A: serde::Serialize + serde::de::DeserializeOwned + 'static,
        B: serde::Serialize + serde::de::DeserializeOwned + 'static,
    {
        // Serialized as what it is, and taken for something else there.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(bound = "")]
        struct Changed<A, B>
        where
            A: serde::Serialize + serde::de::DeserializeOwned,
            B: serde::Serialize + serde::de::DeserializeOwned,
        {
            #[serde(skip_deserializing, default = "none")]
            sent: Option<A>,
            #[serde(rename(deserialize = "sent"), skip_serializing)]
            received: Option<B>,
        }
        fn none<T>() -> Option<T> {
            None
        }
        let value = Changed::<A, B> { sent: Some(sent), received: None };
        let name = (std::any::type_name::<A>(), std::any::type_name::<B>());
        let child =
            context.process().start(value, |value: Changed<A, B>| value.received.is_some())?;
        let error = child.join().map(|taken| (name, taken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{name:?}: {error}");
        assert!(error.to_string().contains("shared memory"), "{name:?}: {error}");
        Ok(())
    }
    check::<_, Mutex<i64>>(context, Mutex::new(1u32)?)?;
    check::<_, Mutex<[u8; 4]>>(context, Mutex::new(1u32)?)?;
    check::<_, LockedArray<u32>>(context, Mutex::new(1u32)?)?;
    check::<_, SharedArray<AtomicI32>>(context, SharedArray::<AtomicU32>::new(1)?)?;
    check::<_, SharedArray<AtomicU32>>(context, LockedArray::<u32>::zeroed(1)?)?;
    check::<_, Semaphore>(context, Event::new()?)?;
    check::<_, Condvar>(context, Barrier::new(2)?)
}

fn impossible_ones(_: Context) -> Outcome {
    for error in [
        SharedArray::<AtomicU64>::new(usize::MAX).unwrap_err(),
        LockedArray::<[u64; 4]>::zeroed(usize::MAX / 2).unwrap_err(),
        Barrier::new(0).unwrap_err(),
        Barrier::new(65_536).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let error = SharedArray::<AtomicU8>::new(isize::MAX as usize).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    // Beside the sealed ones, in one value.
    let both = (SharedSlice::from_slice(&[1u8])?, Mutex::new(2u8)?);
    let child =
        Context::Inline.process().start(both, |(slice, mutex): (SharedSlice<u8>, Mutex<u8>)| {
            slice[0] + *mutex.lock().expect("free")
        })?;
    assert_eq!(child.join()?, 3);
    Ok(())
}

//! Tables on their way: in arguments, results, worker state, several at once.

use offspring::{Context, ErrorKind, SharedSlice};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Pair;
use crate::harness::{self, Outcome};

fn travels<T>(context: Context, elements: Vec<T>) -> Outcome
where
    T: bytemuck::Pod + Serialize + DeserializeOwned + PartialEq,
{
    let shared = SharedSlice::from_slice(&elements)?;
    let child = context
        .process()
        .start((shared, elements), |(shared, elements): (SharedSlice<T>, Vec<T>)| {
            *shared == *elements
        })?;
    assert!(child.join()?, "the elements of {} differ", std::any::type_name::<T>());
    Ok(())
}

#[offspring::test]
fn every_kind_of_element_travels(context: Context) -> Outcome {
    travels::<u8>(context, Vec::new())?;
    travels(context, vec![1u8])?;
    travels(context, (0..10_000u16).collect())?;
    travels(context, (0..10_000u64).collect())?;
    travels(context, (0..10_000).map(|n| n as f32 / 7.0).collect())?;
    travels(context, (0..10_000u32).map(|n| [n as u8, 1, 2]).collect())?;
    // `Pair` has no serde of its own: only the table travels.
    let pairs = SharedSlice::from_iter((0..1000u64).map(|n| Pair([n, n * n])))?;
    let child = context.process().start(pairs, |pairs: SharedSlice<Pair>| pairs[30].0)?;
    assert_eq!(child.join()?, [30, 900]);
    Ok(())
}

#[offspring::test]
fn tables_of_64_mib(context: Context) -> Outcome {
    let count = 8u64 << 20;
    let shared = SharedSlice::from_iter((0..count).map(|n| n * 3))?;
    let child = context.process().start(shared, |shared: SharedSlice<u64>| {
        let wrong = (0..).zip(&*shared).filter(|(n, found)| n * 3 != **found).count();
        (shared.len(), wrong)
    })?;
    assert_eq!(child.join()?, (8 << 20, 0));
    Ok(())
}

#[offspring::test]
fn as_state_argument_and_result(context: Context) -> Outcome {
    let squares = SharedSlice::from_iter((0..1000u64).map(|n| n * n))?;
    let pool = context.pool().workers(2).init(squares, |squares| squares).build()?;
    let inputs = (0..50u64).map(|n| SharedSlice::from_iter([n, n + 1, n + 2]).unwrap());
    let results = pool.map(inputs, |squares, places: SharedSlice<u64>| {
        SharedSlice::from_iter(places.iter().map(|place| squares[*place as usize])).unwrap()
    });
    for (n, result) in (0..).zip(results) {
        assert_eq!(*result?, [n * n, (n + 1) * (n + 1), (n + 2) * (n + 2)]);
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
enum Part {
    Table(SharedSlice<u16>),
    Number(u16),
}

#[derive(Serialize, Deserialize)]
struct Tree {
    name: String,
    parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<Box<Tree>>,
}

impl Tree {
    fn sum(&self) -> u64 {
        let parts = self.parts.iter().map(|part| match part {
            Part::Table(table) => table.iter().map(|n| u64::from(*n)).sum(),
            Part::Number(number) => u64::from(*number),
        });
        parts.sum::<u64>() + self.more.as_ref().map_or(0, |more| more.sum())
    }
}

#[offspring::test]
fn inside_other_values(context: Context) -> Outcome {
    let table = |n: u16| SharedSlice::from_iter(0..n).map(Part::Table);
    let inner = Tree { name: "in".into(), parts: vec![table(10)?, Part::Number(5)], more: None };
    let parts = vec![Part::Number(1), table(100)?, table(3)?];
    let tree = Tree { name: "out".into(), parts, more: Some(inner.into()) };
    let expected = 1 + 4950 + 3 + 45 + 5;
    assert_eq!(tree.sum(), expected);
    let child = context.process().start(tree, |tree: Tree| (tree.sum(), tree))?;
    let (sum, tree) = child.join()?;
    assert_eq!((sum, tree.sum(), tree.name.as_str()), (expected, expected, "out"));
    Ok(())
}

#[offspring::test]
fn two_levels_deep(context: Context) -> Outcome {
    let shared = SharedSlice::from_iter(0..1000u64)?;
    let child = context.process().start(
        (context, shared),
        |(context, shared): (Context, SharedSlice<u64>)| {
            // What was received is sent on, and what comes back is too.
            let context = harness::in_a_child(context);
            let pool =
                context.pool().workers(2).init(shared.clone(), |shared| shared).build().unwrap();
            let sums = pool.map([shared.clone(), shared], |state, shared| {
                SharedSlice::from_iter([state.iter().sum::<u64>(), shared.iter().sum()]).unwrap()
            });
            sums.map(Result::unwrap).collect::<Vec<_>>()
        },
    )?;
    let sums = child.join()?;
    assert!(sums.len() == 2 && sums.iter().all(|sums| **sums == [499_500; 2]), "{sums:?}");
    Ok(())
}

#[offspring::test]
fn the_same_table_twice(context: Context) -> Outcome {
    let one = SharedSlice::from_iter(0..100u64)?;
    let other = SharedSlice::from_iter(100..200u64)?;
    let three = vec![one.clone(), other, one.clone(), one];
    let child = context.process().start(three, |mut all: Vec<SharedSlice<u64>>| {
        // Each owns what it needs: dropping one leaves the others whole.
        drop(all.remove(0));
        let firsts: Vec<u64> = all.iter().map(|table| table[0]).collect();
        (firsts, all)
    })?;
    let (firsts, all) = child.join()?;
    assert_eq!(firsts, [100, 0, 0]);
    assert!(all[1].iter().copied().eq(0..100) && all[2].iter().copied().eq(0..100));
    Ok(())
}

#[offspring::test]
fn as_many_as_one_value_can_hold(context: Context) -> Outcome {
    let many = |count: u64| -> offspring::Result<Vec<_>> {
        (0..count).map(|n| SharedSlice::from_slice(&[n])).collect()
    };
    let first = |all: Vec<SharedSlice<u64>>| all.iter().map(|table| table[0]).collect::<Vec<_>>();
    let child = context.process().start(many(250)?, first)?;
    assert!(child.join()?.into_iter().eq(0..250));
    let error = context.process().start(many(251)?, first).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert!(error.to_string().contains("251") && error.to_string().contains("250"), "{error}");

    // The same in a pool: for the state, for a task, and for a result.
    let pool = context.pool().workers(2).init(many(250)?, |all| all).build()?;
    let results = pool.map([250, 251, 250], |all, count| {
        let more = SharedSlice::from_slice(&[1000]).unwrap();
        all.iter().cloned().chain(std::iter::repeat(more)).take(count).collect::<Vec<_>>()
    });
    for (n, result) in results.enumerate() {
        match result {
            Ok(all) => assert!(n != 1 && first(all).into_iter().eq(0..250)),
            Err(error) => assert_eq!((n, error.kind()), (1, ErrorKind::EncodeResult), "{error}"),
        }
    }
    let results: Vec<_> = pool.map([many(251)?, many(250)?], |_, all| all.len()).collect();
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert_eq!(*results[1].as_ref().unwrap(), 250);
    let built = context.pool().workers(1).init(many(251)?, |all| all).build();
    if context == Context::Fork {
        // Inherited: nothing is carried.
        let counts = built?.map([()], |all, ()| all.len()).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(counts, [251]);
    } else {
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    }
    Ok(())
}

/// Leaves as a table of `u32`, and arrives as one of `T`.
struct Changed<T>(Option<SharedSlice<u32>>, std::marker::PhantomData<T>);

impl<T> Serialize for Changed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: bytemuck::Pod> Deserialize<'de> for Changed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<SharedSlice<T>>::deserialize(deserializer)?;
        Ok(Self(None, std::marker::PhantomData))
    }
}

#[offspring::test]
fn another_type_on_the_other_side(context: Context) -> Outcome {
    fn send<T: bytemuck::Pod>(context: Context) -> offspring::Result<()> {
        let table = SharedSlice::from_slice(&[1u32; 64])?;
        let changed = Changed::<T>(Some(table), std::marker::PhantomData);
        context.process().start(changed, |_: Changed<T>| ())?.join()
    }
    let error = send::<u64>(context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
    let text = error.to_string();
    assert!(text.contains("4 bytes") && text.contains("`u64` has 8"), "both sizes: {text}");
    // The same size, but other places in memory.
    let error = send::<[u8; 4]>(context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
    // Plain data of the same layout is as good.
    send::<f32>(context)?;
    Ok(())
}

#[offspring::test]
fn after_the_original_was_dropped(context: Context) -> Outcome {
    let pool = {
        let table = SharedSlice::from_iter(0..5000u64)?;
        context.pool().workers(2).init(table, |table| table).build()?
    };
    for result in pool.map(0..100usize, |table, n| (n as u64, table[n], table.len())) {
        let (n, found, length) = result?;
        assert_eq!((found, length), (n, 5000));
    }
    // Dropped in the worker as soon as it was sent, kept here.
    let kept =
        pool.map([7u64], |table, n| SharedSlice::from_iter(table.iter().map(|m| m * n)).unwrap());
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    pool.shutdown()?;
    assert!(kept[0].iter().copied().eq((0..5000).map(|m| m * 7)));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_table_outlives_its_maker(context: Context) -> Outcome {
    // Made in a child that has ended by now, sent to another.
    let made =
        context.process().start((), |()| SharedSlice::from_iter(0..100u64).unwrap())?.join()?;
    let sum = context.process().start(made, |made: SharedSlice<u64>| made.iter().sum::<u64>())?;
    assert_eq!(sum.join()?, 4950);
    Ok(())
}

#[offspring::test(timeout = "5min")]
fn a_plain_vector_of_64_mib(context: Context) -> Outcome {
    let bytes: Vec<u8> = (0..64 << 20).map(|n: u32| (n >> 7) as u8).collect();
    let child = context.process().start(bytes, |bytes: Vec<u8>| {
        let wrong = (0u32..).zip(&bytes).filter(|(n, found)| (n >> 7) as u8 != **found).count();
        (bytes.len(), wrong)
    })?;
    assert_eq!(child.join()?, (64 << 20, 0));
    Ok(())
}

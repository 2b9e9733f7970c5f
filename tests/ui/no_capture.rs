//! compiles, and runs

fn add(a: i32) -> i32 {
    a + 1
}

fn main() -> offspring::Result<()> {
    offspring::init();
    const FACTOR: i32 = 3;
    let context = offspring::Context::Spawn;
    assert_eq!(context.process().start(2, |n: i32| n * FACTOR)?.join()?, 6);
    assert_eq!(context.process().start(2, add)?.join()?, 3);
    let pool = context.pool().workers(1).init(4, |n: i32| n).build()?;
    for answer in pool.map(0..2, |state, n: i32| n + *state) {
        assert!((4..6).contains(&answer?));
    }
    pool.shutdown()?;
    Ok(())
}

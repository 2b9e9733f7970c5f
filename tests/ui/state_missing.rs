//! error: closure is expected to take 2 arguments

fn main() -> offspring::Result<()> {
    offspring::init();
    let pool = offspring::Context::Spawn.pool().init(2, |n: i32| n).build()?;
    pool.map(0..3, |n: i32| n).for_each(drop);
    Ok(())
}

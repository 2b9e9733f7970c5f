//! error: mismatched types

fn main() -> offspring::Result<()> {
    offspring::init();
    let pool = offspring::Context::Spawn.pool().init(2, |n: i32| n.to_string()).build()?;
    pool.map(0..3, |state, n: i32| state.clone() + n).for_each(drop);
    Ok(())
}

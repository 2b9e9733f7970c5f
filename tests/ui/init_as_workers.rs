//! error: mismatched types

fn main() -> offspring::Result<()> {
    offspring::init();
    offspring::Context::Spawn.pool().workers(|n: i32| n).build()?;
    Ok(())
}

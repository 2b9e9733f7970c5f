//! error: this closure captures variables

fn main() -> offspring::Result<()> {
    offspring::init();
    let factor = 3;
    let pool = offspring::Context::Spawn.pool().build()?;
    for answer in pool.map(0..2, move |_, n: i32| n * factor) {
        answer?;
    }
    Ok(())
}

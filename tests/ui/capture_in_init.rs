//! error: this closure captures variables

fn main() -> offspring::Result<()> {
    offspring::init();
    let factor = 3;
    offspring::Context::Spawn.pool().init(2, move |n: i32| n * factor).build()?;
    Ok(())
}

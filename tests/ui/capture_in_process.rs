//! error: this closure captures variables

fn main() -> offspring::Result<()> {
    offspring::init();
    let factor = 3;
    let child = offspring::Context::Spawn.process().start(2, move |n: i32| n * factor)?;
    child.join()?;
    Ok(())
}

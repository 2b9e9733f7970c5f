//! error: may outlive the current function

fn main() -> offspring::Result<()> {
    offspring::init();
    let factor = 3;
    offspring::Context::Spawn.process().start(2, |n: i32| n * factor)?.join()?;
    Ok(())
}

//! error: no method named `init` found for struct `PoolBuilder<(), (), true>`

fn main() -> offspring::Result<()> {
    offspring::init();
    offspring::Context::Spawn.pool().exit(|()| ()).init(7, |n: i32| n).build()?;
    Ok(())
}

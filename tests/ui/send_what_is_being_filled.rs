//! error: the trait bound `SharedSliceMut<u8>: serde::Serialize` is not satisfied

fn main() -> offspring::Result<()> {
    offspring::init();
    let table = offspring::SharedSliceMut::<u8>::zeroed(10)?;
    offspring::Context::Spawn.process().start(table, |_| ())?.join()
}

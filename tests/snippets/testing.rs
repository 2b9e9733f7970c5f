//! docs/testing.md.

use offspring::Context;

#[offspring::test]
fn table_sum(context: Context) -> Result<(), Box<dyn std::error::Error>> {
    let pool = context.pool().workers(2).build()?;
    let sum: u64 = pool.map(1..=10u64, |(), n| n * n).sum::<Result<_, _>>()?;
    assert_eq!(sum, 385);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn), timeout = "30s")]
fn only_some(context: Context) {
    assert!(context.is_isolated());
}

mod same {
    use offspring::testing::same_on_every_context;

    #[offspring::test]
    fn answers_agree() {
        same_on_every_context(|context| {
            let child = context.process().start(20, |n: u32| n + 1).unwrap();
            child.join().unwrap()
        });
    }
}

mod deaths {
    use offspring::testing::{KillAt, kill_at};
    use offspring::{Context, Phase};

    #[offspring::test(contexts(Spawn, ForkServer))]
    fn a_lost_task_is_noticed(context: Context) -> offspring::Result<()> {
        let pool = context.pool().workers(2).build()?;
        let _guard = kill_at(KillAt::Result, 1)?;
        let results: Vec<_> = pool.map(0..10, |(), n: u32| n * n).collect();
        let lost: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!((lost.len(), lost[0].phase()), (1, Phase::Started));
        Ok(())
    }
}

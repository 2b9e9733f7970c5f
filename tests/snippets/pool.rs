//! README.md, "The pool in a few lines".

use std::time::Duration;

use offspring::Context;

struct Model {
    factor: u64,
    seen: u64,
}

impl Model {
    fn load(factor: u64) -> Result<Self, String> {
        if factor == 0 { Err("nothing is learnt".to_owned()) } else { Ok(Self { factor, seen: 0 }) }
    }

    fn score(&mut self, input: u64) -> u64 {
        self.seen += 1;
        self.factor * input
    }

    fn answer(&self, question: String) -> String {
        format!("{question} {}", self.factor)
    }

    fn version(&self) -> u64 {
        self.factor
    }

    fn statistics(self) -> u64 {
        self.seen
    }
}

fn f(model: &mut Model, input: u64) -> u64 {
    model.score(input)
}

#[offspring::test(contexts(ForkServer))]
#[allow(unused_variables, reason = "this is the text of README.md")]
fn in_a_few_lines(_: Context) -> Result<(), Box<dyn std::error::Error>> {
    let (path, inputs, more, question) = (6, 0..10u64, 0..10u64, "which?".to_owned());
    // The pictures that it writes.
    std::env::set_current_dir(std::env::temp_dir())?;

    let pool = Context::ForkServer
        .pool()
        .workers(8)
        .try_init(path, Model::load)
        .exit(|model| model.statistics())
        .task_timeout(Duration::from_secs(30))
        .tasks_per_worker(1000)
        .timeline(4096)
        .build()?;

    for result in pool.map(inputs, |model, input| model.score(input)) {}
    for result in pool.map_unordered(more, f).fail_fast() {}
    let task = pool.submit(question, |model, q| model.answer(q))?;
    let versions = pool.broadcast((), |model, ()| model.version())?;
    pool.resize(16)?;
    println!("{:#?}", pool.report().slowest());
    let report = pool.shutdown()?;
    report.write_svg("timeline.svg")?;

    assert_eq!(task.join()?, "which? 6");
    let seen: u64 = report.exit_values().iter().flatten().sum();
    assert_eq!(seen, 20);
    assert!(std::fs::read_to_string("timeline.svg")?.starts_with("<svg"));
    std::fs::remove_file("timeline.svg")?;
    Ok(())
}

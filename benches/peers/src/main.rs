//! Other libraries beside offspring, at the same work, in turns. `bash benches/peers/run --help` says how.

#[path = "driver/catalogue.rs"]
mod catalogue;
#[path = "driver/machine.rs"]
mod machine;
#[path = "driver/plan.rs"]
mod plan;
#[path = "driver/plot.rs"]
mod plot;
#[path = "driver/program.rs"]
mod program;
#[path = "driver/report.rs"]
mod report;
#[path = "driver/results.rs"]
mod results;

use peers::Outcome;

fn main() -> Outcome<()> {
    let Some(plan) = plan::Plan::from_arguments()? else {
        println!("{}", plan::USAGE);
        return Ok(());
    };
    let programs = program::Programs::find()?;
    println!("{}\n", machine::description(&plan, &programs));
    let mut all = Vec::new();
    for measure in catalogue::measures() {
        if plan.wants(measure.id) {
            let results = results::take(&plan, &programs, measure)?;
            println!("{}", report::table(&results, plan.markdown));
            if let Some(directory) = &plan.svg {
                plot::write(directory, &results)?;
            }
            all.push(results);
        }
    }
    println!("{}", report::headlines(&all, plan.markdown));
    Ok(())
}

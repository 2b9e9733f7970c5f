//! What offspring costs, beside what the system itself costs in the same run.
//!
//! `cargo bench --bench offspring -- [--quick] [--only <substring>] [--markdown]`; docs/benchmarks.md has the
//! method and what each row means. Every answer is checked; no time is ever asserted.

#![deny(unsafe_code)]

#[allow(
    unsafe_code,
    reason = "bare limits are system calls and shared memory, with nothing between"
)]
mod bare;
mod bits;
mod count;
mod feeding;
mod growth;
mod inherited;
mod large;
mod plan;
mod queues;
mod round_trips;
mod sharing;
mod sleeping;
mod starts;
mod system;
mod table;
mod workers;

use std::error::Error;

use offspring::Context;

use plan::Plan;
use table::Printer;

/// The result of every measurement: what went wrong is told, and ends the program.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// The contexts that make processes, in the order of all tables.
const CONTEXTS: [Context; 3] = [Context::Fork, Context::Spawn, Context::ForkServer];

#[expect(unsafe_code, reason = "the promise is the program's own to make")]
fn main() -> Outcome<()> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    if bare::exec::is_child() || bare::sharing::read_if_asked()? {
        return Ok(());
    }
    if let Some(job) = count::Job::from_arguments()? {
        return job.run();
    }
    let Some(plan) = Plan::from_arguments()? else {
        println!("{}", plan::USAGE);
        return Ok(());
    };
    let printer = Printer::new(plan.markdown());
    printer.note(&system::description(plan.is_quick()));
    starts::measure(&plan, &printer)?;
    feeding::measure(&plan, &printer)?;
    sharing::measure(&plan, &printer)?;
    inherited::measure(&plan, &printer)?;
    queues::measure(&plan, &printer)?;
    bits::measure(&plan, &printer)?;
    growth::measure(&plan, &printer)?;
    count::measure(&plan, &printer)
}

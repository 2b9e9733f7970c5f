//! Bars on a terminal, and nothing elsewhere.
//!
//! They are drawn when something arrives, by the thread that takes it. A bar with a steady tick would have
//! a thread of its own, and beside a second thread Fork is refused.

use std::error::Error;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use offspring::Context;

/// For the files that are found.
pub(crate) fn of_search() -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("looking for files: {pos}")?;
    Ok(ProgressBar::no_length().with_style(style).with_finish(ProgressFinish::AndClear))
}

/// For the tasks that are done.
pub(crate) fn of_tasks(context: Context, tasks: usize) -> Result<ProgressBar, Box<dyn Error>> {
    let style =
        ProgressStyle::with_template("{prefix:10} {wide_bar} {pos}/{len} tasks, {eta} left")?;
    let bar = ProgressBar::new(tasks as u64).with_style(style).with_prefix(context.to_string());
    Ok(bar.with_finish(ProgressFinish::AndClear))
}

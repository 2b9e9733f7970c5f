//! errors: where they are marked

use offspring::Context;

fn main() {}

#[offspring::test(deadline = "30s")] //~ use `contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = "30s"`, `leak_check = false`, `should_panic`, `ignore`, `ignore = "reason"` or `crate = path`
fn unknown() {}

#[offspring::test("30s")] //~ use `contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = "30s"`, `leak_check = false`, `should_panic`, `ignore`, `ignore = "reason"` or `crate = path`
fn unnamed() {}

#[offspring::test(should_panic = true)] //~ use `contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = "30s"`, `leak_check = false`, `should_panic`, `ignore`, `ignore = "reason"` or `crate = path`
fn with_a_value() {}

#[offspring::test(timeout = "1s", timeout = "2s")] //~ this option is there twice
fn twice() {}

#[offspring::test(leak_check = no)] //~ use `true` or `false`
fn neither_true_nor_false() {}

#[offspring::test(timeout = 30)] //~ a time limit is a text like "500ms", "30s", "5min" or "1h"
fn without_a_unit() {}

#[offspring::test(timeout = "0s")] //~ a time limit is a text like "500ms", "30s", "5min" or "1h"
fn without_any_time() {}

#[offspring::test(contexts(Spawn))] //~ `contexts` is for a function that is given its context: `fn name(context: offspring::Context)`
fn without_a_context() {}

#[offspring::test(contexts(Fork, Thread))] //~ use Fork (or unsafe(Fork)), Spawn, ForkServer or Inline
fn on_another(_: Context) {}

#[offspring::test(contexts(unsafe(Spawn)))] //~ use Fork (or unsafe(Fork)), Spawn, ForkServer or Inline
fn with_a_needless_promise(_: Context) {}

#[offspring::test(contexts(Fork, Spawn, unsafe(Fork)))] //~ this context is there twice
fn on_one_twice(_: Context) {}

#[offspring::test(contexts())] //~ at least one context is needed
fn on_none(_: Context) {}

#[offspring::test(crate = "processes")] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn in_quotes() {}

#[offspring::test(crate = )] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn nowhere() {}

#[offspring::test(crate = a::)] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn cut_off() {}

#[offspring::test(crate = a b)] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn two_words() {}

#[offspring::test(crate = a:b)] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn half_colons() {}

#[offspring::test(crate = a::<u8>)] //~ use the path that offspring has here, without quotes: `crate = its_name` or `crate = other::its_name`
fn no_crate() {}

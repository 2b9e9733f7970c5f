//! errors: where they are marked

use offspring::Context;

fn main() {}

#[offspring::test(deadline = "30s")] //~ there is no option `deadline`: `contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = "30s"`, `leak_check = false`, `should_panic`, `ignore`, `ignore = "reason"` or `crate = path`
fn unknown() {}

#[offspring::test("30s")] //~ an option begins with its name: `contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = "30s"`, `leak_check = false`, `should_panic`, `ignore`, `ignore = "reason"` or `crate = path`
fn unnamed() {}

#[offspring::test(should_panic = true)] //~ this is written `should_panic`; what the panic says can be wanted below: `#[should_panic(expected = "…")]`
fn with_a_value() {}

#[offspring::test(timeout = "1s", timeout = "2s")] //~ this option is there twice
fn twice() {}

#[offspring::test(leak_check = no)] //~ use `true` or `false`
fn neither_true_nor_false() {}

#[offspring::test(timeout = 30)] //~ a time limit is a text with a number above 0 and a unit: "500ms", "30s", "5min" or "1h"
fn without_a_unit() {}

#[offspring::test(timeout = "0s")] //~ a time limit is a text with a number above 0 and a unit: "500ms", "30s", "5min" or "1h"
fn without_any_time() {}

#[offspring::test(contexts(Spawn))] //~ `contexts` is for a function that is given its context: `fn name(context: offspring::Context)`
fn without_a_context() {}

#[offspring::test(contexts(Fork, Thread))] //~ there is no context `Thread`: use Fork (or unsafe(Fork)), Spawn, ForkServer or Inline
fn on_another(_: Context) {}

#[offspring::test(contexts(unsafe(Spawn)))] //~ only Fork needs a promise: leave out `unsafe`
fn with_a_needless_promise(_: Context) {}

#[offspring::test(contexts(Fork, Spawn, unsafe(Fork)))] //~ this context is there twice
fn on_one_twice(_: Context) {}

#[offspring::test(contexts())] //~ at least one context is needed
fn on_none(_: Context) {}

#[offspring::test(crate = "processes")] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn in_quotes() {}

#[offspring::test(crate = )] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn nowhere() {}

#[offspring::test(crate = a::)] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn cut_off() {}

#[offspring::test(crate = a b)] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn two_words() {}

#[offspring::test(crate = a:b)] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn half_colons() {}

#[offspring::test(crate = a::<u8>)] //~ this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that offspring has here
fn no_crate() {}

#[offspring::test(timeout = "30")] //~ a time limit is a text with a number above 0 and a unit: "500ms", "30s", "5min" or "1h"
fn without_a_unit_in_it() {}

#[offspring::test(timeout("30s"))] //~ this is written `timeout = "30s"`
fn in_parentheses() {}

#[offspring::test(leak_check)] //~ this is written `leak_check = false`
fn neither() {}

#[offspring::test(ignore("today"))] //~ this is written `ignore` or `ignore = "reason"`
fn as_below() {}

#[offspring::test(contexts = [Fork, Spawn])] //~ this is written `contexts(Fork, Spawn)`, with commas
fn in_a_list(_: Context) {}

#[offspring::test(fork_server)] //~ contexts are chosen by `contexts(ForkServer, …)`
fn alone(_: Context) {}

#[offspring::test(contexts(Context::Fork))] //~ use Fork (or unsafe(Fork)), Spawn, ForkServer or Inline
fn by_its_path(_: Context) {}

//! errors: where they are marked

fn main() {}

#[offspring::test]
async fn later(_: offspring::Context) {} //~ a test cannot be `async`: offspring brings no runtime; make an ordinary function, and start the runtime of your choice in it

#[offspring::test]
fn of_any<T: Default>() {} //~ a test cannot be generic

#[offspring::test]
fn of_any_lifetime<'a>(_: offspring::Context) {} //~ a test cannot be generic

#[offspring::test]
fn of_two(_: offspring::Context, _: (u8, u8)) {} //~ a test is given nothing but its context: `(context: offspring::Context)`

#[offspring::test]
pub(crate) unsafe fn of_promises() {} //~ a test is a safe Rust function

#[offspring::test]
extern "C" fn of_other_languages() {} //~ a test is a safe Rust function

#[offspring::test]
struct Test; //~ `#[offspring::test]` is for functions

#[offspring::test]
mod tests {} //~ `#[offspring::test]` is for functions

#[offspring::test]
#[test] //~ `#[offspring::test]` makes the tests itself: remove `#[test]`
fn of_two_attributes() {}

#[offspring::test]
#[::core::prelude::v1::test] //~ `#[offspring::test]` makes the tests itself: remove `#[::core::prelude::v1::test]`
fn of_another_crate() {}

#[offspring::test(contexts(Inline))]
#[offspring::test(contexts(Spawn))] //~ `#[offspring::test]` makes the tests itself: remove `#[offspring::test]`
fn twice(_: offspring::Context) {}

impl Methods {
    #[offspring::test]
    fn of_a_value(&self) {} //~ a test is a function, and no method: it has no `self`
}

struct Methods;

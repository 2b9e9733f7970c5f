//! Ordinary tests that start children: one line makes them work.

#![forbid(unsafe_code)]

use offspring::{Context, ErrorKind};

offspring::testing::enable!();

#[test]
fn spawn_and_fork_server() {
    for context in [Context::Spawn, Context::ForkServer, Context::Inline] {
        let child = context.process().start((2, 3), |(a, b): (i32, i32)| a + b).unwrap();
        assert_eq!(child.join().unwrap(), 5, "{context}");
    }
}

#[test]
fn fork_is_refused() {
    let refused = Context::Fork.process().start((), |()| ()).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::ForkNotAllowed), "{refused}");
}

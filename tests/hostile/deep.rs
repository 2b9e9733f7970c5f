//! Values that are deeper than they look, decoded where there is little stack.

use offspring::{Context, ErrorKind};

use crate::harness::{Case, Outcome};
use crate::tree::Tree;

pub(crate) const CASES: &[Case] = crate::cases![on &[Context::Spawn, Context::ForkServer, Context::Inline] =>
    deep_results_on_a_thread,
];

/// So deep, in a list in a list, or in boxes.
fn deep((depth, boxes): (usize, bool)) -> Tree {
    let mut tree = Tree::Leaf;
    for _ in 1..depth {
        tree = if boxes {
            Tree::Inner { left: Box::new(tree), right: None }
        } else {
            Tree::List(vec![tree])
        };
    }
    tree
}

/// A thread has 2 MiB, in which what is decoded has to fit, or to be refused.
fn deep_results_on_a_thread(context: Context) -> Outcome {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let pool = context.pool().workers(1).build().unwrap();
        let mut refused = 0;
        // Inline encodes on this thread, which nobody limits: serde recurses as deep as the value is.
        let most = if context == Context::Inline { 1000 } else { 2000 };
        for depth in
            [1, 30, 60, 100, 200, 500, 1000, 2000].into_iter().filter(|depth| *depth <= most)
        {
            for boxes in [false, true] {
                match pool.submit((depth, boxes), |(), how| deep(how)).unwrap().join() {
                    Ok(tree) => assert_eq!(tree.depth(), depth, "{boxes}"),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::DecodeResult, "{depth}: {error}");
                        assert!(error.to_string().contains("deep"), "{error}");
                        assert!(depth > 100, "{depth} is not deep: {error}");
                        refused += 1;
                    }
                }
            }
        }
        pool.shutdown().unwrap();
        refused
    })?;
    let refused = thread.join().expect("nothing panics");
    assert!(refused >= 2, "1,000 is too deep, and was refused {refused} times");
    Ok(())
}

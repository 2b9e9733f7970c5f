//! Tests that macros of a user write. What they insert comes in groups without delimiters.

#![forbid(unsafe_code)]

use offspring::Context;

macro_rules! tests {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis $name:ident on $context:expr, within $limit:expr, leaks $check:expr, $body:expr;
    )*) => {$(
        #[offspring::test(contexts($context), timeout = $limit, leak_check = $check)]
        $(#[$attribute])*
        $visibility fn $name(context: Context) {
            $body(context)
        }
    )*};
}

tests! {
    private on Inline, within "30s", leaks true, |context| assert_eq!(context, Context::Inline);
    pub public on Spawn, within "30s", leaks true, |context| assert_eq!(context, Context::Spawn);
    /// With attributes of every kind.
    #[cfg(all())]
    #[should_panic(expected = "as wanted")]
    pub(crate) restricted on ForkServer, within "5min", leaks true, |_| panic!("as wanted");
    #[cfg(any())]
    left_out on Inline, within "30s", leaks true, |_| ();
    #[ignore = "not now"]
    put_off on Inline, within "30s", leaks true, |_| panic!("it ran all the same");
    leaves_a_file on Inline, within "30s", leaks false,
        |_| std::mem::forget(std::fs::File::open("/dev/null").unwrap());
}

macro_rules! options {
    ($visibility:vis, $context:path, $limit:literal, $reason:literal, $parameter:pat, $type:ty, $result:ty, $value:expr) => {
        #[offspring::test(contexts(unsafe($context), Spawn), timeout = $limit)]
        $visibility fn takes_and_returns($parameter: $type) -> $result {
            $value
        }

        #[offspring::test(ignore = $reason)]
        $visibility fn put_off_with_a_reason() {
            panic!("it ran all the same");
        }
    };
}

options!(, Fork, "1min", "later", _, Context, Result<(), String>, Ok(()));

macro_rules! items {
    ($($item:item)*) => {$(
        #[offspring::test]
        $item
    )*};
}

items! {
    /// A whole function is one fragment.
    pub fn whole(context: Context) -> offspring::Result<()> {
        assert_eq!(context.process().start(20, |n: u32| n + 1)?.join()?, 21);
        Ok(())
    }

    #[ignore = "another time"]
    fn whole_and_put_off() {}
}

//! Each crash in a process.

use offspring::{Context, ErrorKind, Exit};

use super::list::{Answer, Deed, check, commit, without_core};
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES};

fn crash(context: Context, deed: Deed) -> Outcome {
    let child = context.process().name("doomed").start(deed, commit)?;
    let id = child.id();
    let error = child.join().expect_err("a crash is not a result");
    check(&error, context, deed);
    assert_eq!(error.task_name(), Some("doomed"), "{error}");
    assert!(error.to_string().contains("`doomed`"), "{error}");
    assert_eq!(error.pid(), context.is_isolated().then_some(id), "{error}");
    assert_eq!((error.worker(), error.task_index()), (None, None), "{error}");

    // Whatever it did, it did not do it to us.
    let answer = context.process().start(Deed::Return(6), commit)?.join()?;
    assert_eq!(answer.number, 6);
    Ok(())
}

crashes! {
    CRASHES_ON_ALL on &Context::ALL => {
        panic_with_text: PanicWithText,
        panic_with_formatted_text: PanicWithFormattedText,
        panic_with_number: PanicWithNumber,
        unwinding_resumed: ResumeUnwind,
        panic_in_drop_of_local: PanicInDropOfLocal,
        panic_with_payload_that_panics: PanicWithGrenade,
        panic_in_drop_of_result: PanicInDropOfResult,
    }
    CRASHES_ON_PROCESSES on PROCESSES => {
        panic_twice: PanicTwice,
        exit_with_0: ExitWithZero,
        exit_with_3: ExitWithThree,
        leave_with_5: LeaveWithFive,
        abort: Abort,
        sigkill: Kill,
        sigsegv_raised: RaiseFault,
        sigsegv_by_write: WriteToNullPage,
        sigterm: Terminate,
        main_stack_overflow: OverflowMainStack,
        spawned_stack_overflow: OverflowSpawnedStack,
        exit_on_second_thread: ExitOnSecondThread,
        main_thread_ends: EndMainThread,
        descriptors_closed_and_returned: CloseDescriptorsAndReturn,
        descriptors_closed_and_exit_with_0: CloseDescriptorsAndExitWithZero,
    }
}

pub(crate) const OTHERS_ON_ALL: &[Case] =
    cases![long_panic_message, unwinding_resumed_after_another_panic];
pub(crate) const OTHERS_ON_PROCESSES: &[Case] = cases![on PROCESSES =>
    no_backtrace_unless_asked_for,
    output_before_a_crash_arrives_once,
    status_stays_after_join_failed,
    nothing_is_torn_down_after_the_result,
];

/// A message of any length is reported, cut, and costs no memory without end.
fn long_panic_message(context: Context) -> Outcome {
    let child = context.process().start((), |()| -> () { panic!("{}", "é".repeat(1 << 20)) })?;
    let error = child.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    let message = error.panic().unwrap().message();
    assert!(message.starts_with("éé"), "{}", &message[..20]);
    assert!((1000..100_000).contains(&message.len()), "{} bytes", message.len());
    Ok(())
}

/// What is told is the panic that ended the function, not one that it had caught.
fn unwinding_resumed_after_another_panic(context: Context) -> Outcome {
    let child = context.process().start((), |()| -> () {
        let _ = std::panic::catch_unwind(|| panic!("the first"));
        std::panic::resume_unwind(Box::new("the second"))
    })?;
    let error = child.join().unwrap_err();
    let panic = error.panic().expect("it panicked");
    assert_eq!((panic.message(), panic.location()), ("the second", None), "{error}");
    Ok(())
}

fn no_backtrace_unless_asked_for(context: Context) -> Outcome {
    let quiet = context.process().env("RUST_BACKTRACE", "0");
    let error = quiet.start(Deed::PanicWithText, commit)?.join().unwrap_err();
    let panic = error.panic().expect("it panicked");
    assert_eq!(panic.message(), "plain text");
    assert_eq!(panic.backtrace(), None);
    Ok(())
}

/// What the parent had printed by halves is not printed again by the child's exit handlers.
fn output_before_a_crash_arrives_once(context: Context) -> Outcome {
    use std::io::{Read, Seek, Write};
    let path = std::env::temp_dir().join("output");
    let mut file = std::fs::File::options().create_new(true).read(true).write(true).open(&path)?;
    std::fs::remove_file(&path)?;
    print!("a line of the parent without its end ");
    for deed in [Deed::ExitWithThree, Deed::ExitOnSecondThread, Deed::PanicWithText] {
        let builder = context.process().stdout(file.try_clone()?);
        let child = builder.start(deed, |deed| -> Answer {
            print!("{deed:?} ");
            commit(deed)
        })?;
        child.join().unwrap_err();
    }
    std::io::stdout().flush()?;
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    assert_eq!(text, "ExitWithThree ExitOnSecondThread PanicWithText ");
    Ok(())
}

fn status_stays_after_join_failed(context: Context) -> Outcome {
    let mut child = context.process().start(Deed::LeaveWithFive, commit)?;
    let forever = std::time::Duration::from_secs(1000);
    let error = child.join_timeout(forever).unwrap_err();
    check(&error, context, Deed::LeaveWithFive);
    assert_eq!(child.exit_status().map(without_core), Some(Exit::Code(5)));
    assert!(!child.is_alive());
    let again = child.join().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Closed, "{again}");
    Ok(())
}

/// Children leave by `_exit`: what would run at the end of the thread or the program does not.
fn nothing_is_torn_down_after_the_result(context: Context) -> Outcome {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            std::process::exit(9);
        }
    }
    thread_local!(static LAST: AtTheEnd = const { AtTheEnd });
    let mut child = context.process().start(5u32, |n| {
        LAST.with(|_| ());
        n * 2
    })?;
    let forever = std::time::Duration::from_secs(1000);
    assert_eq!(child.join_timeout(forever)?, Some(10));
    assert_eq!(child.exit_status(), Some(Exit::Code(0)));
    Ok(())
}

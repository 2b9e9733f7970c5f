//! Each crash in a task of a pool: it costs that task, and nothing else.

use offspring::{Context, Exit};

use super::list::{Answer, Deed, Expected, check, commit, without_core};
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES};

const TASKS: u32 = 51;
/// Which of them crashes.
const DOOMED: u32 = 25;

fn task(_: &mut (), deed: Deed) -> Answer {
    commit(deed)
}

fn crash(context: Context, deed: Deed) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let inputs = (0..TASKS).map(|n| if n == DOOMED { deed } else { Deed::Return(n) });
    let mut outcomes = 0;
    for (n, outcome) in (0..TASKS).zip(pool.map(inputs, task)) {
        outcomes += 1;
        if n != DOOMED {
            assert_eq!(outcome.map_err(|e| format!("task {n}: {e}"))?.number, n, "{deed:?}");
            continue;
        }
        let error = outcome.expect_err("a crash is not a result");
        check(&error, context, deed);
        assert_eq!(error.index(), u64::from(DOOMED), "{error}");
        assert_eq!(error.task_index(), Some(u64::from(DOOMED)), "{error}");
        assert!(error.name().ends_with("pool::task"), "{error}");
        assert!(error.worker().is_some_and(|worker| worker < 3), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("task {DOOMED}")), "{text}");
    }
    assert_eq!(outcomes, TASKS, "{deed:?}");

    for (n, outcome) in (0..20).zip(pool.map((0..20).map(Deed::Return), task)) {
        assert_eq!(outcome?.number, n, "after {deed:?}");
    }
    let report = pool.shutdown()?;
    assert_eq!(report.tasks(), u64::from(TASKS) + 20, "{report:?}");
    let ends: Vec<Exit> = report.abnormal_exits().iter().copied().map(without_core).collect();
    match deed.expected() {
        Expected::Panic(_) => {
            assert_eq!((report.replaced(), ends.as_slice()), (0, &[][..]), "{report:?}");
        }
        Expected::End(exit) => {
            assert_eq!((report.replaced(), ends.as_slice()), (1, &[exit][..]), "{report:?}");
        }
    }
    Ok(())
}

crashes! {
    CRASHES_ON_ALL on &Context::ALL => {
        task_panics_with_text: PanicWithText,
        task_panics_with_formatted_text: PanicWithFormattedText,
        task_panics_with_number: PanicWithNumber,
        task_resumes_unwinding: ResumeUnwind,
        task_panics_in_drop_of_local: PanicInDropOfLocal,
        task_panics_with_payload_that_panics: PanicWithGrenade,
        task_panics_in_drop_of_result: PanicInDropOfResult,
    }
    CRASHES_ON_PROCESSES on PROCESSES => {
        task_panics_twice: PanicTwice,
        task_exits_with_0: ExitWithZero,
        task_exits_with_3: ExitWithThree,
        task_leaves_with_5: LeaveWithFive,
        task_aborts: Abort,
        task_gets_sigkill: Kill,
        task_raises_sigsegv: RaiseFault,
        task_writes_to_null_page: WriteToNullPage,
        task_gets_sigterm: Terminate,
        task_overflows_main_stack: OverflowMainStack,
        task_overflows_spawned_stack: OverflowSpawnedStack,
        task_exits_on_second_thread: ExitOnSecondThread,
        task_ends_main_thread: EndMainThread,
        task_closes_descriptors_and_exits_with_0: CloseDescriptorsAndExitWithZero,
    }
}

pub(crate) const OTHERS_ON_PROCESSES: &[Case] =
    cases![on PROCESSES => one_task_after_the_other_crashes];

/// A worker that dies does not use up a budget: the tasks are at fault, and each costs one worker.
fn one_task_after_the_other_crashes(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..40).map(|n| if n % 2 == 0 { Deed::Abort } else { Deed::Return(n) });
    for (n, outcome) in (0..40).zip(pool.map(inputs, task)) {
        match outcome {
            Ok(answer) => assert_eq!((answer.number, n % 2), (n, 1)),
            Err(error) => {
                assert_eq!((error.index(), n % 2), (u64::from(n), 0), "{error}");
                check(&error, context, Deed::Abort);
            }
        }
    }
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (40, 20), "{report:?}");
    Ok(())
}

//! `Context` as a value.

use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

use offspring::Context;

use crate::cases;
use crate::harness::{Case, Outcome, programs};

pub(crate) const CASES: &[Case] = cases![
    value,
    texts,
    wrong_texts,
    properties,
    travels,
    chosen_by_environment,
    wrong_choice_by_environment,
];

fn value(context: Context) -> Outcome {
    let copy = context;
    assert_eq!(copy, context);
    assert_eq!(Context::default(), Context::Spawn);
    let all: HashSet<Context> = Context::ALL.into_iter().chain([context]).collect();
    assert_eq!(all.len(), 4);
    let ordered: BTreeSet<Context> = all.into_iter().collect();
    assert!(ordered.contains(&context));
    assert!(Context::available().contains(&context));
    Ok(())
}

fn texts(context: Context) -> Outcome {
    let text = context.to_string();
    assert!(["inline", "fork", "spawn", "forkserver"].contains(&text.as_str()), "{text}");
    assert_eq!(format!("{context:>12}"), format!("{text:>12}"));
    assert_eq!(text.parse(), Ok(context));
    assert_eq!(text.to_uppercase().parse(), Ok(context));
    assert_eq!(format!(" {text}\n").parse(), Ok(context));
    // As in code.
    assert_eq!(format!("{context:?}").parse(), Ok(context));
    for text in ["fork-server", "fork_server", "ForkServer", "FORK_SERVER"] {
        assert_eq!(text.parse(), Ok(Context::ForkServer), "{text}");
    }
    Ok(())
}

fn wrong_texts(_: Context) -> Outcome {
    for text in ["", "forks", "thread", "fork server", "sp\u{e4}wn", "spawn,fork"] {
        let error = text.parse::<Context>().unwrap_err();
        let wanted = format!("`{text}` is not a context; use inline, fork, spawn or forkserver");
        assert_eq!(error.to_string(), wanted);
    }
    Ok(())
}

fn properties(context: Context) -> Outcome {
    let inherits = matches!(context, Context::Inline | Context::Fork);
    assert_eq!(context.inherits_memory(), inherits);
    assert_eq!(context.is_isolated(), context != Context::Inline);
    // What they say is so.
    let pid = context.process().start((), |()| std::process::id())?.join()?;
    assert_eq!(pid != std::process::id(), context.is_isolated());
    static CHANGED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
    CHANGED.store(7, std::sync::atomic::Ordering::Relaxed);
    let seen = |()| CHANGED.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(context.process().start((), seen)?.join()? == 7, context.inherits_memory());
    Ok(())
}

fn travels(context: Context) -> Outcome {
    for sent in Context::ALL {
        let child = context.process().start(sent, |context| (context, context.to_string()))?;
        assert_eq!(child.join()?, (sent, sent.to_string()));
    }
    Ok(())
}

/// Prints the context that the environment names.
pub(crate) fn context_from_environment() -> ExitCode {
    match Context::from_env_or(Context::ForkServer) {
        Ok(context) => println!("{context:?}"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}

fn chosen(value: Option<&std::ffi::OsStr>) -> Result<String, Box<dyn std::error::Error>> {
    let mut command = programs::command("context-from-environment");
    match value {
        Some(value) => command.env("OFFSPRING_CONTEXT", value),
        None => command.env_remove("OFFSPRING_CONTEXT"),
    };
    let output = command.output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn chosen_by_environment(context: Context) -> Outcome {
    assert_eq!(chosen(None)?, "ForkServer");
    let name = context.to_string();
    assert_eq!(chosen(Some(name.as_ref()))?, format!("{context:?}"));
    Ok(())
}

fn wrong_choice_by_environment(context: Context) -> Outcome {
    use std::os::unix::ffi::OsStrExt;
    let text = format!("{context}s");
    let wanted = format!("`{text}` is not a context; use inline, fork, spawn or forkserver");
    assert_eq!(chosen(Some(text.as_ref()))?, wanted);
    let odd = chosen(Some(std::ffi::OsStr::from_bytes(b"\xff")))?;
    assert!(odd.ends_with("is not a context; use inline, fork, spawn or forkserver"), "{odd}");
    Ok(())
}

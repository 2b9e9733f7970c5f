//! Events of `tracing` in children become records, and events of the subscriber here.

use std::fmt;
use std::sync::Mutex;

use log::LevelFilter;
use offspring::{Context, logging};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::cases;
use crate::harness::{Case, Outcome};

pub(super) const CASES: &[Case] =
    cases![on &[Context::Spawn, Context::ForkServer] => events_arrive_at_the_subscriber];

pub(super) const FORK: &[Case] =
    cases![on &[Context::Fork] => events_stay_with_the_copy_of_the_subscriber];

static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Collect {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        EVENTS.lock().unwrap().push(format!("{} {}", event.metadata().level(), message.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn set_up() -> Outcome {
    tracing::subscriber::set_global_default(Collect)?;
    Ok(logging::init(LevelFilter::Info, tracing_log::LogTracer::new())?)
}

fn events() -> Vec<String> {
    std::mem::take(&mut *EVENTS.lock().unwrap())
}

fn events_arrive_at_the_subscriber(context: Context) -> Outcome {
    set_up()?;
    tracing::info!("here");
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), n: i32| {
        tracing::info!("event {n}");
        tracing::debug!("not wanted");
        log::warn!("record {n}");
    };
    pool.submit(7, task)?.join()?;
    assert_eq!(events(), ["INFO here", "INFO event 7", "WARN record 7"]);
    Ok(())
}

/// The child's events are its copy's, and so is the level; records of `log` go where they go on every context.
fn events_stay_with_the_copy_of_the_subscriber(context: Context) -> Outcome {
    set_up()?;
    tracing::info!("here");
    let said = |n: i32| {
        tracing::info!("event {n}");
        tracing::debug!("as the subscriber likes");
        log::warn!("record {n}");
        events()
    };
    let pool = context.pool().workers(1).build()?;
    let copies = ["INFO here", "INFO event 7", "DEBUG as the subscriber likes"];
    assert_eq!(pool.submit(7, move |_: &mut (), n| said(n))?.join()?, copies);
    assert_eq!(events(), ["INFO here", "WARN record 7"]);
    pool.shutdown()?;
    tracing::info!("here again");
    let child = context.process().start(8, said)?;
    let copies = ["INFO here again", "INFO event 8", "DEBUG as the subscriber likes"];
    assert_eq!(child.join()?, copies);
    assert_eq!(events(), ["INFO here again", "WARN record 8"]);
    Ok(())
}

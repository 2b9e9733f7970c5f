//! A timeline as trace events in JSON: the pool is a process, and each lane a thread. The format is Chrome's, which
//! Perfetto reads.

use std::io::{self, Write};

use super::Timeline;
use super::escape::Json;
use super::lane::{Activity, Interval, Status};
use crate::context::Context;

/// A shorter pause is what it takes to go from one task to the next, and is no event of its own.
const PAUSE: u64 = 1000;

pub(super) fn write(timeline: &Timeline, context: Context, out: &mut impl Write) -> io::Result<()> {
    let mut events = Events { out, pid: std::process::id(), lane: 0, origin: timeline.origin };
    writeln!(events.out, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    let name = match &timeline.name {
        Some(name) => format!("pool {name} ({context})"),
        None => format!("pool ({context})"),
    };
    // The first event, so that each other one has a comma before it.
    write!(
        events.out,
        r#"{{"name":"process_name","ph":"M","pid":{},"tid":0,"args":{{"name":{}}}}}"#,
        events.pid,
        Json(&name)
    )?;
    for (index, lane) in timeline.lanes.iter().enumerate() {
        // Numbers of threads begin at 1.
        events.lane = index + 1;
        let place = if context == Context::Inline { "thread" } else { "worker" };
        events.of_lane("thread_name", format_args!("\"name\":\"{place} {index}\""))?;
        events.of_lane("thread_sort_index", format_args!("\"sort_index\":{index}"))?;
        let mut last = None;
        for interval in lane.intervals() {
            events.pause(last, interval.begin)?;
            events.interval(interval)?;
            // What comes after an exit is another worker, and before it nothing.
            last = (interval.activity != Some(Activity::Exit)).then_some(interval.end);
        }
        if lane.is_alive {
            events.pause(last, timeline.until)?;
        }
    }
    writeln!(
        events.out,
        "\n],\"otherData\":{{\"program\":\"offspring\",\"version\":{},\"pool\":{},\"context\":\"{context}\",\"tasks\":\"{}\",\"nanoseconds\":\"{}\"}}}}",
        Json(env!("CARGO_PKG_VERSION")),
        Json(timeline.name.as_deref().unwrap_or("")),
        timeline.tasks(),
        timeline.length(),
    )
}

struct Events<'a, W> {
    out: &'a mut W,
    pid: u32,
    lane: usize,
    /// When the pool was built, which is 0 in the file.
    origin: u64,
}

impl<W: Write> Events<'_, W> {
    /// Says something about the lane.
    fn of_lane(&mut self, name: &str, arguments: std::fmt::Arguments<'_>) -> io::Result<()> {
        let (pid, lane) = (self.pid, self.lane);
        write!(
            self.out,
            ",\n{{\"name\":\"{name}\",\"ph\":\"M\",\"pid\":{pid},\"tid\":{lane},\"args\":{{{arguments}}}}}"
        )
    }

    /// Begins an event, up to its arguments.
    fn begin(&mut self, name: &str, kind: &str, begin: u64, end: u64) -> io::Result<()> {
        let (pid, lane, from) = (self.pid, self.lane, begin.saturating_sub(self.origin));
        let (start, length) = (Micros(from), Micros(end - begin));
        write!(
            self.out,
            ",\n{{\"name\":{},\"cat\":\"{kind}\",\"ph\":\"X\",\"ts\":{start},\"dur\":{length},\"pid\":{pid},\"tid\":{lane},\"args\":{{",
            Json(name)
        )
    }

    fn pause(&mut self, since: Option<u64>, until: u64) -> io::Result<()> {
        match since {
            Some(since) if until.saturating_sub(since) >= PAUSE => {
                self.begin("waiting", "waiting", since, until)?;
                write!(self.out, "}}}}")
            }
            _ => Ok(()),
        }
    }

    fn interval(&mut self, one: &Interval) -> io::Result<()> {
        match one.activity {
            Some(Activity::Work) => {
                let name = one.label.unwrap_or("?");
                let status = Status::ALL.into_iter().find(|status| one.count(*status) > 0);
                self.begin(name, "task", one.begin, one.end)?;
                let status = status.map_or("?", Status::text);
                write!(self.out, r#""index":{},"outcome":"{status}""#, one.index)?;
            }
            Some(activity) => {
                self.begin(activity.text(), activity.text(), one.begin, one.end)?;
                write!(self.out, r#""generation":{},"pid":{}"#, one.generation, one.pid)?;
                if let Some(why) = one.label {
                    write!(self.out, r#","why":{}"#, Json(why))?;
                }
            }
            None => {
                let name = format!("{} tasks", one.tasks());
                self.begin(&name, "several", one.begin, one.end)?;
                write!(self.out, r#""tasks":{}"#, one.tasks())?;
                if let Some(name) = one.label {
                    write!(self.out, r#","function":{}"#, Json(name))?;
                }
                for status in Status::ALL.into_iter().filter(|status| one.count(*status) > 0) {
                    write!(self.out, r#","{}":{}"#, status.text(), one.count(status))?;
                }
                write!(self.out, r#","workers started":{}"#, one.starts)?;
                for activity in [Activity::Start, Activity::Init, Activity::Work, Activity::Exit] {
                    let percent = one.share(activity) * 100.0;
                    write!(self.out, r#","{} %":{percent:.1}"#, activity.text())?;
                }
            }
        }
        write!(self.out, "}}}}")?;
        if one.activity == Some(Activity::Start) && one.generation > 0 {
            self.replaced(one)?;
        }
        Ok(())
    }

    /// A mark where a worker took the place of another.
    fn replaced(&mut self, start: &Interval) -> io::Result<()> {
        let at = Micros(start.begin.saturating_sub(self.origin));
        let (pid, lane, generation) = (self.pid, self.lane, start.generation);
        write!(
            self.out,
            ",\n{{\"name\":\"replaced\",\"cat\":\"replaced\",\"ph\":\"i\",\"s\":\"t\",\"ts\":{at},\"pid\":{pid},\"tid\":{lane},\"args\":{{\"generation\":{generation}}}}}"
        )
    }
}

/// Nanoseconds as microseconds, exactly.
struct Micros(u64);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

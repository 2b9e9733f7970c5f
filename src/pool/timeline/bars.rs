//! One lane of a picture: a bar for each interval, or, where they are too small to be seen, for several.

use std::fmt;
use std::io::{self, Write};

use super::Timeline;
use super::escape::Xml;
use super::lane::{Activity, Interval, Lane, Status};
use super::scale::{Grouped, Human, Tasks};
use super::svg::Scale;

/// What is drawn; told apart by lightness, too, and by people who see colours differently (Okabe and Ito).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Of(Activity),
    Waiting,
    Failed,
    Killed,
}

impl Colour {
    pub(super) const LEGEND: [(Self, &'static str); 7] = [
        (Self::Of(Activity::Start), "start"),
        (Self::Of(Activity::Init), "init"),
        (Self::Of(Activity::Work), "working"),
        (Self::Waiting, "waiting"),
        (Self::Of(Activity::Exit), "exit"),
        (Self::Failed, "failed"),
        (Self::Killed, "killed"),
    ];

    pub(super) fn fill(self) -> &'static str {
        match self {
            Self::Of(Activity::Start) => "#F0E442",
            Self::Of(Activity::Init) => "#56B4E9",
            Self::Of(Activity::Work) => "#0072B2",
            Self::Waiting => "#E2E2E2",
            Self::Of(Activity::Exit) => "#CC79A7",
            Self::Failed => "#D55E00",
            Self::Killed => "#000",
        }
    }
}

/// The bars of a lane, none of which is much less wide than `width`. `unit` is the time of one unit of the picture.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "for a picture"
)]
pub(super) fn bars(lane: &Lane, unit: f64, width: f64) -> Vec<Interval> {
    /// What is joined because it looks the same is no wider, so that the mouse finds where it is.
    const WIDEST: f64 = 40.0;
    let (fine, widest) = ((unit * width) as u64, (unit * WIDEST.max(width)) as u64);
    let mut bars = lane.joined(fine);
    let invisible = |bar: &Interval| {
        bar.tasks() > 1 && bar.spent(Activity::Work) as f64 / (bar.tasks() as f64) < unit
    };
    bars.dedup_by(|next, last| {
        let alike = invisible(next)
            && invisible(last)
            && next.begin - last.end <= fine
            && next.end - last.begin <= widest
            && looks(next) == looks(last);
        if alike {
            last.join(next);
        }
        alike
    });
    bars
}

/// What bars look like that have no difference that could be seen.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number from 0 to 8")]
fn looks(bar: &Interval) -> (bool, bool, [u8; Activity::COUNT]) {
    let share = STACK.map(|activity| (bar.share(activity) * 8.0).round() as u8);
    (bar.count_if(Status::is_failure) > 0, bar.count_if(Status::is_kill) > 0, share)
}

/// From the bottom to the top.
const STACK: [Activity; Activity::COUNT] =
    [Activity::Work, Activity::Init, Activity::Start, Activity::Exit];

/// Draws lanes.
pub(super) struct Bars<'a, W> {
    pub(super) out: &'a mut W,
    pub(super) scale: Scale,
    pub(super) y: f64,
}

impl<W: Write> Bars<'_, W> {
    pub(super) fn lane(
        &mut self,
        name: &str,
        lane: &Lane,
        timeline: &Timeline,
        bars: &[Interval],
    ) -> io::Result<()> {
        for (begin, end) in lane.lives(timeline.until, self.scale.pixel()) {
            let (x, width) = (self.scale.x(begin), self.scale.x(end) - self.scale.x(begin));
            let (y, height, fill) = (self.y, self.scale.height, Colour::Waiting.fill());
            writeln!(
                self.out,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"><title>{}</title></rect>"#,
                Xml(name)
            )?;
        }
        for bar in bars {
            let from = bar.begin.saturating_sub(timeline.origin);
            write!(self.out, "<g><title>{}</title>", Xml(&format!("{bar}, from {}", Human(from))))?;
            self.bar(bar)?;
            writeln!(self.out, "</g>")?;
        }
        Ok(())
    }

    fn bar(&mut self, bar: &Interval) -> io::Result<()> {
        let x = self.scale.x(bar.begin);
        let width = (self.scale.x(bar.end) - x).max(1.0);
        let (top, full) = (self.y, self.scale.height);
        let (failed, killed) =
            (bar.count_if(Status::is_failure) > 0, bar.count_if(Status::is_kill) > 0);
        if let Some(activity) = bar.activity {
            // An end that takes no time is none that the worker came to by itself.
            let sudden = activity == Activity::Exit && bar.length() == 0;
            let colour = match () {
                () if killed || sudden => Colour::Killed,
                () if failed => Colour::Failed,
                () => Colour::Of(activity),
            };
            // Neighbours are told apart.
            let width = if width > 4.0 { width - 0.5 } else { width };
            self.rect(x, top, width, full, colour)?;
            if activity == Activity::Start && bar.generation > 0 {
                // A worker in the place of another.
                let x = x - 0.5;
                self.rect(x, top - 2.0, 1.0, full + 4.0, Colour::Killed)?;
            }
            return Ok(());
        }
        let mut bottom = top + full;
        for activity in STACK {
            let share = bar.share(activity).min(1.0) * full;
            let some = bar.spent(activity) > 0 || (activity == Activity::Work && bar.tasks() > 0);
            if some {
                let height = share.max(1.0).min(bottom - top);
                bottom -= height;
                self.rect(x, bottom, width, height, Colour::Of(activity))?;
            }
        }
        // Marks that are seen also where one of a thousand failed.
        let (mark, width) = ((full * 0.3).min(5.0), width.max(2.0));
        if failed {
            self.rect(x, top, width, mark, Colour::Failed)?;
        }
        if killed {
            self.rect(x, top + full - mark, width, mark, Colour::Killed)?;
        }
        Ok(())
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, colour: Colour) -> io::Result<()> {
        let fill = colour.fill();
        write!(
            self.out,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        )
    }
}

/// What a bar stands for.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tasks, length) = (self.tasks(), Human(self.length()));
        if let Some(activity) = self.activity.filter(|activity| *activity != Activity::Work) {
            write!(f, "{} (generation {}, pid {})", activity.text(), self.generation, self.pid)?;
            if let Some(why) = self.label {
                write!(f, ": {why}")?;
            }
            return write!(f, ", {length}");
        }
        if self.activity.is_some() {
            let status = Status::ALL.into_iter().find(|status| self.count(*status) > 0);
            let status = status.map_or("", Status::text);
            return write!(
                f,
                "task {} of {}: {status}, {length}",
                self.index,
                self.label.unwrap_or("?")
            );
        }
        write!(f, "{}", Tasks(tasks))?;
        if let Some(name) = self.label {
            write!(f, " of {name}")?;
        }
        write!(f, ", {:.0} % working", self.share(Activity::Work) * 100.0)?;
        for status in Status::ALL.into_iter().filter(|status| *status != Status::Done) {
            if self.count(status) > 0 {
                write!(f, ", {} {}", Grouped(self.count(status)), status.text())?;
            }
        }
        if self.starts > 0 {
            write!(f, ", {} started", Grouped(self.starts.into()))?;
        }
        write!(f, ", {length}")
    }
}

//! A timeline as a picture: the frame around it, and how finely it is drawn. No script, no style sheet and no font of
//! its own, so that it can stand in any page. `bars.rs` draws the lanes.

use std::io::{self, Write};

use super::Timeline;
use super::bars::{Bars, Colour, bars};
use super::escape::Xml;
use super::lane::{Interval, Lane, Status};
use super::scale::{Grouped, Human, Tasks, Ticks};
use crate::context::Context;

const WIDTH: u32 = 1200;
/// Where the lanes begin, and how far they reach.
pub(super) const LEFT: f64 = 90.0;
pub(super) const SPAN: f64 = 950.0;
const TOP: f64 = 96.0;
/// No more bars than so many, or the file would have more than some hundred KiB.
const MOST: usize = 2000;
/// No two labels are nearer to each other than this.
const LINE: f64 = 14.0;

/// Where things are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The time at the left edge.
    pub(super) origin: u64,
    /// Nanoseconds for each unit of the picture.
    pub(super) unit: f64,
    /// From lane to lane.
    pitch: f64,
    /// How high the bars are.
    pub(super) height: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    fn new(timeline: &Timeline) -> Self {
        let pitch = match timeline.lanes.len() {
            0..=20 => 26.0,
            21..=50 => 18.0,
            51..=100 => 12.0,
            101..=400 => 8.0,
            _ => 4.0,
        };
        let height = if pitch > 12.0 { pitch - 5.0 } else { pitch - 1.5 };
        let unit = timeline.length().max(1) as f64 / SPAN;
        Self { origin: timeline.origin, unit, pitch, height }
    }

    /// The time of one unit of the picture.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    pub(super) fn pixel(self) -> u64 {
        self.unit as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    pub(super) fn x(self, time: u64) -> f64 {
        LEFT + time.saturating_sub(self.origin) as f64 / self.unit
    }

    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    pub(super) fn y(self, lane: usize) -> f64 {
        TOP + lane as f64 * self.pitch
    }
}

pub(super) fn write(timeline: &Timeline, context: Context, out: &mut impl Write) -> io::Result<()> {
    let scale = Scale::new(timeline);
    let (lanes, bottom) = (timeline.lanes.len(), scale.y(timeline.lanes.len()));
    let height = bottom + 12.0 + if lanes > 30 { LINE } else { 0.0 };
    let title = title(timeline, context);
    writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" fill="#222">"##
    )?;
    writeln!(out, "<title>{}</title>", Xml(&title))?;
    writeln!(out, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    writeln!(
        out,
        r#"<text x="12" y="24" font-size="16" font-weight="bold">{}</text>"#,
        Xml(&title)
    )?;
    writeln!(out, r#"<text x="12" y="44">{}</text>"#, Xml(&summary(timeline, context)))?;
    legend(out)?;
    axis(timeline, scale, bottom, out)?;
    let drawn = finest(timeline, scale);
    for (index, (lane, bars)) in timeline.lanes.iter().zip(drawn).enumerate() {
        Bars { out, scale, y: scale.y(index) }.lane(
            &describe(index, lane, context),
            lane,
            timeline,
            &bars,
        )?;
    }
    labels(timeline, context, scale, out)?;
    writeln!(out, "</svg>")
}

/// What stands for each lane, as finely as there is room for.
fn finest(timeline: &Timeline, scale: Scale) -> Vec<Vec<Interval>> {
    let mut width = 1.0;
    loop {
        let all: Vec<_> = timeline.lanes.iter().map(|lane| bars(lane, scale.unit, width)).collect();
        if all.iter().map(Vec::len).sum::<usize>() <= MOST || width > SPAN {
            return all;
        }
        width *= 1.5;
    }
}

fn title(timeline: &Timeline, context: Context) -> String {
    const LONGEST: usize = 40;
    let mut name = String::from("Pool");
    if let Some(given) = &timeline.name {
        let short: String = given.chars().take(LONGEST).collect();
        let cut = if short.len() < given.len() { "…" } else { "" };
        name = format!("Pool “{short}{cut}”");
    }
    let (tasks, lanes) = (timeline.tasks(), timeline.lanes.len());
    format!(
        "{name} ({context}): {} on {} {}, {}",
        Tasks(tasks),
        Grouped(lanes as u64),
        places(context, lanes),
        Human(timeline.length()),
    )
}

/// What lanes are of.
fn places(context: Context, count: usize) -> &'static str {
    match (context, count) {
        (Context::Inline, 1) => "thread",
        (Context::Inline, _) => "threads",
        (_, 1) => "worker",
        _ => "workers",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage is shown")]
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    format!("{:.0} %", part as f64 * 100.0 / whole as f64)
}

fn summary(timeline: &Timeline, context: Context) -> String {
    let all = |of: fn(&Interval) -> u64| -> u64 {
        timeline.lanes.iter().flat_map(Lane::intervals).map(of).sum()
    };
    let busy: u64 = timeline.lanes.iter().map(Lane::busy).sum();
    let whole = timeline.length().saturating_mul(timeline.lanes.len() as u64);
    let mut text = format!("{} of the time was spent on tasks", percent(busy, whole));
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Done) {
        let counts = timeline.lanes.iter().flat_map(Lane::intervals);
        let count: u64 = counts.map(|interval| interval.count(status)).sum();
        if count > 0 {
            text += &format!("; {} {}", Grouped(count), status.text());
        }
    }
    let starts = all(|interval| interval.starts.into());
    let replaced = starts.saturating_sub(timeline.lanes.len() as u64);
    if replaced > 0 {
        text += &format!(
            "; {} {} replaced",
            Grouped(replaced),
            match context {
                Context::Inline => "states",
                _ => places(context, usize::try_from(replaced).unwrap_or(2)),
            }
        );
    }
    text
}

fn legend(out: &mut impl Write) -> io::Result<()> {
    let mut x = LEFT;
    for (colour, text) in Colour::LEGEND {
        let fill = colour.fill();
        writeln!(out, r#"<rect x="{x}" y="55" width="14" height="12" fill="{fill}"/>"#)?;
        writeln!(out, r#"<text x="{}" y="65">{text}</text>"#, x + 19.0)?;
        x += 95.0;
    }
    Ok(())
}

fn axis(timeline: &Timeline, scale: Scale, bottom: f64, out: &mut impl Write) -> io::Result<()> {
    let ticks = Ticks::new(timeline.length(), 10);
    let mut time = 0;
    while time <= timeline.length() {
        let x = scale.x(timeline.origin + time);
        let label = if time == 0 { "0".into() } else { ticks.label(time) };
        writeln!(
            out,
            r##"<path d="M{x:.1} {:.1}V{bottom:.1}" stroke="#bbb" stroke-width="0.7"/>"##,
            TOP - 8.0
        )?;
        let mut line = |y: f64| {
            writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{label}</text>"#)
        };
        line(TOP - 11.0)?;
        if timeline.lanes.len() > 30 {
            line(bottom + LINE)?;
        }
        time = time.saturating_add(ticks.step);
    }
    Ok(())
}

/// What a lane is of.
fn describe(index: usize, lane: &Lane, context: Context) -> String {
    let starts: u64 = lane.intervals().iter().map(|one| u64::from(one.starts)).sum();
    let place = places(context, 1);
    let tasks = Tasks(lane.tasks());
    let (busy, replaced) = (Human(lane.busy()), Grouped(starts.saturating_sub(1)));
    format!("{place} {index}: {tasks} in {busy}; replaced {replaced} times")
}

/// The numbers of the lanes, and what they did, as many as can be read.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number that is not negative"
)]
fn labels(
    timeline: &Timeline,
    context: Context,
    scale: Scale,
    out: &mut impl Write,
) -> io::Result<()> {
    let every = (LINE / scale.pitch).ceil().max(1.0) as usize;
    for (index, lane) in timeline.lanes.iter().enumerate().step_by(every) {
        let y = scale.y(index) + scale.height / 2.0 + 4.0;
        let (x, place) = (LEFT - 8.0, places(context, 1));
        writeln!(out, r#"<text x="{x}" y="{y:.1}" text-anchor="end">{place} {index}</text>"#)?;
        let busy = percent(lane.busy(), timeline.length());
        let (x, tasks) = (LEFT + SPAN + 12.0, Tasks(lane.tasks()));
        writeln!(out, r#"<text x="{x}" y="{y:.1}">{tasks}, {busy}</text>"#)?;
    }
    Ok(())
}

//! What one worker's place did when, in intervals that follow each other; in bounded memory, because neighbours are
//! joined when there are too many.

/// How a task ended, as far as its owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Done,
    /// Not by a panic: it could not be decoded, encoded, captured.
    Failed,
    Panicked,
    /// With its worker.
    Died,
    TimedOut,
    Cancelled,
    /// It has not.
    Running,
}

impl Status {
    pub(super) const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Panicked,
        Self::Died,
        Self::TimedOut,
        Self::Cancelled,
        Self::Running,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Died => "died",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Running => "running",
        }
    }

    /// It failed, and its worker went on.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Panicked)
    }

    /// It was ended from outside.
    pub(super) fn is_kill(self) -> bool {
        matches!(self, Self::Died | Self::TimedOut | Self::Cancelled)
    }
}

/// What time is spent on; what is left is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    Start,
    Init,
    Work,
    Exit,
}

impl Activity {
    pub(super) const COUNT: usize = 4;

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Init => "init",
            Self::Work => "working",
            Self::Exit => "exit",
        }
    }
}

/// One interval: one thing that a worker did, or several that were joined.
#[derive(Debug, Clone)]
pub(super) struct Interval {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Of a task, the name of its function; of an exit, why. `None` when names differ.
    pub(super) label: Option<&'static str>,
    /// The index of its first task.
    pub(super) index: u64,
    /// What it is, unless several were joined.
    pub(super) activity: Option<Activity>,
    /// Of its first worker: how many were in its place before.
    pub(super) generation: u32,
    pub(super) pid: u32,
    /// How many workers began in it.
    pub(super) starts: u32,
    /// How many tasks in it ended how.
    counts: [u32; Status::ALL.len()],
    /// The time spent on each activity.
    spent: [u64; Activity::COUNT],
}

/// What is promised for each interval.
const _: () = assert!(size_of::<Interval>() <= 128);

impl Interval {
    fn new(activity: Activity, begin: u64, end: u64) -> Self {
        Self {
            begin,
            end,
            label: None,
            index: 0,
            activity: Some(activity),
            generation: 0,
            pid: 0,
            starts: u32::from(activity == Activity::Start),
            counts: [0; Status::ALL.len()],
            spent: [0; Activity::COUNT],
        }
    }

    /// Something that is no task.
    pub(super) fn of_worker(
        activity: Activity,
        begin: u64,
        end: u64,
        generation: u64,
        pid: u32,
    ) -> Self {
        let generation = u32::try_from(generation).unwrap_or(u32::MAX);
        Self { generation, pid, ..Self::new(activity, begin, end) }
    }

    pub(super) fn of_task(
        begin: u64,
        end: u64,
        label: &'static str,
        index: u64,
        status: Status,
    ) -> Self {
        let mut interval = Self::new(Activity::Work, begin, end);
        (interval.label, interval.index) = (Some(label), index);
        interval.counts[status as usize] = 1;
        interval
    }

    pub(super) fn count(&self, status: Status) -> u64 {
        self.counts[status as usize].into()
    }

    pub(super) fn count_if(&self, wanted: fn(Status) -> bool) -> u64 {
        Status::ALL.into_iter().filter(|status| wanted(*status)).map(|one| self.count(one)).sum()
    }

    pub(super) fn tasks(&self) -> u64 {
        self.count_if(|_| true)
    }

    pub(super) fn length(&self) -> u64 {
        self.end - self.begin
    }

    pub(super) fn spent(&self, activity: Activity) -> u64 {
        self.spent[activity as usize]
    }

    /// The part of its time that was spent on this, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    pub(super) fn share(&self, activity: Activity) -> f64 {
        if self.length() == 0 {
            return f64::from(u8::from(self.activity == Some(activity)));
        }
        self.spent(activity) as f64 / self.length() as f64
    }

    /// Becomes both.
    pub(super) fn join(&mut self, next: &Self) {
        let (before, after) = (self.tasks(), next.tasks());
        if before == 0 {
            (self.label, self.index) = (next.label, next.index);
        } else if after > 0 && self.label != next.label {
            self.label = None;
        }
        // What is no task has no label that would be worth to be kept.
        if before + after == 0 {
            self.label = None;
        }
        self.end = next.end;
        self.activity = None;
        self.starts = self.starts.saturating_add(next.starts);
        for (mine, other) in self.counts.iter_mut().zip(next.counts) {
            *mine = mine.saturating_add(other);
        }
        for (mine, other) in self.spent.iter_mut().zip(next.spent) {
            *mine = mine.saturating_add(other);
        }
    }
}

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    intervals: Vec<Interval>,
    /// No more than so many.
    most: usize,
    /// What follows each other within this time is one interval. 0 as long as all fit.
    resolution: u64,
    /// When the last of them ended.
    end: u64,
    /// When the worker was asked for that has not come up; 0 for none.
    pub(super) asked: u64,
    /// A worker is there, or on its way.
    pub(super) is_alive: bool,
    tasks: u64,
    busy: u64,
}

impl Lane {
    pub(super) fn new(most: usize) -> Self {
        let (intervals, most) = (Vec::new(), most.max(1));
        Self {
            intervals,
            most,
            resolution: 0,
            end: 0,
            asked: 0,
            is_alive: false,
            tasks: 0,
            busy: 0,
        }
    }

    pub(super) fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// The time spent on tasks.
    pub(super) fn busy(&self) -> u64 {
        self.busy
    }

    /// Adds what came next. Times come from other processes; those that cannot be are brought into order.
    pub(super) fn push(&mut self, mut interval: Interval, now: u64) {
        interval.begin = interval.begin.clamp(self.end.min(now), now);
        interval.end = interval.end.clamp(interval.begin, now);
        self.end = interval.end;
        self.tasks += interval.tasks();
        if let Some(activity) = interval.activity {
            interval.spent[activity as usize] = interval.length();
            if activity == Activity::Work {
                self.busy += interval.length();
            }
        }
        loop {
            if let Some(last) = self.intervals.last_mut() {
                if self.resolution > 0 && interval.end - last.begin <= self.resolution {
                    return last.join(&interval);
                }
            }
            let count = self.intervals.len();
            if count < self.most {
                if count == self.intervals.capacity() {
                    // Twice as many, but never room for more than may be kept.
                    self.intervals.reserve_exact(count.max(4).min(self.most - count));
                }
                return self.intervals.push(interval);
            }
            self.coarsen();
        }
    }

    /// Joins neighbours, until a quarter is free.
    fn coarsen(&mut self) {
        let Some(first) = self.intervals.first() else { return };
        let wanted = self.most - self.most / 4;
        let all = self.end - first.begin;
        self.resolution = self.resolution.saturating_mul(2).max(all / wanted as u64).max(1);
        join_within(&mut self.intervals, self.resolution);
        while self.intervals.len() > wanted {
            self.resolution = self.resolution.saturating_mul(2);
            join_within(&mut self.intervals, self.resolution);
        }
    }

    /// From when until when a worker was there, or on its way; those that are as near to each other are one.
    pub(super) fn lives(&self, until: u64, near: u64) -> Vec<(u64, u64)> {
        let mut lives: Vec<(u64, u64)> = Vec::new();
        let mut ended = true;
        for interval in &self.intervals {
            match lives.last_mut() {
                Some(life) if !ended || interval.begin - life.1 <= near => {
                    life.1 = interval.end;
                }
                _ => lives.push((interval.begin, interval.end)),
            }
            ended = interval.activity == Some(Activity::Exit);
        }
        if let Some(life) = lives.last_mut().filter(|_| self.is_alive) {
            life.1 = until.max(life.1);
        }
        lives
    }

    /// The intervals, joined where neighbours are together no longer than this.
    pub(super) fn joined(&self, resolution: u64) -> Vec<Interval> {
        let mut intervals = self.intervals.clone();
        join_within(&mut intervals, resolution);
        intervals
    }
}

fn join_within(intervals: &mut Vec<Interval>, resolution: u64) {
    intervals.dedup_by(|next, last| {
        let near = next.end - last.begin <= resolution;
        if near {
            last.join(next);
        }
        near
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(most: usize, tasks: u64) -> Lane {
        let mut lane = Lane::new(most);
        for n in 0..tasks {
            // 10 of each 15 nanoseconds are spent on a task; each hundredth fails.
            let status = if n % 100 == 0 { Status::Panicked } else { Status::Done };
            lane.push(Interval::of_task(n * 15, n * 15 + 10, "task", n, status), u64::MAX);
        }
        lane
    }

    #[test]
    fn nothing_is_joined_while_all_fit() {
        let lane = filled(100, 100);
        assert_eq!(lane.intervals().len(), 100);
        assert!(lane.intervals().iter().all(|one| one.tasks() == 1 && one.length() == 10));
    }

    #[test]
    fn many_tasks_take_no_more_memory_and_none_is_lost() {
        for most in [1, 2, 3, 7, 64, 1000] {
            let lane = filled(most, 100_000);
            let intervals = lane.intervals();
            assert!(intervals.len() <= most && lane.intervals.capacity() <= most, "{most}");
            // Joined as little as that allows.
            assert!(intervals.len() >= most / 3, "{} of {most}", intervals.len());
            let sum = |of: fn(&Interval) -> u64| intervals.iter().map(of).sum::<u64>();
            assert_eq!(sum(Interval::tasks), 100_000, "{most}");
            assert_eq!(sum(|one| one.count(Status::Panicked)), 1000, "{most}");
            assert_eq!(sum(|one| one.spent(Activity::Work)), 1_000_000, "{most}");
            assert_eq!((lane.tasks(), lane.busy()), (100_000, 1_000_000));
            assert!(intervals.is_sorted_by(|one, next| one.end <= next.begin), "{most}");
        }
    }

    #[test]
    fn times_that_cannot_be_are_brought_into_order() {
        let mut lane = Lane::new(100);
        for (begin, end) in [(10, 20), (5, 30), (u64::MAX, 0), (0, u64::MAX), (40, 50)] {
            lane.push(Interval::of_task(begin, end, "task", 0, Status::Done), 100);
        }
        let times: Vec<_> = lane.intervals().iter().map(|one| (one.begin, one.end)).collect();
        assert_eq!(times, [(10, 20), (20, 30), (100, 100), (100, 100), (100, 100)]);
    }

    #[test]
    fn joined_intervals_keep_a_name_that_is_common() {
        let mut lane = Lane::new(1);
        lane.push(Interval::new(Activity::Start, 0, 1), 100);
        lane.push(Interval::of_task(1, 2, "one", 7, Status::Done), 100);
        let name = |lane: &Lane| (lane.intervals()[0].label, lane.intervals()[0].index);
        assert_eq!(name(&lane), (Some("one"), 7));
        lane.push(Interval::of_task(2, 3, "other", 8, Status::Done), 100);
        assert_eq!(name(&lane), (None, 7));
        lane.push(Interval::of_task(3, 4, "one", 9, Status::Done), 100);
        assert_eq!(name(&lane), (None, 7));
        assert_eq!((lane.intervals()[0].starts, lane.intervals()[0].tasks()), (1, 3));
    }
}

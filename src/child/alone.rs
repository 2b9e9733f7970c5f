//! Running a task so that no other meets what it leaves behind: in a copy of the worker, or in a worker of its
//! own.

use offspring_platform::clock::{coarse, now};
use offspring_platform::exit;
use offspring_platform::wait::Exit;

use super::bench::Bench;
use super::copy::{self, Copied};
use super::whoami::{count_task, working_as};
use crate::function::Failure;
use crate::hooks;
use crate::link::lane::{HEAD, Head, Note, Span, Status};
use crate::transcript;

impl Bench<'_> {
    /// Runs a task so that no other meets what it leaves behind.
    pub(super) fn run_alone(&mut self, head: Head) {
        if !copy::is_possible() {
            self.run(head);
            self.leave();
        }
        self.begin();
        // Not by the copy: should that be ended in the middle, nobody knew what is left of the argument.
        let task = self.take(head);
        let begin = if self.role.timeline { now() } else { 0 };
        let start = self.outcomes.position();
        match copy::copy(&self.link, &self.bell) {
            Ok(Copied::Copy(link, bell)) => {
                let _bomb = exit::Bomb::arm();
                self.link = *link;
                self.bell = bell;
                self.transcript = transcript::own();
                if let Err(text) = working_as(None, hooks::run) {
                    self.span = self.span_since(begin);
                    self.answer(Err(Box::new(Failure::Hook(text))), None);
                    super::end();
                }
                self.run_taken(head, task);
                super::end();
            }
            Ok(Copied::Ended(exit)) => {
                // A copy that died has not said so. To wait until there is room for that is not the task's time.
                if self.role.timed {
                    Status::of(&self.words).set_running_since(0);
                }
                // What `WorkerInfo` counts; the copy counted for itself.
                count_task();
                self.descriptors = Vec::new();
                self.span = self.span_since(begin);
                self.note_time();
                self.answer_for_copy(start, exit);
                // It may have died between taking note that the owner is to be woken, and waking it.
                self.ring();
                // If the copy has answered, it said so itself.
                self.span = None;
                self.milliseconds = 0;
            }
            Err(failure) => {
                self.descriptors = Vec::new();
                self.span = self.span_since(begin);
                self.answer(Err(Box::new(failure)), None);
            }
        }
        // The copy took note of the time of its task for itself only. That is not the next one's.
        self.time = coarse();
        if head.note != Note::Task {
            self.input = Vec::new();
        }
    }

    /// From then until now, if the owner wants to know.
    fn span_since(&self, begin: u64) -> Option<Span> {
        self.role.timeline.then(|| Span { begin, end: now() })
    }

    /// Goes on behind the outcome that a copy put into the ring at this place, and says how the copy ended if
    /// it put none there, or not all of it.
    fn answer_for_copy(&mut self, start: u64, ended: Exit) {
        let (published, moved) = (self.outcomes.catch_up(), self.bulk_outcomes.catch_up());
        let (Ok(published), Ok(moved)) = (published, moved) else { exit::now(exit::FELL_OUT) };
        if published == 0 {
            return self.answer(Err(Box::new(Failure::Died(ended.into()))), None);
        }
        let (mut head, mut length) = ([0; HEAD], [0; 8]);
        self.outcomes.read_back(start, &mut head);
        let mut start = start;
        if let Some(ran) = Head::from_bytes(head).filter(|head| head.note == Note::Ran) {
            // Its outcome is behind that.
            start += ran.size() as u64;
            self.outcomes.read_back(start, &mut head);
        }
        match Head::from_bytes(head).map(|head| head.note) {
            Some(Note::DoneInPieces) => {
                self.outcomes.read_back(start + HEAD as u64, &mut length);
                if moved < u64::from_ne_bytes(length) {
                    // Takes the place of the result.
                    self.answer(Err(Box::new(Failure::Died(ended.into()))), None);
                }
            }
            // Perhaps a part of it is in the socket, which nobody can tell from what would follow.
            Some(Note::Elsewhere) if ended != Exit::Code(0) => exit::now(exit::FELL_OUT),
            _ => {}
        }
    }
}

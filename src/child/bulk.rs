//! Large arguments and results of a worker, in pieces: it waits for the other side as long as it takes.

use std::sync::atomic::Ordering;

use offspring_platform::clock::now;
use offspring_platform::exit;

use super::bench::{Bench, NAP};
use crate::link::Moved;
use crate::link::lane::Status;

impl Bench<'_> {
    /// Takes a large argument out of its ring, as it comes.
    pub(super) fn take_body(&mut self, length: usize) -> Vec<u8> {
        self.bulk_tasks.expect(length);
        loop {
            match self.bulk_tasks.pull() {
                Ok(Moved::Piece { wake: true, .. }) => self.ring(),
                Ok(Moved::Piece { wake: false, .. }) => {}
                Ok(Moved::Nothing) => match self.bulk_tasks.finish() {
                    Some(body) => return body,
                    None => self.wait_for_piece(),
                },
                Err(_) => exit::now(exit::FELL_OUT),
            }
        }
    }

    fn wait_for_piece(&mut self) {
        self.ring_if_asleep(true);
        if self.bulk_spin.look(|| self.bulk_tasks.has_bytes()) {
            return;
        }
        let before = self.words.before_sleep();
        match self.bulk_tasks.prepare_sleep() {
            Ok(true) => {
                let since = now();
                self.words.sleep(before, NAP);
                self.bulk_tasks.wake_up();
                let woken = Status::of(&self.words).woken().load(Ordering::Relaxed);
                self.bulk_spin.slept(since, woken);
            }
            Ok(false) => {}
            Err(_) => exit::now(exit::FELL_OUT),
        }
    }

    /// Puts a large result into its ring, as there is room.
    pub(super) fn push_body(&mut self) {
        while self.bulk_outcomes.is_busy() {
            match self.bulk_outcomes.push() {
                Ok(Moved::Piece { wake: true, .. }) => self.ring(),
                Ok(Moved::Piece { wake: false, .. }) => {}
                Ok(Moved::Nothing) => self.wait_for_bulk_room(),
                Err(_) => exit::now(exit::FELL_OUT),
            }
        }
    }

    fn wait_for_bulk_room(&mut self) {
        if self.bulk_spin.look(|| self.bulk_outcomes.has_room()) {
            return;
        }
        Status::of(&self.words).begin_waiting(now());
        let before = self.words.before_sleep();
        match self.bulk_outcomes.prepare_sleep() {
            Ok(true) => self.words.sleep(before, NAP),
            Ok(false) => {}
            Err(_) => exit::now(exit::FELL_OUT),
        }
        Status::of(&self.words).end_waiting(now());
    }
}

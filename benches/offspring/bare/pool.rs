//! A bare pool by fork or from a template: a process between, which forks two workers as it is told, a socket to each
//! of them, and memory that both sides map.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Instant;

use offspring::Context;

use super::copy::nameless_file;
use super::memory::Region;
use super::passing;
use super::process::{self, Child};
use super::sharing::{self, BareTable};
use crate::Outcome;

const WORKERS: usize = 2;
const PAGE: usize = 4096;

/// What a template is asked for.
const FORK: u64 = 1;
const QUIT: u64 = 2;
/// What it says when a process between has ended well.
const COLLECTED: u8 = 1;

/// What there is beside the processes and their sockets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    /// A file in memory of so many bytes for each worker, which both sides map, and through which the answer comes.
    pub(crate) rings: u64,
    /// So many signals get their default action, in the process between.
    pub(crate) signals: i32,
    /// So many pages that were there before are written by each process that has forked or was forked.
    pub(crate) pages: usize,
}

/// Private memory of this process, which those that are forked from it write to.
#[derive(Debug)]
pub(crate) struct Pages(Vec<u8>);

impl Pages {
    pub(crate) fn new() -> Self {
        Self(vec![1; 64 * PAGE])
    }

    fn write(&mut self, count: usize) {
        self.0.iter_mut().step_by(PAGE).take(count).for_each(|byte| *byte = byte.wrapping_add(1));
    }
}

/// A process that forks a process between for each socket that it is sent.
#[derive(Debug)]
pub(crate) struct Template {
    socket: UnixStream,
    child: Child,
}

impl Template {
    pub(crate) fn start(parts: Parts) -> Outcome<Self> {
        let (socket, mut theirs) = UnixStream::pair()?;
        let child = Child::fork(|| {
            let mut pages = Pages::new();
            loop {
                let (wish, control) = passing::receive(&theirs).expect("it is asked");
                if wish == QUIT {
                    return;
                }
                let control = UnixStream::from(control);
                let between = Child::fork(|| serve(&control, parts, &mut pages, None))
                    .expect("it can be forked");
                pages.write(parts.pages);
                between.wait().expect("it ends well");
                theirs.write_all(&[COLLECTED]).expect("somebody listens");
            }
        })?;
        Ok(Self { socket, child })
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        // A descriptor goes with every request, so with this one too.
        passing::send(&self.socket, QUIT, self.socket.as_fd())?;
        self.child.wait()
    }
}

/// Where the process between comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// It is forked from this process, and the workers inherit the table.
    Fork,
    /// It is forked from a template, and the workers are sent the table.
    Template(&'a Template),
}

impl<'a> Origin<'a> {
    pub(crate) fn of(context: Context, template: &'a Template) -> Self {
        match context {
            Context::Fork => Self::Fork,
            _ => Self::Template(template),
        }
    }
}

/// From nothing until the first worker of two has looked at the table and told what it saw. The end of all of them is not in
/// it. In seconds.
pub(crate) fn first_answer(
    origin: Origin<'_>,
    parts: Parts,
    pages: &mut Pages,
    table: &BareTable,
    expected: u64,
) -> Outcome<f64> {
    let begin = Instant::now();
    let (control, theirs) = UnixStream::pair()?;
    let between = match origin {
        Origin::Fork => {
            let child = Child::fork(|| serve(&theirs, parts, pages, Some(table)))?;
            pages.write(parts.pages);
            Some(child)
        }
        Origin::Template(template) => {
            passing::send(&template.socket, FORK, theirs.as_fd())?;
            None
        }
    };
    drop(theirs);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (socket, theirs) = UnixStream::pair()?;
        passing::send(&control, 0, theirs.as_fd())?;
        drop(theirs);
        if between.is_none() {
            table.send(&socket)?;
        }
        let rings = rings(parts)?;
        if let Some((_, file)) = &rings {
            passing::send(&socket, parts.rings, file.as_fd())?;
        }
        workers.push((socket, rings));
    }
    let took = answers(workers.into_iter(), begin, expected)?;
    match (between, origin) {
        (Some(between), _) => between.wait()?,
        (None, Origin::Template(template)) => {
            let mut note = [0];
            (&template.socket).read_exact(&mut note)?;
            assert_eq!(note, [COLLECTED]);
        }
        (None, Origin::Fork) => return Err("nobody was forked".into()),
    }
    Ok(took)
}

/// The same by fork, where nothing has to be told: sockets, rings and table are inherited. The process between gives up its
/// processor when it has forked the first worker. In seconds.
pub(crate) fn first_inherited_answer(
    parts: Parts,
    pages: &mut Pages,
    table: &BareTable,
    expected: u64,
) -> Outcome<f64> {
    let begin = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push((UnixStream::pair()?, rings(parts)?));
    }
    let between = Child::fork(|| {
        process::reset_signals(parts.signals);
        pages.write(parts.pages);
        let mut children = Vec::new();
        for ((_, socket), rings) in &mut workers {
            let worker = Child::fork(|| {
                pages.write(parts.pages);
                let last = table.last().expect("the table is not empty");
                if let Some((rings, _)) = rings {
                    rings.words()[0].store(last, Ordering::Release);
                }
                socket.write_all(&last.to_ne_bytes()).expect("somebody listens");
            });
            children.push(worker.expect("a worker can be forked"));
            std::thread::yield_now();
        }
        children.into_iter().for_each(|worker| worker.wait().expect("it ends well"));
    })?;
    pages.write(parts.pages);
    let workers = workers.into_iter().map(|((socket, _), rings)| (socket, rings));
    let took = answers(workers, begin, expected)?;
    between.wait()?;
    Ok(took)
}

/// Memory that is shared, and the file by which it is.
fn rings(parts: Parts) -> Outcome<Option<(Region, File)>> {
    if parts.rings == 0 {
        return Ok(None);
    }
    let file = nameless_file()?;
    file.set_len(parts.rings)?;
    let region = Region::of_file_to_fill(file.as_fd(), usize::try_from(parts.rings)?)?;
    Ok(Some((region, file)))
}

/// Takes all answers; the seconds until the first.
fn answers(
    workers: impl Iterator<Item = (UnixStream, Option<(Region, File)>)>,
    begin: Instant,
    expected: u64,
) -> Outcome<f64> {
    let mut took = None;
    for (mut socket, rings) in workers {
        let mut bytes = [0; 8];
        socket.read_exact(&mut bytes)?;
        let told = u64::from_ne_bytes(bytes);
        let answer = rings.map_or(told, |(rings, _)| rings.words()[0].load(Ordering::Acquire));
        assert_eq!(answer, expected, "the right table was mapped");
        took.get_or_insert(begin.elapsed().as_secs_f64());
    }
    took.ok_or_else(|| "there was no worker".into())
}

/// The life of the process between.
fn serve(control: &UnixStream, parts: Parts, pages: &mut Pages, table: Option<&BareTable>) {
    process::reset_signals(parts.signals);
    pages.write(parts.pages);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (_, socket) = passing::receive(control).expect("it is told of every worker");
        let socket = UnixStream::from(socket);
        let worker = Child::fork(|| {
            pages.write(parts.pages);
            answer(socket, parts, table).expect("what it needs is sent, and somebody listens");
        });
        workers.push(worker.expect("a worker can be forked"));
    }
    workers.into_iter().for_each(|worker| worker.wait().expect("it ends well"));
}

/// The life of a worker.
fn answer(mut socket: UnixStream, parts: Parts, table: Option<&BareTable>) -> Outcome<()> {
    let last = match table {
        Some(table) => table.last()?,
        None => {
            let (length, file) = passing::receive(&socket)?;
            sharing::last_of(file.as_fd(), length)?
        }
    };
    if parts.rings > 0 {
        let (length, file) = passing::receive(&socket)?;
        let rings = Region::of_file_to_fill(file.as_fd(), usize::try_from(length)?)?;
        rings.words()[0].store(last, Ordering::Release);
    }
    Ok(socket.write_all(&last.to_ne_bytes())?)
}

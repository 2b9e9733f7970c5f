//! Tasks as futures: on an executor of a few lines, and on tokio's.

#![allow(
    clippy::unused_unit,
    reason = "a task that never returns needs it; Rust 1.85's lint disagrees"
)]

#[path = "futures/drops.rs"]
mod drops;
mod harness;
#[path = "futures/runtime.rs"]
mod runtime;
#[path = "futures/simple.rs"]
mod simple;
#[cfg(target_os = "linux")]
#[path = "futures/threads.rs"]
mod threads;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Polled, Poll, Wake, Waker};

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end, and sleeps until it is woken in between.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Polled::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Polled::from_waker(waker))
}

/// All outputs, of futures that run side by side.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = Vec::new();
    outputs.resize_with(futures.len(), || None);
    std::future::poll_fn(|polled| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                if let Poll::Ready(value) = Pin::new(future).poll(polled) {
                    *output = Some(value);
                }
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

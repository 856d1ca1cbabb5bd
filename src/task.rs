//! Work as a task of its own, so that what goes on beside each other uses all processors: signing
//! and reading dozens of calls takes as long as a call where one does it all.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

/// A task that ends with its owner: dropping it (an interrupt) stops the work at its next await.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

/// Starts `work`.
pub fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(work))
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only dropping this aborts the task, or the runtime's end: nobody waits any more.
                Err(_) => Poll::Pending,
            },
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_its_owner() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let task = start(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        drop(task);
        // The sender goes with the task.
        assert!(receiver.await.is_err());
        assert_eq!(start(async { 7 }).await, 7);
    }
}

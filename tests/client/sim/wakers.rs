//! Executors that own a task by its wakers alone.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;

use super::SimNet;
use crate::suite::open;

/// A task that ends when its last waker is dropped.
struct Task(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn b38_a_displaced_waker_may_drop_handles() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = open(&net, "/echo").await;
        let (sender, receiver) = client.split();
        let receiver = Arc::new(Mutex::new(receiver));
        let theirs = receiver.clone();
        let task = Arc::new(Task(Mutex::new(None)));
        let mut future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let _sender = sender;
            core::future::poll_fn(|cx| {
                let polled = theirs.lock().expect("no panic").poll_next_unpin(cx);
                assert!(polled.is_pending());
                Poll::Ready(())
            })
            .await;
            core::future::pending::<()>().await;
        });
        let waker = Waker::from(task.clone());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *task.0.lock().expect("no panic") = Some(future);
        // Only the client's own copy of the waker keeps the task, and with it a sender.
        drop((waker, task));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(receiver.lock().expect("no panic").poll_next_unpin(&mut cx).is_pending());
        assert_eq!(client.close(4001, "").await.expect("may be sent").code, 4001);
    });
}

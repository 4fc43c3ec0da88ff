//! The peer of a run: reads as its plan says, and notes what it has read.

use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;
use std::sync::LazyLock;

use futures_util::FutureExt as _;
use tidegate::Message;

use crate::plan::{NAMED, Reader};
use crate::run::Shared;

/// A message that the peer has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) bytes: usize,
    pub(crate) is_text: bool,
    /// Which it is, if it is large enough to say so.
    pub(crate) id: Option<usize>,
}

/// Content of messages, from some place on.
static FILL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + u8::try_from(state >> 28).expect("4 bits")
    };
    (0..(4 << 20) + 1_000).map(|_| letter()).collect()
});

/// The bytes of a message: its number, and letters that depend on it.
pub(crate) fn content(id: usize, bytes: usize) -> Vec<u8> {
    if bytes < NAMED {
        return vec![b'.'; bytes];
    }
    let mut content = Vec::with_capacity(bytes);
    content.extend_from_slice(format!("{id:08}").as_bytes());
    content.extend_from_slice(fill(id, bytes));
    content
}

fn fill(id: usize, bytes: usize) -> &'static [u8] {
    &FILL[id % 1_000..][..bytes - NAMED]
}

/// Serves `/` to one connection.
pub(crate) fn serve(shared: &Rc<Shared>) {
    let weak = Rc::downgrade(shared);
    shared.sim.serve("/", move |handshake| {
        let shared = weak.upgrade().expect("the run goes on");
        async move {
            let mut peer = handshake.accept(None);
            for send in shared.plan.sends().iter().filter(|send| send.is_blob) {
                peer.send(content(send.id, send.bytes)).await;
            }
            *shared.peer.borrow_mut() = Some(peer);
            let (mut count, mut received, mut told) = (0, 0, 0);
            loop {
                if let Reader::Stops { after, lasts } = shared.plan.reader
                    && count == after
                {
                    let Some(lasts) = lasts else { return core::future::pending().await };
                    shared.sim.sleep(lasts).await;
                }
                let Some(message) = shared.next().await else { break };
                count += 1;
                let bytes = shared.arrive(&message);
                received += bytes as u64;
                if let Some(acknowledges) = shared.plan.acknowledges
                    && received - told >= acknowledges.every
                    && received < acknowledges.until
                {
                    told = received;
                    let mut peer = shared.peer.borrow_mut();
                    let _ = peer.as_mut().map(|peer| peer.send(received.to_string()).now_or_never());
                }
                if shared.plan.answers_one_in.is_some_and(|times| count % times == 0) {
                    // Without room it is left out.
                    let mut peer = shared.peer.borrow_mut();
                    let _ = peer.as_mut().map(|peer| peer.send("answer").now_or_never());
                }
                if let Reader::Slowly(rate) = shared.plan.reader {
                    shared.sim.sleep(Duration::from_micros(bytes as u64 * 1_000_000 / rate)).await;
                }
            }
            shared.has_read_all.set(true);
            shared.wake();
        }
    });
}

impl Shared {
    /// The next message for the peer. Once that is gone nothing comes any more.
    async fn next(&self) -> Option<Message> {
        core::future::poll_fn(|cx| {
            let mut peer = self.peer.borrow_mut();
            let Some(peer) = peer.as_mut() else { return Poll::Pending };
            pin!(peer.recv()).poll(cx)
        })
        .await
    }

    fn arrive(&self, message: &Message) -> usize {
        let (is_text, bytes) = match message {
            Message::Text(text) => (true, text.as_bytes()),
            Message::Binary(bytes) => (false, bytes.as_slice()),
            other => panic!("a peer receives text and bytes: {other:?}"),
        };
        let header = bytes.get(..NAMED).and_then(|header| core::str::from_utf8(header).ok());
        let id = header.and_then(|header| header.parse().ok());
        let is_whole = match id {
            Some(id) => bytes[NAMED..] == *fill(id, bytes.len()),
            None => bytes.iter().all(|byte| *byte == b'.') && bytes.len() < NAMED,
        };
        if !is_whole {
            self.watch
                .borrow_mut()
                .faults
                .push(format!("I16: {id:?}, {} bytes: not what was sent", bytes.len()));
        }
        self.arrivals.borrow_mut().push(Arrival { at: self.sim.elapsed(), bytes: bytes.len(), is_text, id });
        bytes.len()
    }
}

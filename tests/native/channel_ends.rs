//! What both sides are told of the ends of a channel, over streams in memory and in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::{Sink, SinkExt, StreamExt as _, stream};
use tidegate::proto::SendLimits;
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, read_request};
use tidegate::{
    Amount, Channel, ChannelCode, ChannelEnd, ChannelOptions, Client, Message, Mode, Outcome, SendError,
    SendOptions, SinkError,
};
use tokio::task::JoinHandle;

use crate::in_virtual_time;

/// A client and a server, the channel between them at both ends, and what carries their bytes.
struct Pair {
    client: Client,
    here: Channel,
    there: Channel,
    _server: Client,
    carries: JoinHandle<()>,
}

async fn pair() -> Pair {
    let (here, mut near) = tokio::io::duplex(64 << 10);
    let (mut far, mut there) = tokio::io::duplex(64 << 10);
    let carries = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        accept(there, &request, Some("tidegate.v1"), AcceptOptions::default()).unwrap()
    });
    let client = Client::builder("ws://example.com/").mode(Mode::Tidegate).connect_over(here).await.unwrap();
    let server = server.await.unwrap();
    let here = client.channel("chat", ChannelOptions::new()).await.unwrap();
    let there = server.channels().accept().await.unwrap();
    here.sender().accepted().await.unwrap();
    Pair { client, here, there, _server: server, carries }
}

fn reset(code: ChannelCode, detail: &[u8]) -> ChannelEnd {
    ChannelEnd::Reset { code, detail: detail.to_vec() }
}

#[test]
fn a_close_tells_that_the_peer_has_everything_and_the_end_of_it() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        let stopped = here.sender().stopped();
        let ticket = here.send("the last").await.unwrap();
        assert_eq!(here.close().await, ChannelEnd::Closed);
        assert_eq!(ticket.await, Outcome::Delivered);
        assert_eq!((stopped.await, here.close().await), (ChannelEnd::Closed, ChannelEnd::Closed));
        assert_eq!(there.recv().await, Some("the last".into()));
        assert_eq!((there.recv().await, there.receiver().ended()), (None, Some(ChannelEnd::Closed)));
        // The other direction goes on.
        there.send("an answer").await.unwrap();
        assert_eq!(here.recv().await, Some("an answer".into()));
    });
}

#[test]
fn a_close_whose_connection_is_lost_says_so_with_nothing_queued_as_well() {
    in_virtual_time(async {
        for sends in [false, true] {
            let Pair { client, here, carries, .. } = pair().await;
            let ticket = if sends { Some(here.send("the last").await.unwrap()) } else { None };
            let closing = here.close();
            carries.abort();
            assert_eq!(closing.await, ChannelEnd::ConnectionOver, "{sends}");
            assert_eq!(client.closed().await.code, 1006);
            if let Some(ticket) = ticket {
                assert_eq!(ticket.await, Outcome::Unknown);
            }
            assert_eq!(here.sender().stopped().await, ChannelEnd::ConnectionOver);
            assert!(matches!(here.try_send("x"), Err(SendError::Closed(_))));
        }
    });
}

#[test]
fn an_own_reset_is_what_it_has_ended_with() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        let (stopped, end) = (here.sender().stopped(), reset(ChannelCode::Application, b"no more"));
        here.sender().reset(ChannelCode::Application, *b"no more");
        assert_eq!((stopped.await, here.close().await), (end.clone(), end.clone()));
        assert_eq!((there.recv().await, there.receiver().ended()), (None, Some(end.clone())));
        let error = here.send("x").await.unwrap_err();
        assert_eq!(error, SendError::ChannelClosed("x".into()));
        assert!(
            error.to_string().contains("channel") && !error.to_string().contains("connection"),
            "{error}"
        );
        // What the peer does later is no other end of it.
        there.receiver().stop(ChannelCode::Deadline, *b"late");
        drop(there);
        assert_eq!(here.recv().await, None);
        assert_eq!(here.sender().stopped().await, end);
    });
}

#[test]
fn a_refused_channel_has_ended_by_that_on_both_sides() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        let stopped = there.sender().stopped();
        there.refuse(*b"nobody knows it");
        let end = reset(ChannelCode::Refused, b"nobody knows it");
        assert_eq!((stopped.await, here.sender().stopped().await), (end.clone(), end.clone()));
        assert_eq!((here.recv().await, here.receiver().ended()), (None, Some(end)));
    });
}

/// Queues more than the peer has room for.
fn fill(channel: &Channel) {
    while channel.try_send(vec![0; 1 << 20]).is_ok() {}
    assert!(channel.sender().queued().messages > 1);
}

#[test]
fn a_close_that_waits_hears_that_the_peer_wants_no_more() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        fill(&here);
        let closing = here.close();
        there.receiver().stop(ChannelCode::Deadline, *b"too long");
        assert_eq!(closing.await, reset(ChannelCode::Deadline, b"too long"));
        assert!(matches!(here.try_send("x"), Err(SendError::ChannelClosed(_))));
    });
}

#[test]
fn a_close_that_crosses_the_peers_stop_was_not_heard() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        let ticket = here.send("the last").await.unwrap();
        let closing = here.close();
        there.receiver().stop(ChannelCode::Application, *b"enough");
        assert_eq!(closing.await, reset(ChannelCode::Application, b"enough"));
        assert_eq!(ticket.await, Outcome::Unknown);
    });
}

#[test]
fn a_reset_behind_a_close_cuts_off_what_has_not_gone() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        fill(&here);
        let closing = here.close();
        here.sender().reset(ChannelCode::Cancelled, Vec::new());
        assert_eq!(closing.await, reset(ChannelCode::Cancelled, b""));
        while there.recv().await.is_some() {}
        assert_eq!(there.receiver().ended(), Some(reset(ChannelCode::Cancelled, b"")));
        // Behind one that was heard it changes nothing.
        there.close().await;
        there.sender().reset(ChannelCode::Application, Vec::new());
        assert_eq!(there.sender().stopped().await, ChannelEnd::Closed);
        assert_eq!((here.recv().await, here.receiver().ended()), (None, Some(ChannelEnd::Closed)));
    });
}

#[test]
fn a_close_is_waited_for_also_when_nobody_has_the_channel_any_more() {
    in_virtual_time(async {
        for loses in [false, true] {
            let Pair { client, here, there, carries, .. } = pair().await;
            fill(&here);
            let mut closing = core::pin::pin!(here.close());
            drop(here);
            let waits = core::future::poll_fn(|cx| core::task::Poll::Ready(closing.as_mut().poll(cx))).await;
            assert!(waits.is_pending());
            if loses {
                carries.abort();
                client.closed().await;
                assert_eq!(closing.await, ChannelEnd::ConnectionOver);
            } else {
                while there.recv().await.is_some() {}
                assert_eq!(closing.await, ChannelEnd::Closed);
            }
        }
    });
}

#[test]
fn a_dropped_receiver_leaves_nothing_of_what_it_had_received_though_its_sender_lives() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        let (sender, receiver) = here.split();
        let send = || there.try_send(vec![0; 1_000]).unwrap();
        for ticket in [(); 4].map(|()| send()) {
            assert_eq!(ticket.await, Outcome::Delivered);
        }
        assert_eq!(sender.stats().received, Amount { messages: 4, bytes: 4_000 });
        drop(receiver);
        // Sent before the peer can have heard of it.
        let late = send();
        assert_eq!(sender.stats().received, Amount::default());
        assert_eq!(there.sender().stopped().await, reset(ChannelCode::Cancelled, &[]));
        assert_eq!(late.await, Outcome::Unknown);
        assert_eq!(sender.stats().received, Amount::default());
        // And the other direction goes on.
        assert_eq!(sender.send("still").await.unwrap().await, Outcome::Delivered);
        assert_eq!(there.recv().await, Some("still".into()));
    });
}

#[test]
fn more_detail_than_goes_with_a_reset_is_cut_off_on_both_sides() {
    in_virtual_time(async {
        let Pair { here, there, .. } = pair().await;
        here.sender().reset(ChannelCode::Application, vec![b'x'; 2_000]);
        there.receiver().recv().await;
        let end = reset(ChannelCode::Application, &[b'x'; 1_024]);
        assert_eq!((here.sender().stopped().await, there.receiver().ended()), (end.clone(), Some(end)));
    });
}

#[test]
fn a_sender_is_a_sink_that_waits_for_room_in_its_own_class_and_closes_with_the_peers_word() {
    in_virtual_time(async {
        let Pair { client, carries, _server: server, .. } = pair().await;
        let limits = SendLimits { max_queued_messages: 1, ..SendLimits::default() };
        let channel = client.channel("numbers", ChannelOptions::bulk().send_limits(limits)).await.unwrap();
        let there = server.channels().accept().await.unwrap();
        let (mut sink, _receiver) = channel.split();
        sink.feed("0".into()).await.unwrap();
        let mut other = sink.clone();
        let is_full = core::future::poll_fn(|cx| Poll::Ready(other.poll_ready_unpin(cx).is_pending())).await;
        assert!(is_full);
        let mut rest = stream::iter(1..50).map(|number| Ok(Message::from(number.to_string())));
        let (sent, got) = tokio::join!(
            async {
                sink.send_all(&mut rest).await.unwrap();
                sink.flush().await.unwrap();
                assert_eq!(sink.queued(), Amount::default());
                sink.feed("last".into()).await.unwrap();
                SinkExt::close(&mut sink).await
            },
            there.map(|message| message.as_text().unwrap().to_owned()).collect::<Vec<_>>()
        );
        assert_eq!(sent, Ok(()));
        assert_eq!(got, (0..50).map(|number| number.to_string()).chain(["last".into()]).collect::<Vec<_>>());
        // Closed as often as you like; what comes behind it is given back.
        assert_eq!(SinkExt::close(&mut sink).await, Ok(()));
        let refused = sink.feed("too late".into()).await;
        assert_eq!(refused, Err(SinkError::Refused(SendError::ChannelClosed("too late".into()))));

        // One that its peer wants no more, and one whose connection is lost.
        let (mut sink, _receiver) = client.channel("unwanted", ChannelOptions::new()).await.unwrap().split();
        sink.feed("x".into()).await.unwrap();
        server.channels().accept().await.unwrap().refuse(*b"no");
        sink.stopped().await;
        assert_eq!(SinkExt::flush(&mut sink).await, Err(SinkError::Lost));
        assert_eq!(SinkExt::close(&mut sink).await, Err(SinkError::Lost));
        let (mut sink, _receiver) = client.channel("lost", ChannelOptions::new()).await.unwrap().split();
        sink.feed("x".into()).await.unwrap();
        carries.abort();
        assert_eq!(SinkExt::close(&mut sink).await, Err(SinkError::Lost));
    });
}

/// How often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client and a server in plain mode.
async fn plain_pair(limits: SendLimits) -> (Client, Client) {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        accept(there, &request, None, AcceptOptions::default()).unwrap()
    });
    let client = Client::builder("ws://example.com/").send_limits(limits).connect_over(here).await.unwrap();
    (client, server.await.unwrap())
}

/// Waits for room, gives that up and closes instead, while nothing else runs.
fn closes_without_waking_itself(sink: &mut (impl Sink<Message, Error = SinkError> + Unpin)) {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(sink.poll_ready_unpin(&mut cx).is_pending());
    for _ in 0..10 {
        assert!(sink.poll_close_unpin(&mut cx).is_pending());
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_sink_that_is_closed_after_it_has_waited_for_room_does_not_wake_itself() {
    in_virtual_time(async {
        let pair = pair().await;
        let limits = SendLimits { max_queued_messages: 1, ..SendLimits::default() };
        let channel =
            pair.client.channel("numbers", ChannelOptions::new().send_limits(limits)).await.unwrap();
        let (mut sink, _receiver) = channel.split();
        sink.feed("0".into()).await.unwrap();
        closes_without_waking_itself(&mut sink);
        // And that of a connection.
        let (client, _server) = plain_pair(limits).await;
        let (mut sink, _receiver) = client.split();
        sink.feed("0".into()).await.unwrap();
        closes_without_waking_itself(&mut sink);
    });
}

#[test]
fn a_sink_that_waits_is_told_of_room_that_was_kept_and_is_given_back() {
    in_virtual_time(async {
        let limits = SendLimits { max_queued_messages: 1, ..SendLimits::default() };
        let (client, _server) = plain_pair(limits).await;
        let (mut sink, _receiver) = client.split();
        let permit = sink.reserve(1, SendOptions::new()).await.unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(sink.poll_ready_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(permit);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    });
}

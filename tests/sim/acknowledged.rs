//! What acknowledgements make of an upload: other ones than one of equal messages that are answered one by one.

use core::time::Duration;

use tidegate::sim::{Engine, Link, Sim};
use tidegate::{Client, Message, Priority, SendOptions};

/// An upload over a link of 20 ms, behind something else.
#[derive(Clone, Copy)]
struct Upload {
    bytes_per_second: u64,
    bytes: usize,
    piece: usize,
    priority: Priority,
    /// How large a message is that goes before it; 0 for none.
    hello: usize,
    /// How long nothing is sent after that.
    idle: Duration,
    /// How much arrives before the server says something again, and after how much it says no more.
    answers_every: u64,
    answers_until: u64,
    /// Whether the queue is told of it.
    is_acknowledged: bool,
}

const USUAL: Upload = Upload {
    bytes_per_second: 2_000_000,
    bytes: 10_000_000,
    piece: 16 << 10,
    priority: Priority::Bulk,
    hello: 0,
    idle: Duration::ZERO,
    answers_every: 1,
    answers_until: u64::MAX,
    is_acknowledged: true,
};

impl Upload {
    /// How long it takes.
    fn run(self) -> Duration {
        let sim = Sim::new();
        sim.set_engine(Some(Engine::Chromium));
        sim.set_link(Link {
            bytes_per_second: Some(self.bytes_per_second),
            delay: Duration::from_millis(20),
            acknowledged_after: Some(Duration::ZERO),
            ..Link::default()
        });
        sim.serve("/", move |handshake| async move {
            let mut peer = handshake.accept(None);
            let (mut received, mut told) = (0, 0);
            while let Some(message) = peer.recv().await {
                received += message.size();
                if received - told >= self.answers_every && received < self.answers_until {
                    told = received;
                    peer.send(received.to_be_bytes().to_vec()).await;
                }
            }
        });
        sim.block_on(async {
            let client = Client::builder("ws://sim/").connect_in(&sim).await.unwrap();
            let (sender, receiver) = client.split();
            let told = sender.clone();
            if self.is_acknowledged {
                sender.acknowledged(0);
            }
            sim.spawn(async move {
                while let Some(Message::Binary(answer)) = receiver.recv().await {
                    let has = u64::from_be_bytes(answer.try_into().unwrap());
                    if self.is_acknowledged {
                        told.acknowledged(has);
                    }
                }
            });
            if self.hello > 0 {
                sender.send(vec![0; self.hello]).await.unwrap();
                sim.sleep(self.idle).await;
            }
            let began = sim.elapsed();
            for _ in 0..self.bytes / self.piece {
                sender
                    .send_with(vec![0; self.piece], SendOptions::new().priority(self.priority))
                    .await
                    .unwrap();
            }
            sender.close_with(tidegate::CloseOptions::default().within(None)).await.unwrap();
            sim.elapsed() - began
        })
    }

    /// Compared with one that goes by what the browser says.
    fn assert_within(self, percent: u32, of: &str) {
        let plain = Self { is_acknowledged: false, ..self };
        let (took, most) = (self.run(), plain.run() * percent / 100);
        assert!(took <= most, "{of}, pieces of {}: {took:?} instead of {most:?}", self.piece);
    }
}

#[test]
fn a_small_message_before_an_upload_does_not_slow_it_down() {
    for (bytes_per_second, bytes) in [(2_000_000, 10_000_000), (20_000_000, 100_000_000)] {
        for piece in [16 << 10, 64 << 10] {
            let upload = Upload { bytes_per_second, bytes, piece, ..USUAL };
            upload.assert_within(110, "alone");
            Upload { hello: 20, ..upload }.assert_within(120, "after a hello");
            let idle = Duration::from_secs(30);
            Upload { hello: 20, idle, ..upload }.assert_within(120, "after a hello and 30 s");
        }
    }
}

#[test]
fn an_upload_of_urgent_messages_is_as_fast() {
    for piece in [16 << 10, 64 << 10] {
        Upload { piece, priority: Priority::Urgent, ..USUAL }.assert_within(115, "urgent");
    }
}

#[test]
fn a_server_may_answer_now_and_then_and_leave_a_tail_unanswered() {
    for idle in [0, 1, 30, 600] {
        let idle = Duration::from_secs(idle);
        let upload = Upload { hello: 100, idle, answers_every: 64 << 10, ..USUAL };
        upload.assert_within(130, "answered every 64 KiB");
        // And then it falls silent: a second until that is known.
        Upload { answers_until: 1 << 20, ..upload }.assert_within(150, "answered for a while");
        Upload { answers_until: 100_000, ..upload }.assert_within(150, "answered once");
    }
}

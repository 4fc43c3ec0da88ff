//! What the attacks of PROTOCOL.md, section 11, cost a server: its own limits, and little beside.

use tidegate::proto::ws::{
    Connection, Encoder, Event, HeadLimits, Limits, MessageKind, Role, ServerHandshake,
};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Mode, TidegateOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::hostile::{FIRST, Hostile, Said};
use crate::{key, peak, turn};

#[path = "../native/attacks/hostile.rs"]
#[allow(dead_code, reason = "tests over TCP do more with it")]
mod hostile;
#[path = "../native/attacks/list.rs"]
mod list;

const SUBPROTOCOL: &str = "tidegate.v1";

/// What may wait to be taken in all channels: 64 KiB in each of 128.
const QUEUED: u64 = 8 << 20;

/// What reads, events and handles of an attack may take beside that.
const BESIDE: usize = 1 << 20;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: tidegate.v1\r\n\r\n";

/// The frames of a client.
fn frames(messages: Vec<Said>) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(Role::Client), Vec::new());
    for message in messages {
        let (kind, bytes) = match message {
            Said::Text(text) => (MessageKind::Text, text.as_bytes().to_vec()),
            Said::Bytes(bytes) => (MessageKind::Binary, bytes),
        };
        encoder.message(kind, &bytes, true, key, &mut out).unwrap();
    }
    out
}

/// With which close code a server ends that gets these frames, and nobody of which takes anything; `None` if it does not.
/// Then what that has cost at most.
fn cost(input: &[u8]) -> (Option<u16>, usize) {
    let request = ServerHandshake::new(HeadLimits::default()).receive(REQUEST).unwrap().unwrap();
    let mut options = AcceptOptions::default();
    options.tidegate = Some(TidegateOptions::server().max_queued_bytes(QUEUED));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    peak(|| {
        runtime.block_on(async {
            let (ours, theirs) = tokio::io::duplex(16 << 10);
            let server = accept(ours, &request, Some(SUBPROTOCOL), options).unwrap();
            assert_eq!(server.mode(), Mode::Tidegate);
            let mut channels = server.channels();
            let unread = async {
                let mut unread = Vec::new();
                while let Some(channel) = channels.accept().await {
                    unread.push(channel);
                }
            };
            let (mut hears, mut says) = tokio::io::split(theirs);
            let says = async {
                // A server that has closed takes what comes for a while, and then no more.
                let _ = says.write_all(input).await;
            };
            let hears = async {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(hears.read_u8().await.unwrap());
                }
                let mut codec = Connection::new(Role::Client, Limits::default());
                loop {
                    match codec.poll_event(key).unwrap() {
                        Some(Event::Close(close)) => return close.map(|close| close.code().get()),
                        Some(_) => {}
                        None => {
                            let n = hears.read(codec.spare()).await.unwrap_or(0);
                            if n == 0 {
                                return None;
                            }
                            codec.filled(n);
                        }
                    }
                }
            };
            let talks = async { tokio::join!(says, hears).1 };
            // Long enough for whatever comes at once, and too short for a PING.
            let within = tokio::time::timeout(core::time::Duration::from_secs(5), talks);
            tokio::select! {
                code = within => code.ok().flatten(),
                () = unread => None,
            }
        })
    })
}

macro_rules! all {
    ($($attack:ident,)*) => {
        [$((stringify!($attack), list::$attack as fn(&mut Hostile) -> u16),)*]
    };
}

fn greeted() -> Hostile {
    let mut hostile = Hostile::new(false);
    let greeting = hostile.greeting();
    hostile.say(&greeting);
    hostile
}

#[test]
fn b58_each_attack_costs_a_window_and_little_beside() {
    let _turn = turn();
    for (name, attack) in list::for_every_attack!(all) {
        let mut hostile = greeted();
        let code = attack(&mut hostile);
        let input = frames(hostile.messages);
        let (closed, bytes) = cost(&input);
        println!("{name}: {bytes} B for {} B", input.len());
        assert_eq!(closed, Some(4_200 + code), "{name}");
        assert!(bytes < BESIDE, "{name} took {bytes} bytes");
    }
}

#[test]
fn b58_half_built_items_in_every_channel_cost_no_more_than_all_windows() {
    let _turn = turn();
    let mut hostile = greeted();
    for n in 0..128 {
        hostile.open(n, list::UNREAD);
        hostile.data_of(n, FIRST, Some(57_000), &vec![0; 28_000]);
        hostile.data(n, 0, &vec![0; 28_000]);
    }
    let input = frames(hostile.messages);
    let (closed, bytes) = cost(&input);
    println!("{bytes} B for {} B", input.len());
    assert_eq!(closed, None, "nothing is wrong with it");
    assert!(bytes < usize::try_from(QUEUED).unwrap() + BESIDE, "{bytes} bytes");
}

#[test]
fn b58_a_huge_total_reserves_nothing() {
    let _turn = turn();
    let mut hostile = greeted();
    for n in 0..100 {
        hostile.open(n, list::UNREAD);
        hostile.data_of(n, FIRST, Some((1 << 53) - 2), &[0; 512]);
    }
    let (closed, bytes) = cost(&frames(hostile.messages));
    assert_eq!(closed, None, "each channel is reset, and the session goes on");
    assert!(bytes < BESIDE, "{bytes} bytes");
}

/// Messages of tidegate's are short, so what is long is not put together.
#[test]
fn b58_a_message_without_an_end_is_cut_off_before_it_is_long() {
    let _turn = turn();
    let (mut encoder, mut input) = (Encoder::new(Role::Client), frames(greeted().messages));
    for _ in 0..1_000 {
        encoder.message(MessageKind::Binary, &[0; 10_000], false, key, &mut input).unwrap();
    }
    let (closed, bytes) = cost(&input);
    assert_eq!(closed, Some(1009));
    assert!(bytes < BESIDE, "{bytes} bytes");
}

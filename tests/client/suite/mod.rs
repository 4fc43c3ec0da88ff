//! What every transport must do alike. Each binary of this folder's neighbours runs it over its own
//! network: the simulator, TCP, a browser.
//!
//! The routes that a network offers:
//!
//! | route | what its server does |
//! |---|---|
//! | `/echo` | sends every message back |
//! | `/sink` | on the text `report` answers with [`Report`] over the messages before it |
//! | `/close?code=&reason=` | opens, then closes |
//! | `/subprotocol` | acknowledges the subprotocol that is offered first |
//! | `/stall` | opens, then reads nothing |
//! | `/never` | never answers the handshake |
//! | `/burst` | opens and sends, in one segment: `one`, the bytes 1 2 3, `three`, close 4001 `done` |
//! | `/flood?messages=&bytes=` | sends so many binary messages of that size |
//! | `/refused` | nobody is there |

pub(crate) mod acknowledged;
pub(crate) mod closing;
pub(crate) mod connecting;
pub(crate) mod deadlines;
pub(crate) mod dropping;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod misuse;
#[allow(dead_code, reason = "over TCP the peer has to wait")]
pub(crate) mod overflow;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod priorities;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod queueing;
pub(crate) mod receiving;
pub(crate) mod sending;
pub(crate) mod typed;

use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tidegate::{Amount, Client, ClientBuilder, ConnectError, Json, Message, SendLimits};

/// A network with the routes of this module's page.
pub(crate) trait Net {
    /// Connects to a route as `describe` says.
    fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> impl Future<Output = Result<Client, ConnectError>>;

    /// Lets everything run once that can run now, without waiting for anything.
    fn turn(&self) -> impl Future<Output = ()>;

    /// How much memory the program has, where that can be told exactly.
    fn memory(&self) -> Option<u64> {
        None
    }
}

/// A deadline that a test lets pass.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// A deadline that no test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// So many messages of so many bytes together.
fn amount_of(messages: u64, bytes: u64) -> Amount {
    let mut amount = Amount::default();
    (amount.messages, amount.bytes) = (messages, bytes);
    amount
}

/// A client whose send queue is bounded.
async fn bounded(net: &impl Net, route: &str, limits: SendLimits) -> Client {
    net.connect(route, |builder| builder.send_limits(limits)).await.expect("the route opens")
}

/// Connects to a route with nothing set.
pub(crate) async fn open(net: &impl Net, route: &str) -> Client {
    net.connect(route, |builder| builder).await.expect("the route opens")
}

/// What the server of `/sink` has received.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// SHA-256 over the payloads in their order, in hexadecimal digits.
    pub(crate) sha256: String,
}

impl Report {
    /// What a server must report that has received `payloads`.
    pub(crate) fn of(payloads: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let (mut messages, mut bytes, mut digest) = (0, 0, Sha256::new());
        for payload in payloads {
            messages += 1;
            bytes += payload.as_ref().len() as u64;
            digest.update(payload.as_ref());
        }
        Self { messages, bytes, sha256: hex(&digest.finalize()) }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Asks the server of `/sink` what it has received.
pub(crate) async fn report(client: &Client) -> Report {
    let typed = client.typed::<(), Report, Json>();
    client.send("report").await.expect("the connection is open");
    typed.recv().await.expect("the server answers").expect("a report")
}

/// Bytes that differ from place to place, and with `seed`.
pub(crate) fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| step()).collect()
}

/// What a receiver gives for a text.
#[allow(clippy::unnecessary_wraps, reason = "as a receiver gives it")]
pub(crate) fn text(text: &str) -> Option<Message> {
    Some(Message::from(text))
}

/// Polls a future once.
pub(crate) async fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    let mut future = Some(future);
    core::future::poll_fn(|cx| Poll::Ready(future.take().map_or(Poll::Pending, |future| future.poll(cx))))
        .await
}

/// Polls `future` as often as `polls` says, then drops it, unless it was ready before. Between two
/// polls everything else has run once.
pub(crate) async fn drop_after<T>(
    net: &impl Net,
    polls: usize,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(result) = poll_once(future.as_mut()).await {
            return Some(result);
        }
        net.turn().await;
    }
    None
}

/// A waker that counts how often it was called.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    pub(crate) fn waker() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Polls a future once with a waker of the test's own.
pub(crate) fn poll_with<T>(waker: &Waker, future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(waker))
}

/// How much a test does: a tenth unless everything was asked for when it was built.
pub(crate) const fn amount(full: u32) -> u32 {
    if option_env!("TIDEGATE_FULL").is_some() { full } else { full / 10 }
}

/// Calls `$run! { module: case, case, ... }` for each module with the cases that every transport
/// must pass.
macro_rules! for_every_transport {
    ($run:ident) => {
        $run! { connecting:
            b01_the_offered_subprotocol_is_chosen,
            b01_wrong_subprotocols_are_typed_errors,
            b33_an_overflow_code_that_may_not_be_sent_is_a_typed_error,
            b05_a_refused_connection_fails_once_with_its_close_event,
            b06_a_dropped_connect_leaves_nothing_behind,
            b08_the_connect_deadline_ends_the_attempt,
            b10_connect_resolves_when_open_and_tells_what_was_agreed,
        }
        $run! { receiving:
            b09_frames_in_the_segment_of_the_handshake_arrive_in_order,
            b11_everything_comes_out_before_one_final_close,
            b11_every_handle_sees_the_same_final_close,
            b11_a_stream_ends_for_ever,
            b11_receivers_share_the_messages_and_none_waits_in_vain,
            b11_an_abandoned_stream_does_not_keep_messages_from_others,
            b15_nothing_arrives_after_a_local_close,
            b15_end_goes_on_receiving_until_the_peer_closes,
            b15_end_closes_when_its_deadline_passes,
            b11_try_recv_serves_a_loop,
        }
        $run! { sending:
            b19_send_after_close_gives_the_message_back,
            b19_send_after_the_peers_close_gives_the_message_back,
            b25_messages_arrive_in_the_order_of_their_sends,
            b29_empty_one_byte_and_large_messages_arrive_whole,
            b29_text_of_every_width_arrives_whole,
            b29_a_sink_sends_and_flushes,
            b18_many_messages,
            b18_many_messages_received,
            b18_many_connections,
        }
        $run! { deadlines:
            b26_a_deadline_ends_the_wait_for_room,
            b26_who_gives_up_at_the_deadline_lets_the_next_go,
        }
        $run! { closing:
            b31_close_has_its_own_deadline,
            b33_only_codes_that_may_be_sent_are_taken,
            b34_a_reason_is_bounded_in_bytes_and_has_a_code,
            b35_close_works_from_any_handle,
            b35_dropping_a_clone_does_nothing,
            b36_a_second_close_gives_the_same_result,
            b36_concurrent_closers_all_get_it,
            b39_the_peers_close_leaves_what_was_sent_unknown,
            b39_a_confirmed_close_leaves_nothing,
            b32_what_is_queued_is_sent_before_the_close,
        }
        $run! { dropping:
            b27_a_dropped_receive_loses_no_message,
            b06_connect_can_be_dropped_at_every_await,
            b36_a_dropped_close_goes_on,
            b27_a_dropped_ticket_detaches,
            b38_no_waker_is_called_after_drop,
            b38_dropping_the_client_inside_a_callback_is_safe,
            b40_handles_are_send,
        }
        $run! { typed:
            b29_typed_values_make_the_round_trip,
            b25_typed_values_go_with_options_and_without_waiting,
            b14_a_message_that_is_no_value_is_an_error_item,
        }
        $run! { acknowledged:
            b24_nothing_is_in_front_of_an_urgent_message_but_what_is_not_acknowledged,
            b24_a_server_that_acknowledges_nothing_more_is_sent_everything_all_the_same,
        }
    };
}
pub(crate) use for_every_transport;

/// As [`for_every_transport`], for those that cannot make their peer wait for a reader: all but TCP.
#[allow(unused_macros, reason = "likewise")]
macro_rules! for_transports_that_take_everything {
    ($run:ident) => {
        $run! { overflow:
            b16_a_full_queue_closes_with_the_applications_code,
            b16_the_oldest_are_dropped_and_counted,
            b16_the_newest_are_dropped_and_counted,
            b16_every_handle_tells_what_was_dropped,
            b16_a_message_larger_than_the_queue_is_taken_alone,
            b16_bounds_of_zero_keep_one_message,
            b16_a_reader_that_keeps_up_loses_nothing,
            b16_a_reader_that_was_woken_finds_a_message,
            b16_what_comes_after_a_local_close_is_not_counted,
            b16_nothing_is_dropped_by_default,
        }
    };
}
#[allow(unused_imports, reason = "likewise")]
pub(crate) use for_transports_that_take_everything;

/// As [`for_every_transport`], for those whose driver is a task: there nothing leaves the queue
/// before the test awaits something.
#[cfg(not(target_family = "wasm"))]
macro_rules! for_transports_with_a_task {
    ($run:ident) => {
        $run! { priorities:
            b25_higher_priorities_go_first_and_each_keeps_its_order,
            b25_the_messages_of_a_flow_keep_their_order,
            b26_the_latest_value_takes_the_place_of_the_others,
            b26_a_latest_value_has_the_room_of_the_one_before_it,
            b26_what_has_expired_is_never_sent,
            b28_a_full_priority_keeps_no_other_out,
            b28_a_full_flow_keeps_no_other_out,
            b28_try_send_overtakes_nobody_of_its_priority_and_flow,
            b28_ten_thousand_senders_each_get_their_turn,
            flushed_waits_for_what_was_queued_before_it_and_for_nothing_else,
            flushed_and_drained_say_that_the_connection_ended_first,
            flushed_says_that_the_connection_ended_though_nobody_has_asked_before,
            drained_waits_until_the_transport_has_sent_everything,
            b28_reserved_room_is_kept_until_it_is_used_or_given_back,
            stats_count_what_became_of_messages,
            stats_come_again_when_they_have_changed,
        }
        $run! { misuse:
            b26_a_key_of_a_megabyte_is_a_key_like_others,
            b28_every_way_into_a_full_queue_finds_it_full_and_loses_nothing,
            b27_a_send_from_a_waker_and_from_a_drop_goes,
        }
        $run! { queueing:
            b28_try_send_gives_the_message_back_when_the_queue_is_full,
            b28_send_waits_for_room_and_drops_nothing,
            b28_a_message_above_the_bound_is_taken_alone,
            b27_a_dropped_send_leaves_the_message_unsent,
            b27_a_dropped_sink_send_does_not_block_others,
            b27_whoever_waits_next_gets_the_room,
            b28_a_sink_waits_for_room,
            b32_what_is_queued_can_be_dropped_and_is_counted,
            b39_what_was_queued_and_what_was_handed_over_are_counted_apart,
            b39_a_sink_is_told_that_not_everything_went_out,
            b29_a_cancelled_message_is_never_sent,
            b36_a_sink_that_closes_keeps_others_awake,
        }
    };
}
#[cfg(not(target_family = "wasm"))]
pub(crate) use for_transports_with_a_task;

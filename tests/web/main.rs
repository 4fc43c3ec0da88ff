//! The client in a browser, against the embedded server: the suite that every transport passes, and
//! what only a browser can show.
//!
//! Without `wasm_bindgen_test_configure!`, so that the runner's environment chooses between a page,
//! a dedicated, a shared and a service worker. `TIDEGATE_TEST_SERVER` at build time says where the
//! server listens.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]

mod addresses;
mod b45_stream;
mod blobs;
#[path = "../client/codecs/mod.rs"]
mod codecs;
mod hostile;
mod json;
mod json_by_chance;
mod memory;
mod pacing;
mod page;
mod pressure;
mod slow_reader;
mod spy;
#[path = "../client/suite/mod.rs"]
mod suite;
#[cfg(target_feature = "atomics")]
mod threads;
mod tidegate_mode;
mod values;

use core::cell::Cell;

use tidegate::{Client, ClientBuilder, ConnectError};

use page::{turn, wasm_memory};
use peak_alloc::PeakAlloc;

/// Counts what is in use of the wasm memory, which itself never shrinks.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The embedded server.
const SERVER: &str = match option_env!("TIDEGATE_TEST_SERVER") {
    Some(server) => server,
    None => "127.0.0.1:7357",
};

thread_local! {
    /// The next port on which nobody listens. Each is used once, since Firefox holds back the next
    /// attempt to an address that has refused.
    static CLOSED_PORT: Cell<u16> = const { Cell::new(47_357) };
}

/// The routes of the embedded server.
struct WebNet;

impl WebNet {
    fn url(route: &str) -> String {
        if route == "/refused" {
            let port = CLOSED_PORT.get();
            CLOSED_PORT.set(port + 1);
            return format!("ws://127.0.0.1:{port}/");
        }
        format!("ws://{SERVER}{route}")
    }
}

impl suite::Net for WebNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        describe(Client::builder(Self::url(route))).connect().await
    }

    async fn turn(&self) {
        turn().await;
    }

    fn memory(&self) -> Option<u64> {
        Some(wasm_memory())
    }
}

/// As [`suite::for_every_transport`], for those of a browser.
macro_rules! for_every_transport_of_a_browser {
    ($run:ident) => {
        $run! { blobs:
            b13_text_and_blobs_keep_their_order_whenever_bytes_are_asked_for,
            b14_a_blob_is_read_in_whole_or_in_part_also_after_the_close,
            b14_the_content_of_received_blobs_stays_out_of_wasm_memory,
            b29_blobs_of_every_size_arrive_whole,
            b29_a_received_blob_is_sent_back_as_it_is,
            b29_a_blob_that_cannot_be_read_is_one_failed_message,
        }
        $run! { values:
            b29_strings_buffers_and_views_arrive_whole,
            b29_strings_are_counted_as_the_peer_gets_them,
            b29_a_resizable_buffer_is_sent_as_long_as_it_is,
            b29_detached_buffers_and_other_values_are_typed_errors,
            b30_the_peer_sees_the_bytes_as_they_were_at_the_call,
            b41_sizes_above_4_gib_do_not_wrap,
            b41_sizes_that_no_memory_holds_do_no_harm,
            b30_owned_bytes_are_the_callers_no_more,
            b40_a_local_client_keeps_the_connection_open,
        }
        $run! { pressure:
            b28_try_send_gives_the_message_back_when_the_queue_is_full,
            b28_send_waits_for_room_and_nothing_is_dropped,
            b27_a_dropped_send_leaves_the_message_unsent_and_lets_others_go,
            b29_what_is_queued_can_be_cancelled,
            b32_what_is_queued_is_sent_before_the_close_or_dropped_and_counted,
        }
    };
}
use for_every_transport_of_a_browser;

macro_rules! run {
    ($module:ident: $($case:ident,)*) => {
        mod $module {
            use wasm_bindgen_test::wasm_bindgen_test;

            $(
                #[wasm_bindgen_test]
                async fn $case() {
                    crate::suite::$module::$case(&crate::WebNet).await;
                }
            )*
        }
    };
}
suite::for_every_transport!(run);
suite::for_transports_that_take_everything!(run);

/// What stands beside this page.
mod here {
    macro_rules! run {
        ($module:ident: $($case:ident,)*) => {
            mod $module {
                use wasm_bindgen_test::wasm_bindgen_test;

                $(
                    #[wasm_bindgen_test]
                    async fn $case() {
                        crate::$module::$case(&crate::WebNet).await;
                    }
                )*
            }
        };
    }
    crate::for_every_transport_of_a_browser!(run);
}

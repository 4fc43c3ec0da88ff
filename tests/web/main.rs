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
mod blobs;
mod hostile;
mod memory;
mod page;
mod pressure;
mod slow_reader;
mod spy;
#[path = "../client/suite/mod.rs"]
mod suite;
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

//! The client over TCP: against tungstenite, and against tidegate's own server; and that server
//! against tungstenite as client; and against the npm package ws and a peer of `tidegate.v1` in Python, in both roles.
//! No test sleeps.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]

/// Makes a test of each case of the suite, in the network that `net` of the module around gives.
macro_rules! run {
    ($module:ident: $($case:ident,)*) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    crate::block_on(async { crate::suite::$module::$case(&super::net().await).await });
                }
            )*
        }
    };
}

mod addresses;
#[cfg(feature = "v1")]
mod attacks;
#[cfg(feature = "v1")]
mod auto_mode;
#[cfg(feature = "axum")]
mod axum_server;
mod blocked;
mod broken;
mod cancel;
#[cfg(feature = "v1")]
mod channel_ends;
#[cfg(feature = "deflate")]
mod compressed;
mod differential;
mod examples;
mod foreign;
#[cfg(feature = "v1")]
mod go_away;
mod hostile;
#[cfg(feature = "v1")]
mod interop;
mod keys;
mod long;
#[cfg(feature = "v1")]
mod message_sizes;
#[cfg(feature = "v1")]
mod node;
mod over;
mod own;
mod peer;
mod proxy;
mod raw;
mod readme;
mod refused;
mod server;
mod shutdown;
mod silent;
#[path = "../client/suite/mod.rs"]
mod suite;
#[cfg(feature = "v1")]
mod tidegate_mode;
#[cfg(feature = "tls")]
mod tls;
mod ws;

use core::time::Duration;

use tidegate::{Client, ClientBuilder, ConnectError};

/// Routes on a port of this machine.
struct TcpNet {
    port: u16,
}

impl TcpNet {
    fn url(&self, route: &str) -> String {
        let port = if route == "/refused" { raw::closed_port() } else { self.port };
        format!("ws://127.0.0.1:{port}{route}")
    }
}

impl suite::Net for TcpNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        describe(Client::builder(self.url(route))).connect().await
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }
}

/// Runs a test in a runtime of its own. The limit only turns a hang into a failure.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limit = Duration::from_secs(if option_env!("TIDEGATE_FULL").is_some() { 600 } else { 60 });
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("the test hangs") })
}

/// As [`block_on`], in virtual time: when all wait, it is at once the moment that the first waits for. Not
/// for sockets, on whose peers nobody can be seen to wait.
fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(test)
}

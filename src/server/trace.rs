//! Events by which connections can be counted, and their ends be told apart: one for each that was accepted, one for each
//! that has ended, one for each that was refused on a route. Nothing for messages.

use core::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::client::Client;

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static OPEN: AtomicU64 = AtomicU64::new(0);

/// A connection was accepted.
pub(super) fn accepted(client: &Client, subprotocol: &str) {
    let connection = ACCEPTED.fetch_add(1, Ordering::Relaxed) + 1;
    let open = OPEN.fetch_add(1, Ordering::Relaxed) + 1;
    // What stands behind it may be a secret.
    let path = client.url().split('?').next().unwrap_or_default();
    tracing::debug!(connection, path, subprotocol, open, "connection accepted");
    let since = Instant::now();
    client.hub().on_closed(move |closed| {
        let open = OPEN.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        let lasted_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            connection,
            code = closed.code,
            cause = ?closed.cause,
            was_clean = closed.was_clean,
            lasted_ms,
            unsent_messages = closed.unsent.messages,
            unsent_bytes = closed.unsent.bytes,
            unknown_messages = closed.unknown.messages,
            unknown_bytes = closed.unknown.bytes,
            open,
            "connection ended"
        );
    });
}

/// A request was refused with this status.
#[cfg(feature = "axum")]
pub(super) fn refused(status: u16) {
    tracing::debug!(status, "connection refused");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use core::fmt::Debug;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use crate::client::Client;
    use crate::proto::ws::HeadLimits;
    use crate::server::{AcceptOptions, accept, read_request};

    /// Writes down each event in a line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            if event.metadata().target().starts_with("tidegate::server") {
                self.0.lock().unwrap().push(line.0);
            }
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.extend([field.name(), "=", &format!("{value:?}"), " "]);
        }
    }

    #[test]
    fn a_connection_is_told_of_twice_whatever_goes_over_it() {
        let lines = Lines::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let test = async {
            let (here, mut there) = tokio::io::duplex(1000);
            let connecting = tokio::spawn(Client::builder("ws://example.com/a?token=b").connect_over(here));
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            let server = accept(there, &request, None, AcceptOptions::default()).unwrap();
            let client = connecting.await.unwrap().unwrap();
            for _ in 0..100 {
                client.send("message").await.unwrap();
                server.recv().await.unwrap();
            }
            client.close(4001, "").await.unwrap();
            server.closed().await;
        };
        tracing::subscriber::with_default(lines.clone(), || runtime.block_on(test));
        let lines = lines.0.lock().unwrap();
        let [accepted, ended] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(accepted.contains("message=connection accepted"), "{accepted}");
        assert!(accepted.contains("path=\"/a\" subprotocol=\"\""), "{accepted}");
        assert!(!accepted.contains("token"), "{accepted}");
        for part in
            ["message=connection ended", "code=4001", "cause=Peer", "was_clean=true", "unsent_messages=0"]
        {
            assert!(ended.contains(part), "{part}: {ended}");
        }
    }
}

//! A way to a server over which checks talk with tidegate's client on the host, and the checks themselves as values.
//!
//! Not here: what is checked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tidegate::{Client, ClientBuilder, CloseCause, Message};

use super::{Tally, package};
use crate::place::Place;

/// How long one check may take, on a loaded machine: only turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// A check of a subject, under its name.
pub(super) type Check<S> = (&'static str, fn(&S) -> Checking<'_>);

/// A check that is under way.
type Checking<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Functions as [`Check`]s, each under its own name.
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |subject| Box::pin($name(subject)))),*]
    };
}
pub(super) use checks;

/// Runs `checks` one after the other, each to its end, and records them as tests of `suite`.
///
/// # Errors
///
/// If one of them failed.
pub(super) fn run<S>(suite: &str, subject: &S, checks: &[Check<S>], tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failed = 0;
    for (name, check) in checks {
        let began = Instant::now();
        let limited = async { tokio::time::timeout(LIMIT, check(subject)).await };
        let result = runtime.block_on(limited).unwrap_or_else(|_| Err(anyhow!("it hangs")));
        let note = match &result {
            Ok(()) => format!("{} ms", began.elapsed().as_millis()),
            Err(error) => format!("{error:#}"),
        };
        package::report(tally, Place::Native, suite, name, result.is_ok(), &note);
        failed += usize::from(result.is_err());
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(())
}

/// Where a server is reached, and which subprotocols are spoken with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The address that is dialled: the server's, or that of what stands in front of it.
    pub(super) address: SocketAddr,
    /// What is offered wherever the server may choose; it takes the first.
    pub(super) subprotocols: &'static [&'static str],
}

impl Way {
    /// A connection to a request target, on which nothing is offered.
    pub(super) fn builder(&self, target: &str) -> ClientBuilder {
        Client::builder(format!("ws://{}{target}", self.address)).connect_within(LIMIT)
    }

    /// Connects to a request target, and offers nothing.
    ///
    /// # Errors
    ///
    /// If it does not open.
    pub(super) async fn connect(&self, target: &str) -> Result<Client> {
        self.builder(target).connect().await.with_context(|| format!("connecting to {target}"))
    }

    /// Connects, as `describe` says, to a request target where the server takes the first subprotocol that is offered.
    ///
    /// # Errors
    ///
    /// If it does not open, or the server has chosen something else.
    pub(super) async fn connect_as(
        &self,
        target: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client> {
        let offers = self.subprotocols.iter();
        let builder = offers.fold(self.builder(target), |builder, name| builder.subprotocol(*name));
        let client = describe(builder).connect().await.with_context(|| format!("connecting to {target}"))?;
        let chosen = client.protocol();
        let first = self.subprotocols.first().copied().unwrap_or_default();
        ensure!(chosen == first, "the subprotocol is {chosen:?}, and not {first:?}");
        Ok(client)
    }
}

/// The next message, which has to be a text.
///
/// # Errors
///
/// If it is not, or none comes.
pub(super) async fn text(client: &Client) -> Result<String> {
    let message = client.recv().await.context("the connection has ended")?;
    message.into_text().map_err(|message| anyhow!("a text was expected, and not {message:?}"))
}

/// Sends a message over a connection that sends it back, and compares.
///
/// # Errors
///
/// If it does not come back as it was.
pub(super) async fn echoed(client: &Client, message: impl Into<Message> + Clone) -> Result<()> {
    client.send(message.clone()).await.map_err(|_| anyhow!("it was not taken: {:?}", client.failure()))?;
    let back = client.recv().await.with_context(|| format!("no echo: {:?}", client.failure()))?;
    let message = message.into();
    ensure!(back == message, "{message:?} came back as {back:?}");
    Ok(())
}

/// Closes with `code` and `reason`, which the server has to confirm with the same code.
///
/// # Errors
///
/// If it does not.
pub(super) async fn close(client: &Client, code: u16, reason: &str) -> Result<()> {
    let closed = client.close(code, reason).await?;
    let is_confirmed = closed.code == code && closed.was_clean && closed.cause == CloseCause::Local;
    ensure!(is_confirmed, "closing with {code} came to {closed:?}");
    Ok(())
}

/// Waits for the server to close with `code` and `reason`.
///
/// # Errors
///
/// If the connection ends otherwise.
pub(super) async fn closed_by_server(client: &Client, code: u16, reason: &str) -> Result<()> {
    let closed = client.closed().await;
    let is_right = closed.code == code && closed.reason.as_str() == reason;
    ensure!(
        is_right && closed.was_clean && closed.cause == CloseCause::Peer,
        "{code} {reason:?} came as {closed:?}"
    );
    Ok(())
}

/// Waits for an end without a close frame, as when what stands between goes away.
///
/// # Errors
///
/// If the connection ends otherwise.
pub(super) async fn cut(client: &Client) -> Result<()> {
    let closed = client.closed().await;
    let is_cut = closed.code == 1006 && !closed.was_clean && closed.cause == CloseCause::Peer;
    ensure!(is_cut, "it was not cut: {closed:?}");
    let failure = client.failure();
    ensure!(
        matches!(failure, Some(tidegate::TransportError::Io { .. })),
        "not the stream's end: {failure:?}"
    );
    Ok(())
}

/// Bytes that no part of the way can mistake for others; other ones for each `seed`.
pub(super) fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9);
    let step = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// A text of `len` bytes in UTF-8, with characters of one to four bytes.
pub(super) fn words(len: usize) -> String {
    const UNIT: &str = "tide \u{e9}\u{6f6e}\u{1f30a}";
    let mut text = UNIT.repeat(len / UNIT.len());
    text.extend(std::iter::repeat_n('x', len - text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::{pattern, words};

    #[test]
    fn texts_and_patterns_have_the_length_that_was_asked_for() {
        for len in [0, 1, 13, 125, 65_536] {
            assert_eq!((words(len).len(), pattern(1, len).len()), (len, len));
        }
        assert_ne!(pattern(1, 100), pattern(2, 100));
    }
}

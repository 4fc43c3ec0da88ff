//! What is asked over a byte stream before frames go over it, each question with one answer.
//!
//! Not here: what is asked and what an answer means (`proto::ws`), and deadlines of the whole.

use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use tokio::io::ReadBuf;
use tokio::time::{Instant, timeout_at};

use super::{ByteStream, broken};
use crate::proto::ws::{Accepted, ClientHandshake};
use crate::transport::TransportError;

/// How much of an answer is read at once.
const HEAD_BYTES: usize = 4 << 10;

/// How long the body of a refusal may take from its head on. What it says helps people to understand;
/// a server that never ends it must not keep them from the status, which is known already.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(1);

/// What the bytes so far have brought.
pub(crate) enum Heard<T> {
    /// The answer is not complete.
    Nothing,
    /// It is a refusal, of which only the body may be missing.
    Refusal,
    /// The answer.
    All(T),
}

/// Does the opening handshake as a client.
///
/// # Cancel safety
///
/// Dropping the future gives up the handshake, and the stream is of no more use.
pub(crate) async fn greet<S: ByteStream>(
    stream: &mut S,
    mut handshake: ClientHandshake,
) -> Result<Accepted, TransportError> {
    let request = handshake.request().to_vec();
    let heard = ask(stream, &request, |bytes| match handshake.receive(bytes) {
        Ok(Some(accepted)) => Heard::All(Ok(accepted)),
        Ok(None) if handshake.refused_status().is_some() => Heard::Refusal,
        Ok(None) => Heard::Nothing,
        Err(error) => Heard::All(Err(TransportError::Handshake(error))),
    })
    .await?;
    heard.unwrap_or_else(|| Err(TransportError::Handshake(handshake.end())))
}

/// Writes `question` and passes what comes back to `hear` until the answer is complete. `None` if it ends
/// before: by the end of the stream, or because the body of a refusal takes too long.
///
/// Reads while it writes: a server may refuse what it has not read to its end.
pub(super) async fn ask<S: ByteStream, T>(
    stream: &mut S,
    mut question: &[u8],
    mut hear: impl FnMut(&[u8]) -> Heard<T>,
) -> Result<Option<T>, TransportError> {
    let mut bytes = [0; HEAD_BYTES];
    let mut body_until = None;
    let mut failed_to_write = None;
    loop {
        let read = core::future::poll_fn(|cx| {
            // Whoever cannot be written to may have said why before it went.
            if failed_to_write.is_none()
                && let Poll::Ready(Err(error)) = write(stream, cx, &mut question)
            {
                failed_to_write = Some(error);
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            Pin::new(&mut *stream).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
        });
        let read = match body_until {
            None => read.await,
            Some(until) => match timeout_at(until, read).await {
                Ok(read) => read,
                Err(_) => return Ok(None),
            },
        };
        let n = match read {
            Ok(n) => n,
            // What is known of a refusal is worth more than how its stream ended.
            Err(_) if body_until.is_some() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(broken(&error)),
        };
        if n == 0 {
            return match failed_to_write {
                Some(error) if body_until.is_none() => Err(broken(&error)),
                _ => Ok(None),
            };
        }
        match hear(bytes.get(..n).unwrap_or_default()) {
            Heard::All(answer) => return Ok(Some(answer)),
            Heard::Refusal => body_until = body_until.or_else(|| Some(Instant::now() + BODY_WITHIN)),
            Heard::Nothing => {}
        }
    }
}

/// Writes what is left of `rest`, and flushes.
fn write<S: ByteStream>(
    stream: &mut S,
    cx: &mut core::task::Context<'_>,
    rest: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !rest.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, rest) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => *rest = rest.get(n..).unwrap_or_default(),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
    Pin::new(stream).poll_flush(cx)
}

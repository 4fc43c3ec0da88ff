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
use crate::proto::ws::{Accepted, ClientHandshake, ProxyTunnel};
use crate::transport::TransportError;

/// How much of an answer is read at once.
const HEAD_BYTES: usize = 4 << 10;

/// How long the body of a refusal may take from its head on. What it says helps people to understand;
/// a server that never ends it must not keep them from the status, which is known already.
const BODY_WITHIN: Duration = Duration::from_secs(1);

/// What the bytes so far have brought.
enum Heard<T> {
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

/// Asks the proxy at the other end of `stream` for a tunnel; from then on the stream leads to the server.
///
/// # Cancel safety
///
/// As [`greet`].
pub(crate) async fn tunnel<S: ByteStream>(
    stream: &mut S,
    mut tunnel: ProxyTunnel,
) -> Result<(), TransportError> {
    let request = tunnel.request().to_vec();
    let heard = ask(stream, &request, |bytes| match tunnel.receive(bytes) {
        Ok(true) => Heard::All(Ok(())),
        Ok(false) if tunnel.refused_status().is_some() => Heard::Refusal,
        Ok(false) => Heard::Nothing,
        Err(error) => Heard::All(Err(TransportError::Proxy(error))),
    })
    .await?;
    heard.unwrap_or_else(|| Err(TransportError::Proxy(tunnel.end())))
}

/// Writes `question` and passes what comes back to `hear` until the answer is complete. `None` if it ends
/// before: by the end of the stream, or because the body of a refusal takes too long.
///
/// Reads while it writes: a server may refuse what it has not read to its end.
async fn ask<S: ByteStream, T>(
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
            Err(error) => return Err(broken(error)),
        };
        if n == 0 {
            return match failed_to_write {
                Some(error) if body_until.is_none() => Err(broken(error)),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::proto::ws::{ClientRequest, HandshakeError, HeadLimits, TunnelError};

    /// Runs a test in virtual time.
    fn block_on<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    fn handshake() -> ClientHandshake {
        let mut request = ClientRequest::new("example.com", "/").unwrap();
        // Longer than what the streams hold, so that it is never written to its end.
        request.header("Cookie", &"x".repeat(1_000)).unwrap();
        ClientHandshake::new(request, *b"the sample nonce", HeadLimits::default())
    }

    /// Says `answer` at once, and keeps the stream open or not.
    async fn say(mut stream: DuplexStream, answer: &str, keeps: bool) {
        stream.write_all(answer.as_bytes()).await.unwrap();
        if keeps {
            core::future::pending::<()>().await;
        }
    }

    #[test]
    fn b05_a_refusal_is_told_with_what_has_come_of_its_body_however_that_ends() {
        for (answer, status, body, within) in [
            ("HTTP/1.1 401 No\r\nConnection: close\r\n\r\nno entry", 401, "no entry", true),
            (
                "HTTP/1.1 502 No\r\nContent-Length: 1000\r\n\r\nthe rest never comes",
                502,
                "the rest never comes",
                true,
            ),
            ("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnev", 503, "nev", true),
            ("HTTP/1.0 404 Not Found\r\n\r\n", 404, "", true),
            ("HTTP/1.1 301 Moved\r\nContent-Length: 2\r\n\r\nhi and more", 301, "hi", false),
        ] {
            for keeps in [true, false] {
                block_on(async {
                    let (mut ours, theirs) = tokio::io::duplex(64);
                    let start = Instant::now();
                    let greeting = greet(&mut ours, handshake());
                    let speaking = tokio::spawn(async move { say(theirs, answer, keeps).await });
                    let error = greeting.await.unwrap_err();
                    speaking.abort();
                    let refusal = error.refusal().unwrap();
                    assert_eq!((refusal.status, refusal.body.as_slice()), (status, body.as_bytes()));
                    // Only a body that does not end is waited for, and only so long.
                    let waited = if keeps && within { BODY_WITHIN } else { Duration::ZERO };
                    assert!(start.elapsed().abs_diff(waited) < Duration::from_millis(5), "{answer}");

                    let (mut ours, theirs) = tokio::io::duplex(64);
                    let question = ProxyTunnel::new("example.com:80", None, HeadLimits::default()).unwrap();
                    let speaking = tokio::spawn(async move { say(theirs, answer, keeps).await });
                    let error = tunnel(&mut ours, question).await.unwrap_err();
                    speaking.abort();
                    let TransportError::Proxy(fault) = error else { panic!("{error:?}") };
                    assert_eq!(fault.refusal().unwrap().body, body.as_bytes());
                });
            }
        }
    }

    #[test]
    fn b05_an_end_before_the_answer_is_told_as_such() {
        block_on(async {
            for answer in ["", "HTTP/1.1 101 Swi"] {
                let (mut ours, theirs) = tokio::io::duplex(64);
                say(theirs, answer, false).await;
                let error = greet(&mut ours, handshake()).await.unwrap_err();
                // Whether the end is seen while reading or while writing.
                let expected = TransportError::Handshake(HandshakeError::Truncated);
                assert!(error == expected || matches!(error, TransportError::Io { .. }), "{error:?}");
            }
            let (mut ours, mut theirs) = tokio::io::duplex(4096);
            let question = ProxyTunnel::new("example.com:80", None, HeadLimits::default()).unwrap();
            let asking = tokio::spawn(async move { tunnel(&mut ours, question).await });
            theirs.read_exact(&mut [0; 20]).await.unwrap();
            drop(theirs);
            assert_eq!(asking.await.unwrap(), Err(TransportError::Proxy(TunnelError::Truncated)));
        });
    }
}

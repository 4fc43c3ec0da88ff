//! Reading the request of a client that has connected.

use core::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::proto::ws::{HeadLimits, Request, RequestError, ServerHandshake};

/// What is read at a time, in bytes.
const PIECE: usize = 4096;

/// What is still read, in bytes, of a client that was refused.
const REST: usize = 64 << 10;

/// Why there is no request to accept.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadRequestError {
    /// It asks for no WebSocket, or wrongly. The client was told so by
    /// [`RequestError::response`](crate::proto::ws::RequestError::response).
    Refused(RequestError),
    /// The stream ended before the request was complete.
    Ended,
    /// The stream failed.
    Io(io::Error),
}

impl fmt::Display for ReadRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "the request was refused: {error}"),
            Self::Ended => f.write_str("the stream ended before the request was complete"),
            Self::Io(error) => write!(f, "reading the request failed: {error}"),
        }
    }
}

impl core::error::Error for ReadRequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Ended => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// Reads the request of an opening handshake, for [`accept`](super::accept). One that is none is answered as it
/// deserves, and what the client is still sending is read, up to 64 KiB, since a socket that is dropped with unread
/// bytes may take the answer back.
///
/// It waits for as long as the client takes: put a deadline around it, or one that never finishes its request holds a
/// socket for nothing.
///
/// # Errors
///
/// [`ReadRequestError`]; the stream is of no more use.
///
/// # Cancel safety
///
/// None: what was read is lost with the future, so that only the stream's end can follow.
pub async fn read_request<S>(stream: &mut S, limits: HeadLimits) -> Result<Request, ReadRequestError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut handshake = ServerHandshake::new(limits);
    // Not in the future itself: the task that awaits this would keep room for it as long as it serves the connection.
    let mut bytes = vec![0; PIECE];
    loop {
        let n = stream.read(&mut bytes).await.map_err(ReadRequestError::Io)?;
        if n == 0 {
            return Err(ReadRequestError::Ended);
        }
        match handshake.receive(bytes.get(..n).unwrap_or_default()) {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(error) => {
                // Why it was refused is worth more than whether the client has heard it.
                let _ = refuse(stream, &error, &mut bytes).await;
                return Err(ReadRequestError::Refused(error));
            }
        }
    }
}

async fn refuse<S>(stream: &mut S, error: &RequestError, bytes: &mut [u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    stream.write_all(&error.response().to_bytes()).await?;
    stream.shutdown().await?;
    let mut left = REST;
    while left > 0 {
        let n = stream.read(bytes).await?;
        left = if n == 0 { 0 } else { left.saturating_sub(n) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a client that says `says` and then goes on for as long as it is listened to, or ends; and what
    /// it hears.
    async fn read(says: &[u8], goes_on: bool) -> (Result<Request, ReadRequestError>, String) {
        let (mut client, mut server) = tokio::io::duplex(1000);
        let (mut from_server, mut to_server) = tokio::io::split(&mut client);
        let talk = async {
            let _ = to_server.write_all(says).await;
            while goes_on && to_server.write_all(&[b'x'; 500]).await.is_ok() {}
            let _ = to_server.shutdown().await;
        };
        let serve = async move {
            let read = read_request(&mut server, HeadLimits::default()).await;
            drop(server);
            read
        };
        let mut heard = Vec::new();
        let (read, (), heard_to) =
            at_once(serve, talk, async { from_server.read_to_end(&mut heard).await }).await;
        assert!(heard_to.is_ok());
        (read, String::from_utf8_lossy(&heard).into_owned())
    }

    /// All three at the same time.
    async fn at_once<A, B, C>(
        one: impl Future<Output = A>,
        two: impl Future<Output = B>,
        three: impl Future<Output = C>,
    ) -> (A, B, C) {
        let ((one, two), three) =
            futures_util::future::join(futures_util::future::join(one, two), three).await;
        (one, two, three)
    }

    const GOOD: &[u8] = b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    #[test]
    fn b10_a_request_is_read_with_what_came_behind_it() {
        block_on(async {
            let (request, heard) = read(&[GOOD, b"behind"].concat(), false).await;
            let request = request.unwrap();
            assert_eq!((request.target.as_str(), request.rest.as_slice()), ("/live", &b"behind"[..]));
            assert_eq!(heard, "");
        });
    }

    #[test]
    fn b05_a_request_that_is_none_is_answered_also_while_its_client_talks_on() {
        block_on(async {
            for goes_on in [false, true] {
                let (refused, heard) = read(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", goes_on).await;
                let error = refused.unwrap_err();
                assert!(matches!(error, ReadRequestError::Refused(RequestError::Method)), "{error}");
                assert!(heard.starts_with("HTTP/1.1 405 "), "{heard}");
            }
            let (ended, heard) = read(&GOOD[..50], false).await;
            assert!(matches!(ended, Err(ReadRequestError::Ended)), "{ended:?}");
            assert_eq!(heard, "");
        });
    }
}

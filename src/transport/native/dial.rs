//! How a client gets its byte stream.
//!
//! Not here: the opening handshake (`greet`), TLS (`tls`), and deadlines of the whole.

use tokio::net::TcpStream;

use super::ByteStream;
use crate::transport::{IoSource, TransportError};

/// A byte stream of any kind: with and without TLS, through a proxy and not.
pub(crate) type AnyStream = Box<dyn ByteStream>;

/// A TCP connection. `host` is a name or an address, the latter without brackets.
///
/// # Cancel safety
///
/// Dropping the future gives up the attempt.
pub(crate) async fn tcp(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let connect = async {
        let stream = TcpStream::connect((host, port)).await?;
        // Messages are written whole, so that waiting for more to come only costs time.
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connect.await.map_err(|error: std::io::Error| {
        // With a proxy on the way there are two who may not be there.
        let message = format!("{host} port {port}: {error}");
        TransportError::Connect { message, source: Some(IoSource::new(error)) }
    })
}

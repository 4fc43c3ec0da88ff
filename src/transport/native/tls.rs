//! TLS as a client, by rustls.
//!
//! Not here: whom to trust (the client's options, the platform).

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error};

use super::ByteStream;
use crate::transport::TransportError;

/// Does the TLS handshake on `stream`. `host` is the name or address, without brackets, that the server's
/// certificate has to be for.
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub(crate) async fn handshake<S: ByteStream>(
    stream: S,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<S>, TransportError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| TransportError::Tls { message: format!("no certificate can be for the host {host}") })?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))
}

/// Sorts out why there is no TLS.
fn failed(error: &io::Error) -> TransportError {
    let message = error.to_string();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            TransportError::Certificate { message }
        }
        Some(_) => TransportError::Tls { message },
        None if error.kind() == io::ErrorKind::UnexpectedEof => TransportError::Tls { message },
        None => TransportError::Io { message },
    }
}

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
use crate::transport::{IoSource, TransportError};

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
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other).map_err(|error| {
        TransportError::Tls {
            message: format!("no certificate can be for the host {host}"),
            source: Some(IoSource::new(error)),
        }
    })?;
    TlsConnector::from(config).connect(name, stream).await.map_err(failed)
}

/// Sorts out why there is no TLS.
fn failed(error: io::Error) -> TransportError {
    let (message, kind) = (error.to_string(), error.kind());
    let source = Some(IoSource::new(error));
    match source.as_ref().and_then(|error| error.get_ref()).and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            TransportError::Certificate { message, source }
        }
        Some(_) => TransportError::Tls { message, source },
        None if kind == io::ErrorKind::UnexpectedEof => TransportError::Tls { message, source },
        None => TransportError::Io { message, source },
    }
}

//! Whom a connection over TLS trusts.

use core::fmt;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use crate::platform;
use crate::transport::TransportError;

/// Whom a `wss:` connection trusts, and how it speaks TLS; for [`ClientBuilder::tls`](super::ClientBuilder::tls).
///
/// Make it once and clone it: connections of one make share their TLS sessions, so that later ones to
/// the same server open with less ado. It is cheap to clone.
///
/// Whatever is given, the application protocol that is offered is `http/1.1` alone, as browsers do:
/// a server that took up HTTP/2 would not understand the opening handshake of RFC 6455.
///
/// # Examples
///
/// ```no_run
/// use tidegate::{Client, TlsOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsOptions::with_only_roots([std::fs::read("company-ca.pem")?])?;
/// let client = Client::builder("wss://internal.example/live").tls(tls).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TlsOptions {
    config: Arc<ClientConfig>,
}

impl TlsOptions {
    /// Trusts whom the platform trusts, and what these roots have issued. Each is a certificate in DER, or
    /// a text in PEM with any number of them.
    ///
    /// Reads the platform's roots, which takes some milliseconds and blocks. On Linux and the BSDs they are
    /// where OpenSSL has them, or where the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// say; on Apple's systems and Windows the platform itself judges. Android's judge needs the
    /// application's Java machine: give a whole configuration there ([`with_config`](Self::with_config)).
    ///
    /// # Errors
    ///
    /// [`TlsError`] if one is no certificate, or the platform has no roots.
    pub fn with_roots<I>(roots: I) -> Result<Self, TlsError>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let extra = certificates(roots)?;
        let provider = Arc::new(ring::default_provider());
        let verifier = platform::tls::verifier(extra, provider.clone()).map_err(|error| platform(&error))?;
        Self::judged_by(verifier, provider)
    }

    /// Trusts what these roots have issued and nothing else. Each is a certificate in DER, or a text in PEM
    /// with any number of them.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if one is no certificate, or there is none.
    pub fn with_only_roots<I>(roots: I) -> Result<Self, TlsError>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let mut store = RootCertStore::empty();
        for root in certificates(roots)? {
            store.add(root).map_err(|error| TlsError::Root { message: error.to_string() })?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone())
            .build()
            .map_err(|error| TlsError::Root { message: error.to_string() })?;
        Self::judged_by(verifier, provider)
    }

    /// Uses a configuration of [`rustls`](crate::rustls) 0.23: client certificates, key logs, verifiers of
    /// one's own.
    ///
    /// rustls is built with the provider `ring` here. Where another crate brings a second one,
    /// `ClientConfig::builder` does not know which to take, and `builder_with_provider` has to be told.
    pub fn with_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        let mut config = config.into();
        if config.alpn_protocols != [HTTP] {
            // The sessions it has stored are shared by the copy.
            Arc::make_mut(&mut config).alpn_protocols = vec![HTTP.to_vec()];
        }
        Self { config }
    }

    fn judged_by(
        verifier: Arc<dyn ServerCertVerifier>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| platform(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self::with_config(config))
    }
}

/// The only application protocol in which the opening handshake is spoken.
const HTTP: &[u8] = b"http/1.1";

/// What `options` say; without any, what the platform trusts, which is read once in the life of a process.
///
/// # Cancel safety
///
/// Dropped while the platform's roots are being read, it leaves that to end by itself.
pub(super) async fn config(options: Option<TlsOptions>) -> Result<Arc<ClientConfig>, TransportError> {
    static PLATFORM: OnceLock<TlsOptions> = OnceLock::new();
    if let Some(options) = options.or_else(|| PLATFORM.get().cloned()) {
        return Ok(options.config);
    }
    let failed = |message| TransportError::Tls { message, source: None };
    let read = tokio::task::spawn_blocking(|| TlsOptions::with_roots::<[&[u8]; 0]>([]));
    let read = read.await.map_err(|error| failed(error.to_string()))?;
    let read = read.map_err(|error| failed(error.to_string()))?;
    Ok(PLATFORM.get_or_init(|| read).config.clone())
}

fn certificates<I>(given: I) -> Result<Vec<CertificateDer<'static>>, TlsError>
where
    I: IntoIterator<Item: AsRef<[u8]>>,
{
    let mut all = Vec::new();
    for bytes in given {
        let bytes = bytes.as_ref();
        // DER begins with a byte that no text begins with.
        if bytes.first() == Some(&0x30) {
            all.push(CertificateDer::from(bytes.to_vec()));
            continue;
        }
        let before = all.len();
        for certificate in CertificateDer::pem_slice_iter(bytes) {
            all.push(certificate.map_err(|error| TlsError::Root { message: error.to_string() })?);
        }
        if all.len() == before {
            return Err(TlsError::Root { message: "neither DER nor PEM with a certificate in it".into() });
        }
    }
    Ok(all)
}

fn platform(error: &Error) -> TlsError {
    TlsError::Platform { message: error.to_string() }
}

/// Why there are no [`TlsOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// What was given for a root is no certificate, or there is none.
    Root {
        /// What is wrong with it.
        message: String,
    },
    /// The platform does not say whom it trusts.
    Platform {
        /// What is missing.
        message: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { message } => write!(f, "a root cannot be used: {message}"),
            Self::Platform { message } => write!(f, "the platform's roots cannot be used: {message}"),
        }
    }
}

impl core::error::Error for TlsError {}

//! What the platform trusts.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::{Error, pki_types::CertificateDer};

/// The platform's judge of certificates, which accepts those of `extra` roots as well.
///
/// Reads the platform's roots, which takes milliseconds and blocks.
///
/// # Errors
///
/// If the platform has no roots, or an extra one is not a certificate.
#[cfg(not(target_os = "android"))]
pub(crate) fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    Ok(Arc::new(rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)?))
}

/// Android's judge speaks Java: it needs a virtual machine that only the application has, and panics without.
#[cfg(target_os = "android")]
pub(crate) fn verifier(
    _: Vec<CertificateDer<'static>>,
    _: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    Err(Error::General("on android, give a `ClientConfig` of your own".into()))
}

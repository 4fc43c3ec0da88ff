//! The address of a proxy.

use core::fmt;

use percent_encoding::percent_decode_str;

use crate::client::{ConnectError, ProxyError};
use crate::proto::ws::{HeadLimits, InvalidRequest, ProxyTunnel};

/// What the caller gave; not shown, since there may be a password in it.
#[derive(Clone)]
pub(super) struct ProxyUrl(pub(super) String);

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyUrl(..)")
    }
}

/// A proxy, and what is asked of it.
pub(super) struct Proxy {
    /// A name or an address, the latter without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether TLS is spoken with the proxy itself.
    pub(super) is_secure: bool,
    pub(super) tunnel: ProxyTunnel,
}

impl Proxy {
    /// The proxy that `url` names, with the question for a tunnel to `authority`.
    pub(super) fn new(url: &ProxyUrl, authority: &str) -> Result<Self, ConnectError> {
        let error = ConnectError::Proxy;
        let url = url::Url::parse(&url.0).map_err(|_| error(ProxyError::Invalid))?;
        let is_secure = match url.scheme() {
            "http" => false,
            "https" if cfg!(feature = "tls") => true,
            "https" => return Err(ConnectError::NoTls),
            other => return Err(error(ProxyError::Scheme { scheme: other.to_owned() })),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(error(ProxyError::Invalid));
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(error(ProxyError::Invalid));
        }
        let credentials = credentials(&url).map_err(|_| error(ProxyError::Credentials))?;
        let credentials = credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let tunnel = ProxyTunnel::new(authority, credentials, HeadLimits::default()).map_err(|fault| {
            error(if fault == InvalidRequest::Credentials {
                ProxyError::Credentials
            } else {
                ProxyError::Invalid
            })
        })?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, is_secure, tunnel })
    }
}

/// User and password that `url` has, percent-decoded.
pub(super) fn credentials(url: &url::Url) -> Result<Option<(String, String)>, core::str::Utf8Error> {
    let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from);
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, password) => Ok(Some((decoded(user)?, decoded(password.unwrap_or_default())?))),
    }
}

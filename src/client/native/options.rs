//! What can be said about a connection on the host only: browsers decide all of it themselves.

use super::proxy::ProxyUrl;
use crate::client::ClientBuilder;
#[cfg(feature = "tls")]
use crate::client::TlsOptions;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostOptions {
    pub(super) proxy: Option<ProxyUrl>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsOptions>,
}

/// Host only, feature `native`: in browsers these are the browser's own business.
impl ClientBuilder {
    /// Goes through an HTTP proxy: `http://host:port`, or `http://user:password@host:port` with both
    /// percent-encoded, which are sent by Basic authentication. The proxy is asked for a tunnel (`CONNECT`)
    /// for `ws:` as for `wss:`, and looks up the server's name itself; TLS with the server is spoken inside.
    /// With the feature `tls`, `https://…` speaks TLS with the proxy, too, and trusts as
    /// [`tls`](Self::tls) says.
    ///
    /// Default: no proxy. Environment variables such as `HTTPS_PROXY` are not looked at: give what they
    /// say, if you want it.
    ///
    /// What it refuses is [`TransportError::Proxy`](crate::TransportError), with its whole answer; the
    /// time that it takes counts towards [`connect_within`](Self::connect_within).
    ///
    /// Host only.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.host.proxy = Some(ProxyUrl(url.into()));
        self
    }

    /// Whom a `wss:` connection trusts. Default: whom the platform trusts.
    ///
    /// Host only, feature `tls`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.host.tls = Some(options);
        self
    }
}

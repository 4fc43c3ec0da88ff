//! What can be said about a connection on the host only: browsers decide all of it themselves.

use crate::client::ClientBuilder;
#[cfg(feature = "tls")]
use crate::client::TlsOptions;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostOptions {
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsOptions>,
}

/// Host only, feature `native`: in browsers these are the browser's own business.
impl ClientBuilder {
    /// Whom a `wss:` connection trusts. Default: whom the platform trusts.
    ///
    /// Host only, feature `tls`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.host.tls = Some(options);
        self
    }
}

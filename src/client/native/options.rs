//! What can be said about a connection on the host only: browsers decide all of it themselves.

use core::fmt;
use core::time::Duration;

use super::proxy::ProxyUrl;
use crate::client::ClientBuilder;
#[cfg(feature = "tls")]
use crate::client::TlsOptions;
#[cfg(feature = "deflate")]
use crate::proto::ws::DeflateOptions;
use crate::proto::ws::Limits;
use crate::transport::native::Options;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostOptions {
    pub(super) transport: Options,
    pub(super) headers: Vec<(String, HeaderValue)>,
    pub(super) proxy: Option<ProxyUrl>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsOptions>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<DeflateOptions>,
}

/// A value that is not shown: it may be a token or a cookie.
#[derive(Clone)]
pub(super) struct HeaderValue(pub(super) String);

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// Host only, feature `native`: in browsers these are the browser's own business.
impl ClientBuilder {
    /// Adds a header field to the opening request, such as `Authorization`, `Cookie`, `Origin` or
    /// `User-Agent`; call it once for each. A browser lets no script do so.
    ///
    /// [`connect`](Self::connect) fails with [`ConnectError::Header`](crate::ConnectError::Header) before
    /// anything is tried if the name is none or one that the handshake itself sets (`Host`, `Upgrade`,
    /// `Connection`, `Sec-WebSocket-*`, `Content-Length`, `Transfer-Encoding`, `TE`, `Trailer`), or the
    /// value holds a line end or another control character, or white space at an end.
    ///
    /// User and password in the URL are sent by Basic authentication unless `Authorization` is given here.
    ///
    /// Host only.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(token: &str) -> Result<(), tidegate::ConnectError> {
    /// let builder = tidegate::Client::builder("wss://example.com/live");
    /// match builder.header("Authorization", format!("Bearer {token}")).connect().await {
    ///     Ok(client) => println!("open: {client:?}"),
    ///     // What the server wants instead, if it has refused.
    ///     Err(error) => match error.refusal() {
    ///         Some(refusal) => println!("{} {:?}", refusal.status, refusal.headers.text("WWW-Authenticate")),
    ///         None => return Err(error),
    ///     },
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.host.headers.push((name.into(), HeaderValue(value.into())));
        self
    }

    /// Goes through an HTTP proxy: `http://host:port`, or `http://user:password@host:port` with both
    /// percent-encoded, which are sent by Basic authentication. The proxy is asked for a tunnel (`CONNECT`)
    /// for `ws:` as for `wss:`, and looks up the server's name itself; TLS with the server is spoken inside.
    /// With the feature `tls`, `https://…` speaks TLS with the proxy, too, and trusts as
    /// `tls` says.
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

    /// Bounds of what the server may send: of messages and frames, of fragments, of control frames. Default
    /// [`Limits::default`]: messages of 64 MiB. In tidegate mode a message of the WebSocket, which is another thing than one of
    /// the application's, has 320 KiB at most, and the server is told of what these leave of 257 KiB.
    ///
    /// A message that does not fit into the receive queue is still taken while less than half of that is
    /// ([`recv_limits`](Self::recv_limits)); this bound is what keeps it out.
    ///
    /// [`max_control_frames`](Limits::max_control_frames) is per second here, and counts pongs that answer the
    /// pings of [`ping_after`](Self::ping_after), too. Of [`max_output_bytes`](Limits::max_output_bytes) at most 64 KiB are used: what waits longer does so
    /// in the send queue, where it can be cancelled and is known to be unsent.
    ///
    /// Host only: a browser takes what it has memory for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.host.transport.limits = limits;
        self
    }

    /// Offers to compress messages in both directions by permessage-deflate, as `options` say; `None` does
    /// not offer it. Whether the server agrees is in [`extensions`](crate::Client::extensions).
    ///
    /// Default `None`: it costs 420 KiB of memory, some 2 MiB more after large messages, and the time to compress, and the length of a
    /// compressed message tells something of its content to whoever can see it and add to it. Browsers
    /// always offer it.
    ///
    /// Host only, feature `deflate`.
    ///
    /// # Specification
    ///
    /// [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692#section-7).
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, options: impl Into<Option<DeflateOptions>>) -> Self {
        self.host.deflate = options.into();
        self
    }

    /// Cuts messages that are longer into fragments of this many bytes; `None` sends each message as one
    /// frame, whatever its size. Default 256 KiB. 0 counts as 1. In tidegate mode fragments have up to 1 KiB more.
    ///
    /// While a message goes out, pings are answered only between two of its fragments, and only one
    /// fragment at a time takes memory besides the message itself. Every WebSocket joins fragments
    /// again, so that an application does not see them; but raw servers that know no fragments do exist. A
    /// fragment is compressed in one go, too, while nothing else runs on this thread.
    ///
    /// Host only.
    ///
    /// # Specification
    ///
    /// [RFC 6455 section 5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4).
    pub fn fragment_bytes(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.host.transport.fragment_bytes = bytes.into();
        self
    }

    /// Pings the server when nothing has come from it for so long, and takes it for gone when nothing comes
    /// for as long again: the connection then ends with 1006, and [`failure`](crate::Client::failure) is
    /// [`TransportError::Silent`](crate::TransportError::Silent). `None` never does. Default 20 s: a
    /// machine that is switched off, or a network that is away, shows in no other way for minutes or hours.
    ///
    /// Every received byte counts as a sign of life, not pongs only, and so does it if a stream that was full
    /// takes something again; a server that neither sends nor takes anything is taken for gone. While
    /// nothing is read because the receive queue waits for its reader, nobody is.
    ///
    /// In tidegate mode the session asks as well, as the server has it, by default with an end after 45 s: what comes first
    /// counts.
    ///
    /// Host only: browsers let no script ping.
    ///
    /// # Specification
    ///
    /// [RFC 6455 section 5.5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.2).
    pub fn ping_after(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.host.transport.ping_after = silence.into();
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

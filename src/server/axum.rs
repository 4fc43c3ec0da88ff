//! Connections on a route of axum: plain clients and those that speak `tidegate.v1`, on the same.
//!
//! [`upgrade`] makes a handler of an [`Endpoint`], which says who may connect and how, and of what is to be done with each
//! connection:
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use tidegate::Client;
//! use tidegate::server::axum::{Endpoint, Origins, WithoutOrigin, upgrade};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let origins = Origins::new(["https://example.com"], WithoutOrigin::Refuse)?;
//! let app = Router::new().route("/live", get(upgrade(Endpoint::new(origins), echo)));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//!
//! async fn echo(client: Client, (): ()) {
//!     while let Some(message) = client.recv().await {
//!         if client.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//! ```
//!
//! A whole server stands in `docs/SERVER.md`.
//!
//! Feature `axum`, for axum 0.8 over HTTP/1.1.
//!
//! Not here: HTTP/2 (RFC 8441), whose streams hyper hands over only where a server asks for that.

mod origins;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, Request};
use ::axum::response::Response;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

pub use self::origins::{InvalidOrigin, Origins, WithoutOrigin};
#[cfg(feature = "v1")]
use super::is_tidegate;
#[cfg(feature = "tracing")]
use super::trace;
use super::{AcceptOptions, Answer, Connections, Place};
use crate::client::Client;
#[cfg(feature = "v1")]
use crate::driver::tidegate::SUBPROTOCOL;
use crate::proto::ws;

/// How long authentication and the change of protocols may take each, unless something else is said.
const WITHIN: Duration = Duration::from_secs(10);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Authenticate<U> = Box<dyn Fn(Arc<Parts>) -> BoxFuture<Result<U, Response>> + Send + Sync>;
type AddressOf = Box<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// Who may connect to a route, and how. `U` is what [`authenticate`](Self::authenticate) finds out about a client.
///
/// # Examples
///
/// ```
/// use axum::http::StatusCode;
/// use axum::response::IntoResponse;
/// use tidegate::server::axum::{Endpoint, Origins, WithoutOrigin};
/// use tidegate::server::{AcceptOptions, Connections};
///
/// let origins = Origins::new(["https://example.com"], WithoutOrigin::Refuse)?;
/// let connections = Connections::default();
/// let endpoint = Endpoint::new(origins)
///     .subprotocols(["chat.v2"])
///     .options(AcceptOptions::default())
///     .connections(&connections)
///     .authenticate(async |head| match head.headers.get("Cookie") {
///         Some(cookie) => Ok(cookie.clone()),
///         None => Err((StatusCode::UNAUTHORIZED, "log in first\n").into_response()),
///     });
/// # drop(endpoint);
/// # Ok::<(), tidegate::server::axum::InvalidOrigin>(())
/// ```
#[must_use]
pub struct Endpoint<U = ()> {
    origins: Origins,
    subprotocols: Vec<String>,
    options: AcceptOptions,
    connections: Option<Connections>,
    within: Duration,
    address_of: AddressOf,
    authenticate: Authenticate<U>,
}

impl Endpoint {
    /// For pages of these origins. No subprotocol but `tidegate.v1` (with the feature `v1`), default options, as many
    /// connections as come, nobody authenticated.
    pub fn new(origins: Origins) -> Self {
        Self {
            origins,
            subprotocols: Vec::new(),
            options: AcceptOptions::default(),
            connections: None,
            within: WITHIN,
            address_of: Box::new(peer_address),
            authenticate: Box::new(|_| Box::pin(async { Ok(()) })),
        }
    }
}

impl<U: Send + 'static> Endpoint<U> {
    /// The application's own subprotocols. Of those that a client offers `tidegate.v1` is chosen if it is there, else the
    /// first in the client's order that is among these, else none. Default none.
    pub fn subprotocols<S: Into<String>>(mut self, subprotocols: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = subprotocols.into_iter().map(Into::into).collect();
        self
    }

    /// How connections are accepted. With [`AcceptOptions::tidegate`] at `None` all are in plain mode; with a delay in it
    /// that is out of its range nobody is accepted, and everybody answered with 500.
    pub fn options(mut self, options: AcceptOptions) -> Self {
        self.options = options;
        self
    }

    /// Where connections are counted, limited and ended. A client for whom there is no place is answered with 503.
    pub fn connections(mut self, connections: &Connections) -> Self {
        self.connections = Some(connections.clone());
        self
    }

    /// How long [`authenticate`](Self::authenticate) may take, and the change of protocols after it. Default 10 s each.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// From where a request comes, for [`ConnectionLimits::max_per_address`](super::ConnectionLimits). By default what
    /// [`ConnectInfo<SocketAddr>`](ConnectInfo) says, which takes
    /// [`into_make_service_with_connect_info`](::axum::Router::into_make_service_with_connect_info). Behind a proxy that
    /// is the proxy's, and a header field says whose it is; believe it only if the proxy sets it.
    pub fn address_by(
        mut self,
        address_of: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.address_of = Box::new(address_of);
        self
    }

    /// Who a client is, by the head of its request: header fields, URI, what middleware has left in its extensions. It is
    /// asked last, so only for those whose origin is right and for whom there is a place. What it gives goes to the
    /// handler; a response that it gives instead goes to the client, who is not connected.
    ///
    /// A browser can set no header fields, so that there is only the cookie, the subprotocols and the URI; and it shows
    /// a page nothing of a response but that there was no connection.
    pub fn authenticate<V, F>(
        self,
        authenticate: impl Fn(Arc<Parts>) -> F + Send + Sync + 'static,
    ) -> Endpoint<V>
    where
        F: Future<Output = Result<V, Response>> + Send + 'static,
    {
        let Self { origins, subprotocols, options, connections, within, address_of, authenticate: _ } = self;
        let authenticate: Authenticate<V> = Box::new(move |head| Box::pin(authenticate(head)));
        Endpoint { origins, subprotocols, options, connections, within, address_of, authenticate }
    }

    /// Answers a request, for handlers that have other extractors beside it: where there is to be a connection, `handler`
    /// is called with it in a task of its own once the response has gone out.
    ///
    /// Refused are, in this order:
    ///
    /// - what asks for no WebSocket, or wrongly, with 400, 405, 426 or 505 as
    ///   [`RequestError::response`](ws::RequestError::response) has it;
    /// - an origin that is not allowed, with 403;
    /// - who finds no place among [`connections`](Self::connections), with 503;
    /// - whom [`authenticate`](Self::authenticate) refuses, as that says; with 503 if it takes too long.
    ///
    /// If `handler` panics, its connection is closed as by a dropped handle.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future accepts nothing, and the place is free again.
    pub async fn upgrade<H, F>(&self, request: Request, handler: H) -> Response
    where
        H: FnOnce(Client, U) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        match self.admit(request).await {
            Ok((admitted, user)) => {
                let response = response(&admitted.answer.response);
                tokio::spawn(admitted.run(user, handler));
                response
            }
            Err(refused) => {
                #[cfg(feature = "tracing")]
                trace::refused(refused.status().as_u16());
                refused
            }
        }
    }

    async fn admit(&self, request: Request) -> Result<(Admitted, U), Response> {
        let (mut head, _) = request.into_parts();
        let asked = judge(&head).map_err(|error| response(&error.response()))?;
        if !self.origins.allow(&head.headers) {
            return Err(refusal(StatusCode::FORBIDDEN, "the origin is not allowed\n"));
        }
        let Some(on_upgrade) = head.extensions.remove::<OnUpgrade>() else {
            // It is there wherever axum serves HTTP/1.1.
            let why = "this server hands no connections over\n";
            return Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, why));
        };
        let place = match &self.connections {
            Some(connections) => {
                let admitted = connections.admit((self.address_of)(&head));
                let no_place = |error| refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
                Some(admitted.map_err(no_place)?)
            }
            None => None,
        };
        let Ok(user) = timeout(self.within, (self.authenticate)(Arc::new(head))).await else {
            let why = "authentication took too long\n";
            return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        let user = user?;
        let answer = Answer::new(&asked, self.choose(&asked), &self.options)
            .map_err(|error| refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
        let (options, within) = (self.options, self.within);
        Ok((Admitted { asked, answer, on_upgrade, place, options, within }, user))
    }

    /// The subprotocol for a request.
    fn choose<'a>(&self, asked: &'a ws::Request) -> Option<&'a str> {
        #[cfg(feature = "v1")]
        if let Some(spoken) = asked.choose(&[SUBPROTOCOL])
            && is_tidegate(Some(spoken), &self.options)
        {
            return Some(spoken);
        }
        let own: Vec<&str> = self.subprotocols.iter().map(String::as_str).collect();
        asked.choose(&own)
    }
}

impl<U> fmt::Debug for Endpoint<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("origins", &self.origins)
            .field("subprotocols", &self.subprotocols)
            .field("options", &self.options)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A handler for a route: accepts connections as `endpoint` says, and calls `handler` with each in a task of its own.
/// Where other extractors are wanted, see [`Endpoint::upgrade`].
pub fn upgrade<U, H, F>(
    endpoint: Endpoint<U>,
    handler: H,
) -> impl Fn(Request) -> BoxFuture<Response> + Clone + Send + Sync + 'static
where
    U: Send + 'static,
    H: Fn(Client, U) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let endpoint = Arc::new(endpoint);
    move |request| {
        let (endpoint, handler) = (endpoint.clone(), handler.clone());
        Box::pin(async move { endpoint.upgrade(request, handler).await })
    }
}

/// A request that becomes a connection once its response has gone out.
struct Admitted {
    asked: ws::Request,
    answer: Answer,
    on_upgrade: OnUpgrade,
    place: Option<Place>,
    options: AcceptOptions,
    within: Duration,
}

impl Admitted {
    async fn run<U, H, F>(self, user: U, handler: H)
    where
        H: FnOnce(Client, U) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { asked, answer, on_upgrade, place, options, within } = self;
        // Otherwise the client has gone, or the response has not reached it: then it has no connection either.
        let Ok(Ok(upgraded)) = timeout(within, on_upgrade).await else { return };
        // What came behind the request is in there, and is read first.
        let Ok(client) = answer.run(TokioIo::new(upgraded), &asked, Vec::new(), options) else { return };
        if let Some(place) = place {
            place.hold(&client);
        }
        // A task of its own, since this one keeps room for the request as long as it lives.
        tokio::spawn(handler(client, user));
    }
}

/// Judges the head of a request.
fn judge(head: &Parts) -> Result<ws::Request, ws::RequestError> {
    if head.version < Version::HTTP_11 {
        return Err(ws::RequestError::Head(ws::InvalidHead::Version));
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    ws::Request::new(head.method.as_str(), target, fields.collect())
}

fn peer_address(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

fn refusal(status: StatusCode, why: impl Into<Body>) -> Response {
    let mut response = Response::new(why.into());
    *response.status_mut() = status;
    response
}

/// A response of the opening handshake as axum has it.
fn response(response: &ws::Response) -> Response {
    let mut converted = Response::new(Body::from(response.body().to_vec()));
    // All of these are what the handshake has made, and valid.
    if let Ok(status) = StatusCode::from_u16(response.status()) {
        *converted.status_mut() = status;
    }
    for (name, value) in response.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            converted.headers_mut().append(name, value);
        }
    }
    converted
}

//! Which WebSocket route a request asks for.
//!
//! Not here: what the routes do.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::arrivals::Streamed;
use crate::link::Shape;

/// Most messages of `/flood`.
const MAX_FLOOD_MESSAGES: u32 = 10_000_000;

/// Most bytes of one message of `/flood`, and of all of them.
const MAX_FLOOD_MESSAGE_BYTES: usize = 64 << 20;
const MAX_FLOOD_BYTES: u64 = 4 << 30;

/// Longest time that `/stall` takes, and what it takes if not told. Longer than any page of tests lives: at its end the
/// connection is reset, and a `WebSocketStream` that is still writing then crashes Chromium's tab, also when the page has
/// aborted and closed it long ago.
const STALL_SECONDS: u64 = 3_600;

/// Longest time after which `/echo` pings a silent peer, in milliseconds.
const MAX_PING_MS: u64 = 60_000;

/// Longest delay of `/link`, in milliseconds.
const MAX_DELAY_MS: u64 = 10_000;

/// How long what is under way may queue on `/stream`, in milliseconds: what tidegate takes.
const TIDEGATE_DELAYS_MS: RangeInclusive<u64> = 5..=500;

/// How a connection that sends everything back does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Echo {
    /// Each message is followed by a text about it.
    pub(super) digest: bool,
    /// Messages are compressed, if the peer has offered to.
    pub(super) deflate: bool,
    /// The peer is pinged when it has been silent for so long; by default as tidegate has it.
    pub(super) ping_after: Option<Duration>,
}

/// A route with its parameters, all within bounds. The module's page of the server has the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Arrivals { run: String, acknowledges: bool },
    Burst,
    Close { code: Option<u16>, reason: String },
    Echo(Echo),
    Extension,
    Feed,
    Flood { messages: u32, bytes: usize },
    Link(Shape),
    Never,
    Push { run: String, messages: u32, bytes: usize },
    NoSubprotocol,
    Raw(Vec<u8>),
    Redirect,
    Refuse,
    Request,
    Sink,
    Reset { after: usize },
    Stall { seconds: u64 },
    Stream(Streamed),
    Status(u16),
    Subprotocol(Echo),
    Subprotocols,
    Upload { every: Option<NonZeroU64> },
    Watch { run: String },
    WrongAccept,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// No route has this path.
    Path,
    /// A parameter is missing, wrong, or out of bounds; its name.
    Query(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("there is no such route"),
            Self::Query(name) => write!(f, "the parameter {name} is missing or out of bounds"),
        }
    }
}

impl Route {
    /// The route of a request target.
    ///
    /// # Errors
    ///
    /// [`Unknown`]. Parameters that a route does not know are ignored.
    pub(super) fn of(target: &str) -> Result<Self, Unknown> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query(query);
        Ok(match path {
            "/arrivals" => Self::Arrivals {
                run: query.text("run").ok_or(Unknown::Query("run"))?,
                acknowledges: query.text("acknowledge").is_some_and(|value| value == "1"),
            },
            "/burst" => Self::Burst,
            "/close" => {
                Self::Close { code: query.number("code")?, reason: query.text("reason").unwrap_or_default() }
            }
            "/echo" => Self::Echo(query.echo()?),
            "/extension" => Self::Extension,
            "/feed" => Self::Feed,
            "/flood" => {
                let (messages, bytes) = query.flood()?;
                Self::Flood { messages, bytes }
            }
            "/link" => {
                let rate = query.number("rate")?.ok_or(Unknown::Query("rate"))?;
                let delay = query.number("delay")?.ok_or(Unknown::Query("delay"))?;
                Self::Link(shape(rate, delay).ok_or(Unknown::Query("delay"))?)
            }
            "/never" => Self::Never,
            "/no-subprotocol" => Self::NoSubprotocol,
            "/push" => {
                let run = query.text("run").ok_or(Unknown::Query("run"))?;
                let (messages, bytes) = query.flood()?;
                Self::Push { run, messages, bytes }
            }
            "/raw" => {
                let bytes = query.text("hex").and_then(|hex| bytes(&hex));
                Self::Raw(bytes.ok_or(Unknown::Query("hex"))?)
            }
            "/redirect" => Self::Redirect,
            "/refuse" => Self::Refuse,
            "/request" => Self::Request,
            "/sink" => Self::Sink,
            "/reset" => {
                let after = query.number("after")?.ok_or(Unknown::Query("after"))?;
                Self::Reset { after: within(after, MAX_FLOOD_MESSAGE_BYTES, "after")? }
            }
            "/stall" => {
                let seconds = query.number("seconds")?.unwrap_or(STALL_SECONDS);
                Self::Stall { seconds: within(seconds, STALL_SECONDS, "seconds")? }
            }
            "/status" => {
                let status = query.number("code")?.filter(|status| (200..=599).contains(status));
                Self::Status(status.ok_or(Unknown::Query("code"))?)
            }
            "/stream" => {
                let (messages, bytes) = query.flood()?;
                let has_priorities = query.text("priorities").is_some_and(|value| value == "1");
                let delay: Option<u64> = query.number("delay")?;
                if delay.is_some_and(|delay| !TIDEGATE_DELAYS_MS.contains(&delay)) {
                    return Err(Unknown::Query("delay"));
                }
                let delay = delay.map(Duration::from_millis);
                Self::Stream(Streamed { messages, bytes, has_priorities, delay })
            }
            "/subprotocol" => Self::Subprotocol(query.echo()?),
            "/subprotocols" => Self::Subprotocols,
            "/upload" => Self::Upload { every: query.number("every")? },
            "/watch" => Self::Watch { run: query.text("run").ok_or(Unknown::Query("run"))? },
            "/wrong-accept" => Self::WrongAccept,
            _ => return Err(Unknown::Path),
        })
    }
}

/// The part of a request target behind `?`.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn number<N: FromStr>(&self, name: &'static str) -> Result<Option<N>, Unknown> {
        self.text(name).map(|text| text.parse()).transpose().map_err(|_| Unknown::Query(name))
    }

    fn echo(&self) -> Result<Echo, Unknown> {
        let is_on = |name| self.text(name).is_some_and(|value| value == "1");
        let ping_after = self.number("ping")?.map(|ping| within(ping, MAX_PING_MS, "ping")).transpose()?;
        let ping_after = ping_after.map(Duration::from_millis);
        Ok(Echo { digest: is_on("digest"), deflate: is_on("deflate"), ping_after })
    }

    fn flood(&self) -> Result<(u32, usize), Unknown> {
        let messages = self.number("messages")?.ok_or(Unknown::Query("messages"))?;
        let messages = within(messages, MAX_FLOOD_MESSAGES, "messages")?;
        let bytes = self.number("bytes")?.ok_or(Unknown::Query("bytes"))?;
        let bytes = within(bytes, MAX_FLOOD_MESSAGE_BYTES, "bytes")?;
        // The bounds of the factors keep the product within 64 bits.
        within(u64::from(messages) * bytes as u64, MAX_FLOOD_BYTES, "bytes")?;
        Ok((messages, bytes))
    }
}

/// A way with this rate in bytes a second and this delay in milliseconds; `None` if the delay is out of bounds.
pub(super) fn shape(rate: NonZeroU32, delay: u64) -> Option<Shape> {
    let delay = Some(delay).filter(|delay| *delay <= MAX_DELAY_MS)?;
    Some(Shape { bytes_per_second: Some(rate), delay: Duration::from_millis(delay) })
}

fn within<N: PartialOrd + Copy>(number: N, most: N, name: &'static str) -> Result<N, Unknown> {
    if number <= most { Ok(number) } else { Err(Unknown::Query(name)) }
}

/// Bytes from pairs of hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Echo, Route, Streamed, Unknown, shape};

    #[test]
    fn parameters_are_decoded() {
        let close = Route::Close { code: Some(4001), reason: "bye \u{1f30a}&".into() };
        assert_eq!(Route::of("/close?reason=bye+%F0%9F%8C%8A%26&code=4001"), Ok(close));
        assert_eq!(Route::of("/close"), Ok(Route::Close { code: None, reason: String::new() }));
        assert_eq!(Route::of("/raw?hex="), Ok(Route::Raw(vec![])));
        assert_eq!(Route::of("/raw?hex=81ff0A"), Ok(Route::Raw(vec![0x81, 0xff, 0x0a])));
        assert_eq!(
            Route::of("/echo?digest=1&x=2"),
            Ok(Route::Echo(Echo { digest: true, ..Echo::default() }))
        );
        let echo = Echo { deflate: true, ping_after: Some(Duration::from_millis(300)), digest: false };
        assert_eq!(Route::of("/subprotocol?deflate=1&ping=300"), Ok(Route::Subprotocol(echo)));
        assert_eq!(Route::of("/watch?run=a%20b"), Ok(Route::Watch { run: "a b".into() }));
        assert_eq!(Route::of("/echo?"), Ok(Route::Echo(Echo::default())));
        let shape = shape(NonZeroU32::new(2_000_000).unwrap(), 20).unwrap();
        assert_eq!(Route::of("/link?rate=2000000&delay=20"), Ok(Route::Link(shape)));
        assert_eq!(Route::of("/upload"), Ok(Route::Upload { every: None }));
        assert_eq!(Route::of("/flood?messages=3&bytes=0"), Ok(Route::Flood { messages: 3, bytes: 0 }));
        let streamed = Streamed { messages: 3, bytes: 9, has_priorities: false, delay: None };
        assert_eq!(Route::of("/stream?messages=3&bytes=9"), Ok(Route::Stream(streamed.clone())));
        let streamed = Streamed { has_priorities: true, delay: Some(Duration::from_millis(50)), ..streamed };
        let target = "/stream?messages=3&bytes=9&priorities=1&delay=50";
        assert_eq!(Route::of(target), Ok(Route::Stream(streamed)));
    }

    #[test]
    fn what_is_wrong_or_out_of_bounds_is_named() {
        for (target, name) in [
            ("/close?code=65536", "code"),
            ("/close?code=x", "code"),
            ("/echo?ping=60001", "ping"),
            ("/arrivals", "run"),
            ("/push?messages=1&bytes=1", "run"),
            ("/push?run=a&messages=1&bytes=67108865", "bytes"),
            ("/watch?name=a", "run"),
            ("/status", "code"),
            ("/status?code=101", "code"),
            ("/raw", "hex"),
            ("/raw?hex=8", "hex"),
            ("/raw?hex=+1", "hex"),
            ("/raw?hex=%C3%A9", "hex"),
            ("/link?delay=1", "rate"),
            ("/link?rate=0&delay=1", "rate"),
            ("/link?rate=1", "delay"),
            ("/link?rate=1&delay=10001", "delay"),
            ("/reset", "after"),
            ("/reset?after=67108865", "after"),
            ("/stall?seconds=3601", "seconds"),
            ("/upload?every=0", "every"),
            ("/flood?bytes=1", "messages"),
            ("/stream?messages=1", "bytes"),
            ("/stream?messages=1&bytes=1&delay=4", "delay"),
            ("/stream?messages=1&bytes=1&delay=501", "delay"),
            ("/flood?messages=10000001&bytes=1", "messages"),
            ("/flood?messages=1&bytes=67108865", "bytes"),
            ("/flood?messages=65&bytes=67108864", "bytes"),
        ] {
            assert_eq!(Route::of(target), Err(Unknown::Query(name)), "{target}");
        }
        for target in ["/", "", "/echos", "/echo/", "http://localhost/echo"] {
            assert_eq!(Route::of(target), Err(Unknown::Path), "{target}");
        }
    }
}

//! The parameters of permessage-deflate in offer and answer.
//!
//! Not here: the header field that they travel in.

use core::fmt::Write as _;

use crate::proto::ws::message::Role;

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The largest window, 32 KiB, and what counts where no parameter says otherwise.
const MOST_BITS: u8 = 15;
/// The smallest window that zlib can compress with where there is no header (raw deflate).
const LEAST_BITS_TO_DEFLATE: u8 = 9;

/// What this endpoint wants of permessage-deflate; taste, not safety.
///
/// What is inflated is bounded by [`Limits::max_message_bytes`](crate::proto::ws::Limits), to the
/// byte and while it is inflated, whatever is set here.
///
/// # Specification
///
/// [RFC 7692 §7](https://www.rfc-editor.org/rfc/rfc7692#section-7).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::DeflateOptions;
/// let mut options = DeflateOptions::default();
/// options.min_bytes = 256;
/// assert_eq!(options.offer(), "permessage-deflate; client_max_window_bits");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateOptions {
    /// How hard to compress, 1 (fast) to 9 (small); values beyond count as these. Default 6.
    pub level: u8,
    /// Whole messages below this many bytes go uncompressed. Default 128: a shorter one gains less
    /// than its deflate block costs, unless the same was said just before.
    pub min_bytes: usize,
    /// Whether the server starts every message with an empty window. Default false.
    ///
    /// It then compresses worse and keeps no window between messages.
    pub server_no_context_takeover: bool,
    /// Whether the client does. Default false.
    pub client_no_context_takeover: bool,
    /// Largest window of the server, as a power of two, 9 to 15; values beyond count as these.
    /// Default 15.
    pub server_max_window_bits: u8,
    /// Largest window of the client, likewise. A server can ask for less than 15 only of a client
    /// that says it can do so. Default 15.
    pub client_max_window_bits: u8,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            level: 6,
            min_bytes: 128,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MOST_BITS,
            client_max_window_bits: MOST_BITS,
        }
    }
}

impl DeflateOptions {
    /// The value of `Sec-WebSocket-Extensions` by which a client offers the extension.
    ///
    /// What is wanted comes first; if that is more than the plain extension, the plain one follows,
    /// for a server that would otherwise decline.
    #[must_use]
    pub fn offer(&self) -> String {
        let (server, client) = (self.bits(Role::Server), self.bits(Role::Client));
        let mut wanted = NAME.to_owned();
        push_flags(&mut wanted, self.server_no_context_takeover, self.client_no_context_takeover);
        if server < MOST_BITS {
            push_bits(&mut wanted, SERVER_BITS, server);
        }
        if client < MOST_BITS {
            push_bits(&mut wanted, CLIENT_BITS, client);
        } else {
            wanted = wanted + "; " + CLIENT_BITS;
        }
        let plain = format!("{NAME}; {CLIENT_BITS}");
        if wanted == plain { plain } else { format!("{wanted}, {plain}") }
    }

    /// The largest window that `role` is to use.
    fn bits(&self, role: Role) -> u8 {
        let bits = match role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        };
        bits.clamp(LEAST_BITS_TO_DEFLATE, MOST_BITS)
    }

    fn agreed(self, parameters: Parameters) -> Deflate {
        Deflate {
            level: self.level.clamp(1, 9),
            min_bytes: self.min_bytes,
            server_no_context_takeover: parameters.server_no_context_takeover,
            client_no_context_takeover: parameters.client_no_context_takeover,
            names_server_bits: parameters.server_max_window_bits.is_some(),
            server_max_window_bits: parameters.server_max_window_bits.unwrap_or(MOST_BITS),
            client_max_window_bits: parameters.client_max_window_bits.unwrap_or(MOST_BITS),
        }
    }
}

/// The extension as both sides have agreed on it, for [`Connection`](crate::proto::ws::Connection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    pub(super) level: u8,
    pub(super) min_bytes: usize,
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    /// The server's window stands in the answer, as it must if it stands in the offer, whatever it is.
    names_server_bits: bool,
    /// Invariant: `8 <= bits <= MOST_BITS`, of both; the RFC allows no smaller one.
    server_max_window_bits: u8,
    client_max_window_bits: u8,
}

impl Deflate {
    /// Whether `role` starts every message with an empty window.
    #[must_use]
    pub const fn no_context_takeover(&self, role: Role) -> bool {
        match role {
            Role::Server => self.server_no_context_takeover,
            Role::Client => self.client_no_context_takeover,
        }
    }

    /// The largest window that `role` uses, as a power of two, 8 to 15.
    #[must_use]
    pub const fn max_window_bits(&self, role: Role) -> u8 {
        match role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
    }

    /// The value of `Sec-WebSocket-Extensions` by which a server answers.
    pub(in super::super) fn answer(&self) -> String {
        let mut text = NAME.to_owned();
        push_flags(&mut text, self.server_no_context_takeover, self.client_no_context_takeover);
        if self.names_server_bits {
            push_bits(&mut text, SERVER_BITS, self.server_max_window_bits);
        }
        // RFC 7692 §7.1.2.2: what is not said is 15. Below that the client has said that it can.
        if self.client_max_window_bits < MOST_BITS {
            push_bits(&mut text, CLIENT_BITS, self.client_max_window_bits);
        }
        text
    }

    /// The window to compress with as `role`, if zlib can; otherwise every message goes
    /// uncompressed, which is always allowed.
    pub(super) fn bits_to_deflate(&self, role: Role) -> Option<u8> {
        Some(self.max_window_bits(role)).filter(|bits| *bits >= LEAST_BITS_TO_DEFLATE)
    }
}

/// An element that is not what RFC 7692 §7.1 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// An extension that was not offered.
    Unoffered,
    /// A parameter that is unknown, doubled, or without a valid value.
    Invalid,
}

/// What a server answers to the elements of a client's `Sec-WebSocket-Extensions`: the first offer
/// that it can keep. `None` if there is none.
pub(in super::super) fn answer<'a>(
    options: &DeflateOptions,
    offers: impl Iterator<Item = &'a [u8]>,
) -> Option<Deflate> {
    let mut offered = offers.filter_map(|element| Parameters::parse(element, true).ok());
    offered.find_map(|mut parameters| {
        let own = options.bits(Role::Server);
        // RFC 7692 §7.1.2.1: if it is offered it is answered, with the same or a smaller value. zlib cannot
        // keep to 8.
        let server = parameters.server_max_window_bits.map_or(own, |bits| bits.min(own));
        if server < LEAST_BITS_TO_DEFLATE {
            return None;
        }
        if server < MOST_BITS {
            parameters.server_max_window_bits = Some(server);
        }
        // RFC 7692 §7.1.2.2: only of a client that has offered it. Inflating takes any window, so
        // that less is asked for only if this side was told to.
        let most = options.bits(Role::Client);
        parameters.client_max_window_bits = parameters.client_max_window_bits.map(|bits| bits.min(most));
        parameters.server_no_context_takeover |= options.server_no_context_takeover;
        parameters.client_no_context_takeover |= options.client_no_context_takeover;
        Some(options.agreed(parameters))
    })
}

/// What a client that has sent [`DeflateOptions::offer`] makes of the elements of the server's
/// `Sec-WebSocket-Extensions`.
///
/// The plain offer is always among those that were made, and allows every valid answer.
pub(in super::super) fn accept<'a>(
    options: &DeflateOptions,
    mut elements: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Deflate>, Fault> {
    let Some(element) = elements.next() else { return Ok(None) };
    let parameters = Parameters::parse(element, false)?;
    match elements.next() {
        None => Ok(Some(options.agreed(parameters))),
        Some(second) => Err(Parameters::parse(second, false).err().unwrap_or(Fault::Invalid)),
    }
}

/// One element of the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// 15 where an offer has it without a value, which is as much as to say.
    client_max_window_bits: Option<u8>,
}

impl Parameters {
    fn parse(element: &[u8], is_offer: bool) -> Result<Self, Fault> {
        let text = core::str::from_utf8(element).map_err(|_| Fault::Unoffered)?;
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        if parts.next() != Some(NAME) {
            return Err(Fault::Unoffered);
        }
        let mut parsed = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
                None => (part, None),
            };
            let is_new = match (name, value) {
                (SERVER_NO_CONTEXT, None) => {
                    !core::mem::replace(&mut parsed.server_no_context_takeover, true)
                }
                (CLIENT_NO_CONTEXT, None) => {
                    !core::mem::replace(&mut parsed.client_no_context_takeover, true)
                }
                (SERVER_BITS, Some(value)) => parsed.server_max_window_bits.replace(bits(value)?).is_none(),
                (CLIENT_BITS, Some(value)) => parsed.client_max_window_bits.replace(bits(value)?).is_none(),
                // RFC 7692 §7.1.2.2: only an offer may leave the value out.
                (CLIENT_BITS, None) if is_offer => parsed.client_max_window_bits.replace(MOST_BITS).is_none(),
                _ => false,
            };
            // RFC 7692 §7.1: a parameter that is not known, or there twice, declines the element.
            if !is_new {
                return Err(Fault::Invalid);
            }
        }
        Ok(parsed)
    }
}

fn push_flags(text: &mut String, server_no_context: bool, client_no_context: bool) {
    for (parameter, set) in [(SERVER_NO_CONTEXT, server_no_context), (CLIENT_NO_CONTEXT, client_no_context)] {
        if set {
            *text += "; ";
            *text += parameter;
        }
    }
}

fn push_bits(text: &mut String, parameter: &str, bits: u8) {
    // Writing to a `String` does not fail.
    let _ = write!(text, "; {parameter}={bits}");
}

/// RFC 7692 §7.1.2.1: a decimal number from 8 to 15 without leading zeros; RFC 6455 §9.1 lets it
/// stand in quotes.
fn bits(value: &str) -> Result<u8, Fault> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err(Fault::Invalid),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn elements(value: &str) -> impl Iterator<Item = &[u8]> {
        value.split(',').map(|element| element.trim().as_bytes()).filter(|element| !element.is_empty())
    }

    fn answered(options: &DeflateOptions, offer: &str) -> Option<String> {
        answer(options, elements(offer)).map(|agreed| agreed.answer())
    }

    #[test]
    fn offers_have_fallbacks() {
        let mut options = DeflateOptions::default();
        assert_eq!(options.offer(), "permessage-deflate; client_max_window_bits");
        options.server_max_window_bits = 10;
        options.client_max_window_bits = 3;
        options.client_no_context_takeover = true;
        assert_eq!(
            options.offer(),
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=9, permessage-deflate; client_max_window_bits"
        );
    }

    #[test]
    fn b64_a_server_keeps_what_it_answers() {
        let options = DeflateOptions::default();
        for (offer, expected) in [
            ("permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; client_max_window_bits", Some("permessage-deflate")),
            (
                "permessage-deflate; client_max_window_bits=10",
                Some("permessage-deflate; client_max_window_bits=10"),
            ),
            (
                "permessage-deflate; client_max_window_bits=\"8\"",
                Some("permessage-deflate; client_max_window_bits=8"),
            ),
            (
                "permessage-deflate; server_max_window_bits=12; server_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=12"),
            ),
            (
                "permessage-deflate ;\tserver_max_window_bits = 15",
                Some("permessage-deflate; server_max_window_bits=15"),
            ),
            // zlib cannot keep to 8, so that the next offer counts.
            ("permessage-deflate; server_max_window_bits=8", None),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some("permessage-deflate")),
            ("x-webkit-deflate-frame, permessage-deflate", Some("permessage-deflate")),
            ("x-webkit-deflate-frame", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=0", None),
            ("permessage-deflate; server_max_window_bits=09", None),
            ("permessage-deflate; server_max_window_bits=1 0", None),
            ("permessage-deflate; client_max_window_bits=7", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
            ("permessage-deflate; unknown", None),
            ("permessage-deflate;", None),
            ("", None),
        ] {
            assert_eq!(answered(&options, offer).as_deref(), expected, "{offer}");
        }
    }

    #[test]
    fn a_server_asks_for_what_it_was_told_to_where_it_may() {
        let options = DeflateOptions {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 11,
            client_max_window_bits: 12,
            ..DeflateOptions::default()
        };
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=11";
        assert_eq!(answered(&options, "permessage-deflate").unwrap(), plain);
        let with =
            |bits: &str| answered(&options, &format!("permessage-deflate; client_max_window_bits{bits}"));
        assert_eq!(with("").unwrap(), format!("{plain}; client_max_window_bits=12"));
        assert_eq!(with("=14").unwrap(), format!("{plain}; client_max_window_bits=12"));
        assert_eq!(with("=10").unwrap(), format!("{plain}; client_max_window_bits=10"));
    }

    #[test]
    fn b64_a_client_refuses_what_no_offer_of_its_own_allows() {
        let options = DeflateOptions::default();
        let accepted = |value: &str| accept(&options, elements(value));
        assert_eq!(accepted(""), Ok(None));
        let plain = accepted("permessage-deflate").unwrap().unwrap();
        assert_eq!((plain.max_window_bits(Role::Server), plain.max_window_bits(Role::Client)), (15, 15));
        let all = "permessage-deflate; client_max_window_bits=8; server_max_window_bits=\"9\"; \
                   client_no_context_takeover; server_no_context_takeover";
        let all = accepted(all).unwrap().unwrap();
        assert!(all.no_context_takeover(Role::Server) && all.no_context_takeover(Role::Client));
        assert_eq!((all.bits_to_deflate(Role::Server), all.bits_to_deflate(Role::Client)), (Some(9), None));
        for (value, fault) in [
            ("permessage-bzip2", Fault::Unoffered),
            ("permessage-deflate, x-other", Fault::Unoffered),
            ("permessage-deflate, permessage-deflate", Fault::Invalid),
            ("permessage-deflate; client_max_window_bits", Fault::Invalid),
            ("permessage-deflate; client_max_window_bits=16", Fault::Invalid),
            ("permessage-deflate; server_max_window_bits=0", Fault::Invalid),
            ("permessage-deflate; server_max_window_bits=7", Fault::Invalid),
            ("permessage-deflate; server_max_window_bits=255", Fault::Invalid),
            ("permessage-deflate; server_no_context_takeover=true", Fault::Invalid),
            ("permessage-deflate; nonsense=1", Fault::Invalid),
        ] {
            assert_eq!(accepted(value), Err(fault), "{value}");
        }
    }

    #[test]
    fn every_pair_of_options_agrees() {
        let sides = |bits: u32| DeflateOptions {
            server_no_context_takeover: bits & 1 != 0,
            client_no_context_takeover: bits & 2 != 0,
            server_max_window_bits: if bits & 4 != 0 { 10 } else { 15 },
            client_max_window_bits: if bits & 8 != 0 { 11 } else { 15 },
            ..DeflateOptions::default()
        };
        for client in (0..16).map(sides) {
            for server in (0..16).map(sides) {
                let offer = client.offer();
                let at_server = answer(&server, elements(&offer)).unwrap();
                let value = at_server.answer();
                let at_client = accept(&client, elements(&value)).unwrap().unwrap();
                assert_eq!(at_client, at_server, "{offer} -> {value}");
            }
        }
    }
}

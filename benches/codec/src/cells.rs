//! The cells: what is done, with payloads of which size, and who takes part.
//!
//! Not here: how each library does it (`peers`).

use ::tidegate::proto::ws::Role;

use crate::peers::tidegate::{Fastrand, Keys};
use crate::peers::{Made, fastwebsockets, sockudo, tidegate, tokio_websockets, tungstenite, yawc};
use crate::subject::Subject;
use crate::wire::{Content, SIZES, Wire, payloads_of};

/// One thing to do. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Frames out of bytes that are copied into the decoder's buffer.
    Decode,
    /// Frames out of bytes that lie in the caller's buffer.
    InPlace,
    /// [`What::Decode`] of texts in English.
    Ascii,
    /// [`What::Decode`] of texts in several scripts.
    Mixed,
    /// Masked frames of payloads that are kept.
    Encode,
    /// Masked frames of payloads that may be overwritten.
    EncodeInPlace,
    /// Owned messages out of a whole connection.
    Owned,
    /// [`What::Owned`] of texts that are compressed.
    Inflate,
    /// The same texts as binary messages, so that nobody looks whether they are UTF-8.
    InflateBinary,
    /// Compressed messages, masked.
    DeflateClient,
    /// Compressed messages, not masked.
    DeflateServer,
}

impl What {
    const ALL: [Self; 11] = [
        Self::Decode,
        Self::InPlace,
        Self::Ascii,
        Self::Mixed,
        Self::Encode,
        Self::EncodeInPlace,
        Self::Owned,
        Self::Inflate,
        Self::InflateBinary,
        Self::DeflateClient,
        Self::DeflateServer,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::InPlace => "in-place",
            Self::Ascii => "text-ascii",
            Self::Mixed => "text-mixed",
            Self::Encode => "encode",
            Self::EncodeInPlace => "encode-in-place",
            Self::Owned => "owned",
            Self::Inflate => "inflate",
            Self::InflateBinary => "inflate-binary",
            Self::DeflateClient => "deflate-client",
            Self::DeflateServer => "deflate-server",
        }
    }

    const fn content(self) -> Content {
        match self {
            Self::Ascii => Content::Ascii,
            Self::Mixed => Content::Mixed,
            Self::Inflate => Content::Records,
            Self::InflateBinary | Self::DeflateClient | Self::DeflateServer => Content::BinaryRecords,
            _ => Content::Binary,
        }
    }

    /// Nothing is gained by compressing what is shorter than a frame's header.
    const fn sizes(self) -> &'static [usize] {
        let [_, larger @ ..] = &SIZES;
        match self {
            Self::Inflate | Self::InflateBinary | Self::DeflateClient | Self::DeflateServer => larger,
            _ => &SIZES,
        }
    }

    /// In which role what is shown was encoded, if it was.
    const fn encoder(self) -> Option<Role> {
        match self {
            Self::Encode | Self::EncodeInPlace | Self::DeflateClient => Some(Role::Client),
            Self::DeflateServer => Some(Role::Server),
            _ => None,
        }
    }
}

/// A [`What`] with payloads of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    what: What,
    /// The size of each payload.
    pub(crate) bytes: usize,
}

/// A cell that is ready to be measured.
pub(crate) struct Ready {
    cell: Cell,
    wire: Wire,
    made: Made,
    /// The libraries, with the part of them that is used where that is not obvious.
    pub(crate) names: Vec<&'static str>,
    /// Of each, the bytes on the wire in those of the messages, where that is what there is to see.
    pub(crate) shares: Option<Vec<f64>>,
}

impl Ready {
    /// Fresh subjects, in the order of the names, each with memory of its own.
    pub(crate) fn subjects(&self) -> Vec<Box<dyn Subject>> {
        let subjects = self.cell.subjects(&self.wire.moved(), &self.made);
        subjects.into_iter().map(|(_, subject)| subject).collect()
    }
}

impl Cell {
    /// All cells whose names begin with `prefix`.
    pub(crate) fn all(prefix: &str) -> Vec<Self> {
        let cells = What::ALL
            .into_iter()
            .flat_map(|what| what.sizes().iter().map(move |&bytes| Self { what, bytes }));
        cells.filter(|cell| cell.name().starts_with(prefix)).collect()
    }

    /// As in `decode/16`.
    pub(crate) fn name(self) -> String {
        format!("{}/{}", self.what.name(), self.bytes)
    }

    /// What is done, without the size.
    pub(crate) const fn what(self) -> &'static str {
        self.what.name()
    }

    /// Makes the subjects and compares what each makes of the input with the input, byte by byte.
    ///
    /// # Panics
    ///
    /// If one of them is wrong.
    pub(crate) fn ready(self) -> Ready {
        let mut wire = Wire::new(self.what.content(), self.bytes);
        if matches!(self.what, What::Inflate | What::InflateBinary) {
            wire = tidegate::deflated(wire);
        }
        let made = match self.what {
            What::DeflateClient | What::DeflateServer => Made::all(&wire),
            _ => Made::new(&wire),
        };
        let (names, mut subjects): (Vec<_>, Vec<_>) = self.subjects(&wire, &made).into_iter().unzip();
        let expected = if self.what.encoder().is_some() { &made.payloads } else { &wire.payloads };
        let mut shares = Vec::new();
        for (name, subject) in names.iter().zip(&mut subjects) {
            subject.refresh();
            let mut shown = subject.show();
            if let Some(role) = self.what.encoder() {
                let bytes = shown.concat();
                shown = payloads_of(&bytes, role == Role::Client);
                shares.push(share(bytes.len(), shown.iter().map(Vec::len).sum()));
            }
            // What is prepared for a pass, or comes in one read, may be more than goes once through.
            let whole = shown.len() >= expected.len();
            let equal = shown.iter().zip(expected.iter().cycle()).all(|(one, other)| one == other);
            assert!(whole && equal, "{name} gets {} wrong", self.name());
        }
        let deflates = matches!(self.what, What::DeflateClient | What::DeflateServer);
        Ready { cell: self, wire, made, names, shares: deflates.then_some(shares) }
    }

    fn subjects(self, wire: &Wire, made: &Made) -> Vec<(&'static str, Box<dyn Subject>)> {
        let made = || made.clone();
        match self.what {
            What::Decode | What::Ascii | What::Mixed => vec![
                ("tidegate", Box::new(tidegate::Copied::new(wire))),
                ("tungstenite", Box::new(tungstenite::Whole::new(wire))),
                ("tokio-websockets", Box::new(tokio_websockets::Whole::new(wire))),
                ("fastwebsockets", Box::new(fastwebsockets::Frames::new(wire))),
                ("yawc codec", Box::new(yawc::Copied::new(wire))),
                ("sockudo parser", Box::new(sockudo::ParserCopied::new(wire))),
                ("sockudo protocol", Box::new(sockudo::ProtocolCopied::new(wire))),
            ],
            What::InPlace => vec![
                ("tidegate", Box::new(tidegate::Lent::new(wire))),
                ("yawc codec", Box::new(yawc::InPlace::new(wire))),
                ("sockudo parser", Box::new(sockudo::ParserInPlace::new(wire))),
                ("sockudo protocol", Box::new(sockudo::ProtocolInPlace::new(wire))),
            ],
            What::Encode => vec![
                ("tidegate", Box::new(tidegate::Kept::new(Keys::new(), made()))),
                ("tidegate fastrand", Box::new(tidegate::Kept::new(Fastrand, made()))),
                ("tungstenite", Box::new(tungstenite::Kept::new(made()))),
                ("tokio-websockets", Box::new(tokio_websockets::Kept::new(made()))),
                ("fastwebsockets", Box::new(fastwebsockets::Kept::new(made()))),
                ("yawc codec", Box::new(yawc::Kept::new(made()))),
                ("sockudo frame", Box::new(sockudo::Kept::new(made()))),
            ],
            What::EncodeInPlace => vec![
                ("tidegate", Box::new(tidegate::InPlace::new(Keys::new(), made()))),
                ("tidegate fastrand", Box::new(tidegate::InPlace::new(Fastrand, made()))),
                ("tokio-websockets", Box::new(tokio_websockets::InPlace::new(made()))),
                ("fastwebsockets", Box::new(fastwebsockets::InPlace::new(made()))),
                ("sockudo frame", Box::new(sockudo::InPlace::new(made()))),
            ],
            What::Owned => vec![
                ("tidegate", Box::new(tidegate::Whole::new(wire))),
                ("tungstenite", Box::new(tungstenite::Whole::new(wire))),
                ("tokio-websockets", Box::new(tokio_websockets::Whole::new(wire))),
                ("fastwebsockets", Box::new(fastwebsockets::Whole::new(wire))),
                ("yawc", Box::new(yawc::Whole::new(wire))),
                ("sockudo", Box::new(sockudo::Whole::new(wire))),
            ],
            What::Inflate | What::InflateBinary => vec![
                ("tidegate", Box::new(tidegate::Whole::inflating(wire))),
                ("yawc", Box::new(yawc::Whole::inflating(wire))),
                ("sockudo", Box::new(sockudo::Inflating::new(wire))),
                ("sockudo protocol", Box::new(sockudo::ProtocolInflating::new(wire))),
            ],
            What::DeflateClient | What::DeflateServer => {
                let role = self.what.encoder().unwrap_or(Role::Client);
                vec![
                    ("tidegate", Box::new(tidegate::Kept::deflating(role, Keys::new(), made()))),
                    ("yawc", Box::new(yawc::Deflating::new(role, made()))),
                    ("sockudo protocol", Box::new(sockudo::Deflating::new(role, made()))),
                ]
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a cell has far fewer than 2^53 bytes")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

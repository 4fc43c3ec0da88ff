//! permessage-deflate: what both sides agree on, and the two streams that follow from it.
//!
//! Without the feature `deflate` nothing can be agreed on, and the streams are types without a value.
//!
//! Not here: frame headers and their RSV1 bit, which the decoder and the encoder set and read.

#[cfg(feature = "deflate")]
mod negotiation;
#[cfg(feature = "deflate")]
mod stream;

#[cfg(not(feature = "deflate"))]
mod stream {
    //! Streams that are never made.

    use crate::proto::error::ProtocolError;
    use crate::proto::ws::message::MessageKind;

    #[derive(Debug)]
    pub(in super::super) enum Inflater {}

    impl Inflater {
        pub(in super::super) const fn inflate(
            &mut self,
            _: MessageKind,
            _: &[u8],
            _: bool,
            _: &mut Vec<u8>,
        ) -> Result<(), ProtocolError> {
            match *self {}
        }
    }

    #[derive(Debug)]
    pub(in super::super) enum Deflater {}

    impl Deflater {
        pub(in super::super) const fn wants(&self, _: usize, _: bool) -> bool {
            match *self {}
        }

        pub(in super::super) const fn deflate(&mut self, _: &[u8], _: bool) -> &[u8] {
            match *self {}
        }
    }
}

#[cfg(feature = "deflate")]
pub use negotiation::{Deflate, DeflateOptions};
#[cfg(feature = "deflate")]
pub(super) use negotiation::{Fault, accept, answer};
pub(super) use stream::{Deflater, Inflater};

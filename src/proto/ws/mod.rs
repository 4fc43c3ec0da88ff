//! RFC 6455 as pure state machines: bytes in, messages out, and back.

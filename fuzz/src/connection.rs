//! Two `Connection`s of opposite roles and the bytes between them, whatever is done in whatever order.
//!
//! An input is a list of operations: sending whole messages, parts, pings, pongs and closes from either side,
//! moving some of the bytes that wait, polling, bytes that nobody sent, and the end of the transport at any
//! point. Each side's book says what it was asked to send; what the other side sees is held against it.

use core::num::NonZeroUsize;

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    CloseCode, CloseFrame, Connection, Event, Limits, Message, MessageKind, Role, SendError, State,
};

use super::input::Input;

/// Most operations of one input.
const MOST_OPERATIONS: usize = 600;

/// Most frames that one side is asked to send, or a long message in single bytes takes all the time.
const MOST_FRAMES: usize = 100_000;

/// More than any header has.
const HEADER: usize = 14;

/// The pongs that an endpoint may hold at most, and its close frame.
const OWN_FRAMES: usize = 18 * (HEADER + 125);

/// One endpoint, and what it was asked to do.
struct End {
    connection: Connection,
    limits: Limits,
    /// What the peer must see, in this order: messages that were finished, pings, pongs, a close.
    sent: Vec<Event>,
    /// Bytes of a frame, and frames that may still be asked for.
    fragment: usize,
    frames_left: usize,
    /// Most bytes that a single call may have queued.
    largest: usize,
    /// The parts of the message that is being sent.
    open: Option<(MessageKind, Vec<u8>)>,
    /// How many of the peer's `sent` have come.
    seen: usize,
    /// The payloads of the peer's pings that have come.
    pings: Vec<Vec<u8>>,
    /// How far the peer has answered those that it got from here.
    answered: usize,
    /// Bytes that have left, on their way to the peer.
    pipe: Vec<u8>,
    /// The peer's close has come.
    closed: bool,
    /// The peer's pipe was tampered with: what comes from it is anything, or nothing.
    is_spoilt: bool,
    failed: Option<ProtocolError>,
    keys: u32,
}

/// A key that is never twice the same within an input.
fn key(keys: &mut u32) -> [u8; 4] {
    *keys = keys.wrapping_mul(0x915f_77f5).wrapping_add(0x9e37_79b9);
    keys.to_be_bytes()
}

impl End {
    fn new(role: Role, choice: u8) -> Self {
        let mut limits = Limits::default();
        limits.max_output_bytes = [usize::MAX, 0, 1, 100, 5_000, 1 << 20][usize::from(choice & 15) % 6];
        match choice >> 4 & 7 {
            1 => limits.max_message_bytes = 300,
            2 => limits.max_frame_bytes = 130,
            3 => limits.max_fragments = 4,
            4 => limits.max_control_frames = Some(3),
            _ => {}
        }
        Self {
            connection: Connection::new(role, limits),
            limits,
            sent: Vec::new(),
            fragment: usize::MAX,
            frames_left: MOST_FRAMES,
            largest: 0,
            open: None,
            seen: 0,
            pings: Vec::new(),
            answered: 0,
            pipe: Vec::new(),
            closed: false,
            is_spoilt: false,
            failed: None,
            keys: u32::from(choice),
        }
    }

    /// Judges the result of something that was to be queued, against what was true before.
    fn check_sent(&mut self, result: Result<(), SendError>, before: (State, usize), bytes: usize) -> bool {
        let (state, pending) = before;
        let is_full = pending > 0 && pending >= self.limits.max_output_bytes;
        match result {
            Ok(()) => {
                assert!(state == State::Open && !is_full, "taken in {state:?} with {pending} waiting");
                let now = self.connection.pending();
                assert!(now <= pending + bytes, "{now} bytes of {pending} and {bytes}");
                self.largest = self.largest.max(bytes);
            }
            Err(error) => {
                assert_eq!(self.connection.pending(), pending, "nothing was queued");
                match error {
                    SendError::Closing => assert_ne!(state, State::Open),
                    SendError::OutputFull { pending: told } => assert!(is_full && told == pending),
                    SendError::UnfinishedMessage { open } => {
                        assert_eq!(self.open.as_ref().map(|(kind, _)| *kind), Some(open));
                    }
                    SendError::InvalidUtf8 | SendError::ControlTooLong { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        result.is_ok()
    }

    /// What waits is bounded, whatever the peer asks for.
    fn check_bound(&self) {
        let most = self.limits.max_output_bytes.saturating_add(self.largest + OWN_FRAMES);
        assert!(self.connection.pending() <= most, "{} bytes wait of {most}", self.connection.pending());
    }

    fn before(&self) -> (State, usize) {
        (self.connection.state(), self.connection.pending())
    }

    /// So long a message, or an empty one if that would be too many frames.
    fn length(&mut self, wanted: usize) -> usize {
        match self.frames_left.checked_sub(wanted / self.fragment) {
            Some(left) => {
                self.frames_left = left;
                wanted
            }
            None => 0,
        }
    }

    fn send_whole(&mut self, message: Message) {
        let before = self.before();
        let keys = &mut self.keys;
        let result = match &message {
            Message::Text(text) => self.connection.send_text(text, || key(keys)),
            Message::Binary(bytes) => self.connection.send_binary(bytes, || key(keys)),
        };
        let len = message.as_bytes().len();
        if self.check_sent(result, before, len + HEADER * (len + 1)) {
            assert!(self.open.is_none(), "not inside another message");
            self.sent.push(Event::Message(message));
        }
    }

    fn send_part(&mut self, kind: MessageKind, part: &[u8], fin: bool) {
        let before = self.before();
        let keys = &mut self.keys;
        let result = self.connection.send_message(kind, part, fin, || key(keys));
        if !self.check_sent(result, before, part.len() + HEADER * (part.len() + 1)) {
            return;
        }
        // An empty part that does not end the message does not begin it either.
        if part.is_empty() && !fin {
            return;
        }
        let (open, mut content) = self.open.take().unwrap_or((kind, Vec::new()));
        assert_eq!(open, kind, "not of another kind than it began with");
        content.extend_from_slice(part);
        if !fin {
            self.open = Some((kind, content));
        } else if kind == MessageKind::Text {
            let text = String::from_utf8(content).expect("a text that may be sent is UTF-8");
            self.sent.push(Event::Message(text.into()));
        } else {
            self.sent.push(Event::Message(content.into()));
        }
    }

    fn send_control(&mut self, payload: Vec<u8>, is_ping: bool) {
        let before = self.before();
        let keys = &mut self.keys;
        let result = if is_ping {
            self.connection.send_ping(&payload, || key(keys))
        } else {
            self.connection.send_pong(&payload, || key(keys))
        };
        if self.check_sent(result, before, payload.len() + HEADER) {
            self.sent.push(if is_ping { Event::Ping(payload) } else { Event::Pong(payload) });
        }
    }

    fn send_close(&mut self, close: Option<CloseFrame>) {
        let state = self.connection.state();
        let keys = &mut self.keys;
        match self.connection.send_close(close.as_ref(), || key(keys)) {
            Ok(()) => {
                assert_eq!(state, State::Open);
                self.sent.push(Event::Close(close));
            }
            Err(error) => {
                assert_ne!(state, State::Open);
                assert_eq!(error, SendError::Closing);
            }
        }
        assert!(!self.connection.can_send());
    }

    /// Moves up to `n` of the bytes that wait onto the wire.
    fn write(&mut self, n: usize) -> bool {
        let n = n.min(self.connection.pending());
        self.pipe.extend_from_slice(&self.connection.output()[..n]);
        self.connection.consume(n);
        n > 0
    }

    /// Takes up to `n` bytes off the peer's wire.
    fn read(&mut self, peer: &mut Self, n: usize) -> bool {
        let spare = self.connection.spare();
        assert!(!spare.is_empty());
        let n = n.min(peer.pipe.len()).min(spare.len());
        spare[..n].copy_from_slice(&peer.pipe[..n]);
        peer.pipe.drain(..n);
        self.connection.filled(n);
        n > 0
    }

    /// Polls once, and holds what comes against the peer's book. False if there is nothing.
    fn poll(&mut self, peer: &Self) -> bool {
        let keys = &mut self.keys;
        let event = match self.connection.poll_event(|| key(keys)) {
            Ok(Some(event)) => event,
            Ok(None) => return false,
            Err(error) => return self.fail(error),
        };
        assert!(!self.closed, "nothing comes after the peer's close");
        assert_eq!(self.failed, None, "nothing comes after a fault");
        if let Event::Ping(payload) = &event {
            self.pings.push(payload.clone());
        }
        self.closed = matches!(event, Event::Close(_));
        if self.is_spoilt {
            return true;
        }
        match (&event, peer.sent.get(self.seen)) {
            (event, Some(expected)) if event == expected => self.seen += 1,
            // It answers what others have put into its ear.
            (Event::Pong(_) | Event::Close(_), _) if peer.is_spoilt => {}
            // An answer to one of our own pings, not the oldest necessarily, but never twice and never
            // out of turn.
            (Event::Pong(payload), _) => {
                let mut ours = peer.pings.iter().skip(self.answered);
                let at = ours.position(|ping| ping == payload);
                self.answered += 1 + at.expect("a pong that answers a ping");
            }
            // The answer to our close, which echoes its code.
            (Event::Close(echo), None) => {
                let ours = self.sent.iter().find_map(|event| match event {
                    Event::Close(close) => Some(close.as_ref().map(CloseFrame::code)),
                    _ => None,
                });
                let told = peer.failed.map(ProtocolError::close_code);
                let expected = told.map_or(ours, |code| Some(Some(code)));
                assert_eq!(Some(echo.as_ref().map(CloseFrame::code)), expected);
            }
            (event, expected) => panic!("{event:?} came, {expected:?} was sent"),
        }
        true
    }

    /// Takes note of a fault of the peer's. True if it is a new one.
    fn fail(&mut self, error: ProtocolError) -> bool {
        if let Some(first) = self.failed {
            assert_eq!(error, first, "an error is repeated");
            return false;
        }
        self.failed = Some(error);
        assert_eq!(self.connection.state(), State::Failed);
        let limits = &self.limits;
        let defaults = Limits::default();
        let by_limits = match error {
            ProtocolError::MessageTooBig { limit } => {
                limit == limits.max_message_bytes && limit < defaults.max_message_bytes
            }
            ProtocolError::FrameTooBig { limit, .. } => limit == limits.max_frame_bytes && limit == 130,
            // By default as well, where a long message is cut into single bytes.
            ProtocolError::TooManyFragments { limit } => limit == limits.max_fragments,
            ProtocolError::TooManyControlFrames { .. } => limits.max_control_frames.is_some(),
            _ => false,
        };
        assert!(by_limits || self.is_spoilt, "{error:?} for what a peer of ours has sent");
        true
    }
}

/// Carries out the operations of `data`.
///
/// # Panics
///
/// If a message is lost, doubled, changed or out of order, if a close is not what it should be, if a bound is
/// passed, or if a state is wrong.
pub fn connection(data: &[u8]) {
    let mut input = Input::new(data);
    let mut ends = [End::new(Role::Client, input.byte()), End::new(Role::Server, input.byte())];
    let mut number = 0;
    for _ in 0..MOST_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let operation = input.byte();
        let [client, server] = &mut ends;
        let (end, peer) = if operation & 1 == 0 { (client, server) } else { (server, client) };
        number += 1;
        match operation >> 1 & 15 {
            0 => {
                let len = end.length(input.length().min(10_000));
                end.send_whole(Message::Text(text(number, len)));
            }
            1 => {
                let len = end.length(input.length());
                end.send_whole(Message::Binary(pattern(number, len)));
            }
            2 => {
                let (kind, bytes) = (input.flag(), input.run());
                let kind = if kind { MessageKind::Text } else { MessageKind::Binary };
                end.send_part(kind, bytes, operation >= 0x80);
            }
            3 => {
                let kind = end.open.as_ref().map_or(MessageKind::Binary, |(kind, _)| *kind);
                let len = end.length(input.length().min(10_000));
                let content = text(number, len);
                end.send_part(kind, content.as_bytes(), operation >= 0x80);
            }
            4 | 5 => {
                // No two are alike, so that an answer tells what it answers.
                let is_ping = operation >> 1 & 1 == 0;
                let mut payload = vec![u8::from(is_ping)];
                payload.extend(u16::try_from(number).expect("there are not so many").to_be_bytes());
                payload.extend(pattern(number, input.small() % 125));
                end.send_control(payload, is_ping);
            }
            6 => {
                let bytes = NonZeroUsize::new(input.small());
                end.fragment = bytes.map_or(usize::MAX, NonZeroUsize::get);
                end.connection.set_fragment_bytes(bytes);
            }
            7 => {
                let code = u16::from(input.byte()) << 8 | u16::from(input.byte());
                let close = CloseFrame::new(CloseCode::new(code), "over").ok();
                end.send_close(close);
            }
            8 | 9 => drop(end.write(input.length())),
            10 | 11 => drop(end.read(peer, input.length())),
            12 => drop(end.poll(peer)),
            13 => while end.poll(peer) {},
            14 => {
                // Bytes that nobody sent, or that were sent and changed on the way.
                let at = input.small().min(peer.pipe.len());
                if input.flag() || peer.pipe.is_empty() {
                    let bytes = input.run();
                    end.is_spoilt |= !bytes.is_empty();
                    peer.pipe.splice(at..at, bytes.iter().copied());
                } else if let Some(byte) = peer.pipe.get_mut(at) {
                    *byte ^= input.byte();
                    end.is_spoilt = true;
                }
            }
            _ => match input.byte() {
                // The transport ends for one side, which hears nothing more of the other.
                0..16 => {
                    ended(end);
                    return;
                }
                // The allowance of control frames.
                _ => end.connection.renew_control_allowance(),
            },
        }
        end.check_bound();
    }
    finish(&mut ends);
}

/// The transport ends while there may be more to say.
fn ended(end: &mut End) {
    let state = end.connection.state();
    let closed = end.connection.transport_ended();
    assert_eq!(closed.was_clean, state == State::Draining);
    assert_eq!(closed.error, end.failed);
    assert_eq!(closed.code == CloseCode::ABNORMAL, !end.closed);
    assert_eq!(end.connection.transport_ended(), closed, "again the same");
    let keys = &mut end.keys;
    assert_eq!(end.connection.send_text("late", || key(keys)), Err(SendError::Closing));
    let event = end.connection.poll_event(|| key(keys));
    assert_eq!(event, end.failed.map_or(Ok(None), Err));
}

/// Carries what is left both ways, and asks for the last word.
fn finish([client, server]: &mut [End; 2]) {
    loop {
        let mut moved = false;
        for from_client in [true, false] {
            let (end, peer) =
                if from_client { (&mut *client, &mut *server) } else { (&mut *server, &mut *client) };
            moved |= end.write(usize::MAX);
            moved |= peer.read(end, usize::MAX);
            while peer.poll(end) {
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    for (end, peer) in [(&*client, &*server), (&*server, &*client)] {
        assert_eq!(end.connection.pending(), 0);
        if end.is_spoilt || end.failed.is_some() {
            continue;
        }
        assert_eq!(end.seen, peer.sent.len(), "everything that was sent has come");
        // RFC 6455 section 5.5.3: at least the newest ping is answered, unless there was a close.
        let is_open = end.connection.state() == State::Open;
        if is_open && !peer.is_spoilt && !peer.pings.is_empty() {
            assert_eq!(end.answered, peer.pings.len(), "the newest ping is answered");
        }
        let state = peer.connection.state();
        match end.connection.state() {
            State::Open => assert_eq!(state, State::Open),
            State::Draining if !peer.is_spoilt && peer.failed.is_none() => assert_eq!(state, State::Draining),
            State::Draining => {}
            // The peer has failed and told so, or was told that it had.
            other => assert!(peer.is_spoilt || peer.failed.is_some(), "{other:?} and {state:?}"),
        }
        let is_server = end.connection.role() == Role::Server;
        let ends = end.connection.should_end_transport();
        assert_eq!(ends, is_server && end.connection.state() == State::Draining);
    }
    for end in [client, server] {
        if end.failed.is_some() {
            assert!(end.connection.should_end_transport());
        }
        ended(end);
    }
}

/// Bytes that tell one message of a run from all others.
fn pattern(number: usize, len: usize) -> Vec<u8> {
    let start = number.wrapping_mul(0x61c8_8647);
    (0..len).map(|at| start.wrapping_add(at).wrapping_mul(0x2c1b).to_le_bytes()[1]).collect()
}

/// A text of `len` characters of one to four bytes, likewise.
fn text(number: usize, len: usize) -> String {
    let letters = ['a', '\u{e9}', '\u{2022}', '\u{1f30a}', 'z'];
    (0..len).map(|at| letters[(number * 7 + at * at) % letters.len()]).collect()
}

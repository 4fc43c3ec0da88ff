use super::*;

/// An unmasked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let opcode = Opcode::from_bits(first & 0x0f).unwrap();
    let len = payload.len() as u64;
    let header = FrameHeader { fin: first & 0x80 != 0, rsv1: false, opcode, mask: None, len };
    [header.encode().as_bytes(), payload].concat()
}

fn feed(decoder: &mut Decoder, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let spare = decoder.spare();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        decoder.filled(n);
        bytes = &bytes[n..];
    }
}

fn client() -> Decoder {
    Decoder::new(Role::Client, Limits::default())
}

#[test]
fn a_decoder_that_has_failed_keeps_nothing_more() {
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    decoder.receive(&[0xff; 10]);
    assert!(decoder.poll_frame().is_err());
    let before = decoder.capacity();
    decoder.receive(&vec![0; 1 << 20]);
    assert_eq!(decoder.capacity(), before);
    assert!(decoder.poll_frame().is_err());
}

#[test]
fn frames_come_out_whole_at_every_cut() {
    let input = [frame(0x01, b"He"), frame(0x89, b"?"), frame(0x80, b"llo"), frame(0x82, b"")];
    let input = input.concat();
    for cut in 0..=input.len() {
        let mut decoder = client();
        let mut seen = Vec::new();
        for piece in [&input[..cut], &input[cut..]] {
            feed(&mut decoder, piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push((frame.fin, frame.opcode, frame.payload.to_vec()));
            }
        }
        let expected = [
            (false, Opcode::Text, b"He".to_vec()),
            (true, Opcode::Ping, b"?".to_vec()),
            (true, Opcode::Continuation, b"llo".to_vec()),
            (true, Opcode::Binary, Vec::new()),
        ];
        assert_eq!(seen, expected, "cut at {cut}");
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    let mut decoder = client();
    let mut header = vec![0x82, 127];
    header.extend((60_u64 << 20).to_be_bytes());
    feed(&mut decoder, &header);
    assert_eq!(decoder.poll_frame(), Ok(None));
    let mut received = 0;
    for _ in 0..40 {
        feed(&mut decoder, &[7; 10_000]);
        received += 10_000;
        assert_eq!(decoder.poll_frame(), Ok(None));
        assert!(decoder.capacity() <= (2 * received).max(READ_BUFFER), "{received}");
        assert!(!decoder.spare().is_empty());
        assert!(decoder.capacity() <= (2 * received).max(READ_BUFFER), "{received}");
    }
}

#[test]
fn a_large_frame_is_given_away_with_the_buffer() {
    let payload: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let input = [frame(0x82, &payload), frame(0x82, b"next")].concat();
    let mut decoder = client();
    let mut taken = None;
    let mut rest = &input[..];
    while !rest.is_empty() {
        let n = decoder.spare().len().min(rest.len()).min(1_000);
        feed(&mut decoder, &rest[..n]);
        rest = &rest[n..];
        while let Some(frame) = decoder.poll_frame().unwrap() {
            if taken.is_none() {
                let at = decoder.payload(&frame).as_ptr();
                let bytes = decoder.take(&frame);
                assert_eq!(at, bytes.as_ptr(), "not copied");
                assert_eq!(bytes.capacity(), payload.len(), "grown to its size and no further");
                taken = Some(bytes);
            } else {
                assert_eq!(decoder.take(&frame), b"next");
            }
        }
    }
    assert_eq!(taken.unwrap(), payload);
}

#[test]
fn a_large_buffer_is_given_back_when_it_is_empty() {
    let mut decoder = client();
    for piece in frame(0x82, &vec![1; 3 << 20]).chunks(50_000) {
        feed(&mut decoder, piece);
        let _ = decoder.poll_frame().unwrap();
    }
    assert!(decoder.capacity() >= 3 << 20);
    decoder.spare();
    assert!(decoder.capacity() <= READ_BUFFER);
}

#[test]
fn a_busy_peer_makes_the_buffer_grow_to_one_read() {
    let mut decoder = client();
    assert_eq!(decoder.spare().len(), FIRST_BUFFER);
    for _ in 0..10 {
        let n = decoder.spare().len() / 2 * 2;
        let frames = frame(0x82, b"").repeat(n / 2);
        feed(&mut decoder, &frames);
        while decoder.poll_frame().unwrap().is_some() {}
    }
    assert_eq!(decoder.spare().len(), READ_BUFFER);
}

#[test]
fn an_error_is_repeated() {
    let mut decoder = client();
    feed(&mut decoder, &[0x80, 0]);
    for _ in 0..2 {
        assert_eq!(decoder.poll_frame(), Err(ProtocolError::UnexpectedContinuation));
    }
}

#[test]
fn stale_references_lend_something_harmless() {
    let mut decoder = client();
    feed(&mut decoder, &frame(0x82, &[1; 1_000]));
    let stale = decoder.poll_frame().unwrap().unwrap();
    decoder.discard();
    decoder.buffer = Vec::new();
    assert_eq!(decoder.payload(&stale), b"");
    assert_eq!(decoder.take(&stale), b"");
}

#[test]
fn control_frames_are_counted_between_two_renewals() {
    let limits = Limits { max_control_frames: Some(2), ..Limits::default() };
    let mut decoder = Decoder::new(Role::Client, limits);
    for _ in 0..3 {
        feed(&mut decoder, &frame(0x89, b"").repeat(2));
        assert!(decoder.poll_frame().is_ok_and(|frame| frame.is_some()));
        assert!(decoder.poll_frame().is_ok_and(|frame| frame.is_some()));
        decoder.renew_control_allowance();
    }
    feed(&mut decoder, &frame(0x8a, b"").repeat(3));
    assert!(decoder.poll_frame().is_ok());
    assert!(decoder.poll_frame().is_ok());
    let flood = Err(ProtocolError::TooManyControlFrames { limit: 2 });
    assert_eq!(decoder.poll_frame(), flood);
}

//! The numbers of PROTOCOL.md §10, row by row.

use super::*;

#[test]
fn fatal_codes_have_their_numbers_and_names() {
    let words = "NONE PROTOCOL_VIOLATION VERSION TOO_BIG FLOW_CONTROL SEQ_MISMATCH CALM_DOWN TIMEOUT INTERNAL \
                 SUPERSEDED AUTH";
    for (number, word) in (0_u16..).zip(words.split(' ')) {
        let code = FatalCode::from_wire(number.into());
        assert_eq!((code.to_wire(), code.name()), (number.into(), word));
        assert_eq!((code.close_code(), code.to_string().as_str()), (4200 + number, word));
    }
    for number in (11..64).chain([1 << 32, u64::MAX]) {
        assert_eq!(FatalCode::from_wire(number), FatalCode::Internal, "{number}");
    }
}

#[test]
fn refusals_have_their_numbers_and_names() {
    let words = "UNKNOWN_SESSION EXPIRED EVICTED REPLAY_GAP IDENTITY_MISMATCH BUSY";
    for (number, word) in [(10_u16, "AUTH")].into_iter().chain((16..).zip(words.split(' '))) {
        let code = RefusedCode::from_wire(number.into());
        assert_eq!((code.to_wire(), code.name()), (number.into(), word));
        assert_eq!((code.close_code(), code.to_string().as_str()), (4200 + number, word));
    }
    for number in (0..10).chain(11..16).chain(22..64).chain([u64::MAX]) {
        assert_eq!(RefusedCode::from_wire(number), RefusedCode::UnknownSession, "{number}");
    }
}

#[test]
fn channel_codes_have_their_numbers_and_names() {
    let words = "CANCELLED REFUSED UNSUPPORTED_KIND ITEM_TOO_BIG BAD_UTF8 DEADLINE APPLICATION HANDLER_FAILED \
                 BAD_ITEM TAKEN_OVER";
    for (number, word) in (32..).zip(words.split(' ')) {
        let code = ChannelCode::from_wire(number);
        assert_eq!((code.to_wire(), code.name(), code.to_string().as_str()), (number, word, word));
    }
    for number in (0..32).chain(42..100).chain([u64::MAX]) {
        assert_eq!(ChannelCode::from_wire(number), ChannelCode::Cancelled, "{number}");
    }
}

#[test]
fn every_close_code_has_the_fate_of_its_row() {
    use Retry::{NewSession, Resumes, SameAttempt, StaysClosed};
    use SessionFate::{Detached, Elsewhere, Ended, Untouched};
    // As the table of 10.2, with what lies between its rows: consecutive, so that no code is left out.
    let rows = [
        (0..=999, Detached, Resumes),
        (1000..=1000, Ended, StaysClosed),
        (1001..=1001, Detached, Resumes),
        (1002..=1003, Ended, StaysClosed),
        (1004..=1006, Detached, Resumes),
        (1007..=1010, Ended, StaysClosed),
        (1011..=4199, Detached, Resumes),
        (4200..=4206, Ended, StaysClosed),
        (4207..=4207, Detached, Resumes),
        (4208..=4208, Ended, NewSession),
        (4209..=4209, Elsewhere, StaysClosed),
        (4210..=4215, Ended, StaysClosed),
        (4216..=4219, Ended, NewSession),
        (4220..=4220, Untouched, StaysClosed),
        (4221..=4221, Untouched, SameAttempt),
        (4222..=4299, Ended, StaysClosed),
        (4300..=u16::MAX, Detached, Resumes),
    ];
    let mut next = 0_u32;
    for (codes, fate, retry) in rows {
        assert_eq!(u32::from(*codes.start()), next, "a gap between the rows");
        next = u32::from(*codes.end()) + 1;
        for code in codes {
            assert_eq!(fate_of_close(code), (fate, retry), "{code}");
        }
    }
    assert_eq!(next, 0x1_0000);
}

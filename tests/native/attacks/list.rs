//! What a peer that has greeted as it should may then do wrong, whichever side it is on. Each gives the code with which it is cut
//! off.

use super::hostile::{
    ABORT, ACCEPT, ACK, ACK_NOW, BLOCKED, CHAN_LIMIT, CLOSE, CREDIT, FIRST, GOAWAY, Hostile, LAST, MOST, PAD,
    PING, PONG, PRIORITY, RESET, TEXT, varints,
};

/// The whole list, for a macro that does something with each of its functions.
macro_rules! for_every_attack {
    ($do:ident) => {
        $do! {
            b58_a_text_message,
            b58_an_empty_message,
            b58_a_second_greeting,
            b58_a_greeting_of_the_other_side,
            b58_a_record_that_has_to_be_known_and_is_not,
            b58_a_length_that_goes_beyond_its_message,
            b58_a_length_of_four_gigabytes_and_a_few,
            b58_a_number_that_is_longer_than_it_has_to_be,
            b58_bytes_behind_the_end_of_a_record,
            b58_a_message_above_its_limit,
            b58_a_name_above_its_limit,
            b58_a_number_left_out,
            b58_a_record_once_more,
            b58_data_before_its_channel_is_opened,
            b58_a_channel_left_out,
            b58_a_channel_of_the_other_side,
            b58_more_channels_than_there_may_be,
            b58_channels_that_are_opened_and_cancelled_in_a_loop,
            b58_more_than_there_is_credit_for,
            b58_empty_items_without_end,
            b58_items_on_a_channel_that_nobody_wants,
            b58_a_chunk_of_511_bytes,
            b58_an_item_shorter_than_it_was_said_to_be,
            b58_an_item_longer_than_it_was_said_to_be,
            b58_an_item_within_another,
            b58_the_rest_of_an_item_that_has_not_begun,
            b58_an_end_in_the_midst_of_an_item,
            b58_data_behind_the_end,
            b58_an_answer_behind_the_end,
            b58_a_reset_of_no_direction,
            b58_credit_above_all_bounds,
            b58_credit_for_a_channel_that_was_never_opened,
            b58_acknowledging_what_was_never_sent,
            b58_answering_with_what_was_never_sent,
            b58_a_flood_of_pings,
            b58_a_flood_of_pongs,
            b58_a_flood_of_acknowledgements,
            b58_a_flood_of_credit,
            b58_a_flood_of_blocked,
            b58_a_flood_of_channel_limits,
            b58_a_flood_of_farewells,
            b58_a_flood_of_wishes,
            b58_a_flood_of_resets_in_vain,
            b58_a_flood_of_stops_in_vain,
            b58_a_flood_of_padding,
            b58_a_flood_of_what_nobody_knows,
            b58_a_flood_of_what_nobody_knows_with_numbers,
        }
    };
}
pub(crate) use for_every_attack;

const PROTOCOL_VIOLATION: u16 = 1;
const TOO_BIG: u16 = 3;
const FLOW_CONTROL: u16 = 4;
const SEQ_MISMATCH: u16 = 5;
const CALM_DOWN: u16 = 6;

/// More than any bucket pays for.
const FLOOD: usize = 2_000;

/// On a channel of this name the other side reads nothing.
pub(crate) const UNREAD: &str = "stall";

pub(crate) fn b58_a_text_message(peer: &mut Hostile) -> u16 {
    peer.say_text("hello");
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_empty_message(peer: &mut Hostile) -> u16 {
    peer.say(&[]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_second_greeting(peer: &mut Hostile) -> u16 {
    let greeting = peer.greeting();
    peer.say(&greeting);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_greeting_of_the_other_side(peer: &mut Hostile) -> u16 {
    let greeting = Hostile::new(!peer.is_server).greeting();
    peer.say(&greeting);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_record_that_has_to_be_known_and_is_not(peer: &mut Hostile) -> u16 {
    peer.tell(0x3e, &[]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_length_that_goes_beyond_its_message(peer: &mut Hostile) -> u16 {
    peer.say(&[PING, 0x3f, 1]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_length_of_four_gigabytes_and_a_few(peer: &mut Hostile) -> u16 {
    // 2^32 + 1, of which 32 bits are 1.
    peer.say(&[&[PING][..], &varints(&[(1 << 32) + 1]), &[1]].concat());
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_number_that_is_longer_than_it_has_to_be(peer: &mut Hostile) -> u16 {
    peer.tell(PING, &[0x40, 1]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_bytes_behind_the_end_of_a_record(peer: &mut Hostile) -> u16 {
    peer.tell(PING, &[1, 2]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_message_above_its_limit(peer: &mut Hostile) -> u16 {
    peer.say(&vec![0; 263_169]);
    TOO_BIG
}

pub(crate) fn b58_a_name_above_its_limit(peer: &mut Hostile) -> u16 {
    peer.open(0, &"n".repeat(129));
    TOO_BIG
}

pub(crate) fn b58_a_number_left_out(peer: &mut Hostile) -> u16 {
    peer.number += 1;
    peer.open(0, UNREAD);
    SEQ_MISMATCH
}

pub(crate) fn b58_a_record_once_more(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.number -= 1;
    peer.open(1, UNREAD);
    SEQ_MISMATCH
}

pub(crate) fn b58_data_before_its_channel_is_opened(peer: &mut Hostile) -> u16 {
    peer.data(0, FIRST | LAST, &[1; 100]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_channel_left_out(peer: &mut Hostile) -> u16 {
    peer.open(1, UNREAD);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_channel_of_the_other_side(peer: &mut Hostile) -> u16 {
    let id = 1 - peer.id(0);
    peer.open_as(id, UNREAD);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_more_channels_than_there_may_be(peer: &mut Hostile) -> u16 {
    for n in 0..200 {
        peer.open(n, UNREAD);
    }
    FLOW_CONTROL
}

/// All in one message, so that nobody can take them in between: that they are reset makes no room for others.
pub(crate) fn b58_channels_that_are_opened_and_cancelled_in_a_loop(peer: &mut Hostile) -> u16 {
    let mut message = Vec::new();
    for n in 0..200 {
        let id = peer.id(n);
        message.extend(peer.open_record(id, UNREAD));
        message.extend(peer.record(RESET, &varints(&[id, 3, 32])));
    }
    peer.say(&message);
    FLOW_CONTROL
}

pub(crate) fn b58_more_than_there_is_credit_for(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    for _ in 0..200 {
        peer.data(0, FIRST | LAST, &vec![0; 50_000]);
    }
    FLOW_CONTROL
}

pub(crate) fn b58_empty_items_without_end(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    for _ in 0..200 {
        let mut message = Vec::new();
        for _ in 0..1_000 {
            message.extend(peer.data_record(0, FIRST | LAST, &[]));
        }
        peer.say(&message);
    }
    FLOW_CONTROL
}

/// What is thrown away is counted, and earns no credit.
pub(crate) fn b58_items_on_a_channel_that_nobody_wants(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    // Not UTF-8: from here on nothing more is wanted.
    peer.data(0, FIRST | LAST | TEXT, &[0xff]);
    for _ in 0..200 {
        peer.data(0, FIRST | LAST, &vec![0; 50_000]);
    }
    FLOW_CONTROL
}

pub(crate) fn b58_a_chunk_of_511_bytes(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data_of(0, FIRST, Some(1_000), &[0; 511]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_item_shorter_than_it_was_said_to_be(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data_of(0, FIRST, Some(1_200), &[0; 600]);
    peer.data(0, LAST, &[0]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_item_longer_than_it_was_said_to_be(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data_of(0, FIRST, Some(1_000), &[0; 600]);
    peer.data(0, 0, &[0; 600]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_item_within_another(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data_of(0, FIRST, None, &[0; 600]);
    peer.data(0, FIRST | LAST, &[0]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_the_rest_of_an_item_that_has_not_begun(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data(0, LAST | ABORT, &[]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_end_in_the_midst_of_an_item(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    peer.data_of(0, FIRST | ACK_NOW, None, &[0; 600]);
    let id = varints(&[peer.id(0)]);
    peer.tell(CLOSE, &id);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_data_behind_the_end(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    let id = varints(&[peer.id(0)]);
    peer.tell(CLOSE, &id);
    peer.data(0, FIRST | LAST, &[0]);
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_an_answer_behind_the_end(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    let id = peer.id(0);
    peer.tell(CLOSE, &varints(&[id]));
    peer.tell(ACCEPT, &varints(&[id, 1 << 20, 1 << 16]));
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_a_reset_of_no_direction(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    let body = varints(&[peer.id(0), 0, 32]);
    peer.tell(RESET, &body);
    PROTOCOL_VIOLATION
}

/// The largest is no more than the largest; one more is none.
pub(crate) fn b58_credit_above_all_bounds(peer: &mut Hostile) -> u16 {
    peer.open(0, UNREAD);
    let id = peer.id(0);
    peer.tell(CREDIT, &varints(&[id, MOST]));
    peer.tell(CREDIT, &varints(&[id, MOST]));
    // Withdrawn, which changes nothing.
    peer.tell(CREDIT, &varints(&[id, 0]));
    peer.tell(CREDIT, &[&varints(&[id])[..], &((MOST + 1) | 3 << 62).to_be_bytes()].concat());
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_credit_for_a_channel_that_was_never_opened(peer: &mut Hostile) -> u16 {
    peer.tell(CREDIT, &varints(&[77, 1]));
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_acknowledging_what_was_never_sent(peer: &mut Hostile) -> u16 {
    peer.tell(ACK, &varints(&[1_000, 0]));
    PROTOCOL_VIOLATION
}

pub(crate) fn b58_answering_with_what_was_never_sent(peer: &mut Hostile) -> u16 {
    peer.tell(PONG, &varints(&[0, 0, 0, MOST]));
    PROTOCOL_VIOLATION
}

/// So many of a record, in messages of a hundred.
fn flood(peer: &mut Hostile, kind: u8, body: &[u8]) -> u16 {
    for _ in 0..FLOOD / 100 {
        let mut message = Vec::new();
        for _ in 0..100 {
            message.extend(peer.record(kind, body));
        }
        peer.say(&message);
    }
    CALM_DOWN
}

/// The same about a channel.
fn flood_on(peer: &mut Hostile, kind: u8, more: &[u64]) -> u16 {
    peer.open(0, UNREAD);
    let body = varints(&[&[peer.id(0)], more].concat());
    flood(peer, kind, &body)
}

pub(crate) fn b58_a_flood_of_pings(peer: &mut Hostile) -> u16 {
    flood(peer, PING, &[1])
}

pub(crate) fn b58_a_flood_of_pongs(peer: &mut Hostile) -> u16 {
    flood(peer, PONG, &[0; 4])
}

pub(crate) fn b58_a_flood_of_acknowledgements(peer: &mut Hostile) -> u16 {
    flood(peer, ACK, &[0, 0])
}

pub(crate) fn b58_a_flood_of_credit(peer: &mut Hostile) -> u16 {
    flood_on(peer, CREDIT, &[1 << 20])
}

pub(crate) fn b58_a_flood_of_blocked(peer: &mut Hostile) -> u16 {
    flood_on(peer, BLOCKED, &[0])
}

pub(crate) fn b58_a_flood_of_channel_limits(peer: &mut Hostile) -> u16 {
    flood(peer, CHAN_LIMIT, &[16])
}

pub(crate) fn b58_a_flood_of_farewells(peer: &mut Hostile) -> u16 {
    flood(peer, GOAWAY, &[0; 5])
}

pub(crate) fn b58_a_flood_of_wishes(peer: &mut Hostile) -> u16 {
    flood_on(peer, PRIORITY, &[4])
}

pub(crate) fn b58_a_flood_of_resets_in_vain(peer: &mut Hostile) -> u16 {
    flood_on(peer, RESET, &[1, 32])
}

pub(crate) fn b58_a_flood_of_stops_in_vain(peer: &mut Hostile) -> u16 {
    flood_on(peer, RESET, &[2, 32])
}

pub(crate) fn b58_a_flood_of_padding(peer: &mut Hostile) -> u16 {
    flood(peer, PAD, &[7; 20])
}

pub(crate) fn b58_a_flood_of_what_nobody_knows(peer: &mut Hostile) -> u16 {
    flood(peer, 0xb0, &[7; 20])
}

pub(crate) fn b58_a_flood_of_what_nobody_knows_with_numbers(peer: &mut Hostile) -> u16 {
    flood(peer, 0xf0, &[])
}

/**
 * What a peer of `tidegate.v1` may do wrong that has greeted as it should, whichever side it is on: PROTOCOL.md, section 11.
 * The names are those of the same attacks on the Rust server and client (`tests/native/attacks/list.rs`).
 */

import assert from "node:assert/strict";
import { HELLO, record, varint } from "./serving.mjs";

const FIRST = 0x01;
const LAST = 0x02;
const TEXT = 0x04;
const ABORT = 0x08;

/** More than any bucket pays for. */
const FLOOD = 2_000;

/** On a channel of this name the other side reads nothing. */
const UNREAD = "stall";

/** The largest number of the wire, and one more. */
const MOST = [0xc0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const TOO_MUCH = [0xc0, 0x20, 0, 0, 0, 0, 0, 0];

const bytes = (size, filler = 0) => Buffer.alloc(size, filler);

/** What a hostile peer is going to say. */
export class Hostile {
  messages = [];
  /** Of its next sequenced record. */
  number = 1;

  constructor(isServer) {
    this.isServer = isServer;
  }

  /** HELLO or WELCOME, without settings and without a session that could be resumed. */
  get greeting() {
    return this.isServer ? Buffer.from([2, 5, 1, 0, 0, 0, 0]) : HELLO;
  }

  say(message) {
    this.messages.push(message);
  }

  record(type, body) {
    return record(type, body, type & 0x40 ? this.number++ : undefined);
  }

  /** A message of one record. */
  tell(type, body) {
    this.say(this.record(type, body));
  }

  /** The id of its channel `n`. */
  id(n) {
    return varint(2 * n + (this.isServer ? 1 : 0));
  }

  open(n, name = UNREAD) {
    this.openAs(this.id(n), name);
  }

  openAs(id, name = UNREAD) {
    this.say(this.opening(id, name));
  }

  opening(id, name = UNREAD) {
    return this.record(0x41, [...id, 0, 2, ...varint(name.length), ...Buffer.from(name), 0]);
  }

  /** Of an item that is not over with its first chunk, `total` has the number on the wire. */
  chunk(n, flags, payload, total = []) {
    return this.record(0x45, Buffer.concat([Buffer.from([...this.id(n), flags, ...total]), payload]));
  }

  data(n, flags, payload, total) {
    this.say(this.chunk(n, flags, payload, total));
  }
}

/** So many of a record, in messages of a hundred. */
const flood = (type, body) => (peer) => {
  for (let i = 0; i < FLOOD / 100; i++) {
    peer.say(Buffer.concat(Array.from({ length: 100 }, () => peer.record(type, body))));
  }
};

/** The same about a channel. */
const floodOn = (type, more) => (peer) => {
  peer.open(0);
  flood(type, [...peer.id(0), ...more])(peer);
};

/** For each attack the close code and what the peer does. */
export const attacks = {
  b58_a_text_message: [4201, (peer) => peer.say("hello")],
  b58_an_empty_message: [4201, (peer) => peer.say(bytes(0))],
  b58_a_second_greeting: [4201, (peer) => peer.say(peer.greeting)],
  b58_a_greeting_of_the_other_side: [4201, (peer) => peer.say(new Hostile(!peer.isServer).greeting)],
  b58_a_record_that_has_to_be_known_and_is_not: [4201, (peer) => peer.tell(0x3e, [])],
  b58_a_length_that_goes_beyond_its_message: [4201, (peer) => peer.say(Buffer.from([0x07, 0x3f, 1]))],
  // 2^32 + 1, of which 32 bits are 1.
  b58_a_length_of_four_gigabytes_and_a_few: [4201, (peer) => peer.say(Buffer.from([0x07, 0xc0, 0, 0, 1, 0, 0, 0, 1, 1]))],
  b58_a_number_that_is_longer_than_it_has_to_be: [4201, (peer) => peer.tell(0x07, [0x40, 1])],
  b58_bytes_behind_the_end_of_a_record: [4201, (peer) => peer.tell(0x07, [1, 2])],
  b58_a_message_above_its_limit: [4203, (peer) => peer.say(bytes(263_169))],
  b58_a_name_above_its_limit: [4203, (peer) => peer.open(0, "n".repeat(129))],
  b58_a_number_left_out: [
    4205,
    (peer) => {
      peer.number++;
      peer.open(0);
    },
  ],
  b58_a_record_once_more: [
    4205,
    (peer) => {
      peer.open(0);
      peer.number--;
      peer.open(1);
    },
  ],
  b58_data_before_its_channel_is_opened: [4201, (peer) => peer.data(0, FIRST | LAST, bytes(100))],
  b58_a_channel_left_out: [4201, (peer) => peer.open(1)],
  b58_a_channel_of_the_other_side: [4201, (peer) => peer.openAs(new Hostile(!peer.isServer).id(0))],
  b58_more_channels_than_there_may_be: [
    4204,
    (peer) => {
      for (let n = 0; n < 200; n++) peer.open(n);
    },
  ],
  // All in one message, so that nobody can take them in between: that they are reset makes no room for others.
  b58_channels_that_are_opened_and_cancelled_in_a_loop: [
    4204,
    (peer) => {
      const records = [];
      for (let n = 0; n < 200; n++) {
        records.push(peer.opening(peer.id(n)), peer.record(0x43, [...peer.id(n), 3, 32]));
      }
      peer.say(Buffer.concat(records));
    },
  ],
  // The window is 16 MiB.
  b58_more_than_there_is_credit_for: [
    4204,
    (peer) => {
      peer.open(0);
      for (let i = 0; i < 360; i++) peer.data(0, FIRST | LAST, bytes(50_000));
    },
  ],
  b58_empty_items_without_end: [
    4204,
    (peer) => {
      peer.open(0);
      for (let i = 0; i < 270; i++) {
        peer.say(Buffer.concat(Array.from({ length: 1_000 }, () => peer.chunk(0, FIRST | LAST, bytes(0)))));
      }
    },
  ],
  // Not UTF-8: from there on nothing more is wanted, and what is thrown away earns no credit.
  b58_items_on_a_channel_that_nobody_wants: [
    4204,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST | LAST | TEXT, bytes(1, 0xff));
      for (let i = 0; i < 360; i++) peer.data(0, FIRST | LAST, bytes(50_000));
    },
  ],
  b58_a_chunk_of_511_bytes: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST, bytes(511), varint(1_001));
    },
  ],
  b58_an_item_shorter_than_it_was_said_to_be: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST, bytes(600), varint(1_201));
      peer.data(0, LAST, bytes(1));
    },
  ],
  b58_an_item_longer_than_it_was_said_to_be: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST, bytes(600), varint(1_001));
      peer.data(0, 0, bytes(600));
    },
  ],
  b58_an_item_within_another: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST, bytes(600), [0]);
      peer.data(0, FIRST | LAST, bytes(1));
    },
  ],
  b58_the_rest_of_an_item_that_has_not_begun: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, LAST | ABORT, bytes(0));
    },
  ],
  b58_an_end_in_the_midst_of_an_item: [
    4201,
    (peer) => {
      peer.open(0);
      peer.data(0, FIRST, bytes(600), [0]);
      peer.tell(0x44, peer.id(0));
    },
  ],
  b58_data_behind_the_end: [
    4201,
    (peer) => {
      peer.open(0);
      peer.tell(0x44, peer.id(0));
      peer.data(0, FIRST | LAST, bytes(1));
    },
  ],
  b58_an_answer_behind_the_end: [
    4201,
    (peer) => {
      peer.open(0);
      peer.tell(0x44, peer.id(0));
      peer.tell(0x42, [...peer.id(0), ...varint(1 << 20), ...varint(1 << 16)]);
    },
  ],
  b58_a_reset_of_no_direction: [
    4201,
    (peer) => {
      peer.open(0);
      peer.tell(0x43, [...peer.id(0), 0, 32]);
    },
  ],
  // The largest is no more than the largest, and may be withdrawn, which changes nothing; one more is none.
  b58_credit_above_all_bounds: [
    4201,
    (peer) => {
      peer.open(0);
      for (const limit of [MOST, MOST, [0], TOO_MUCH]) peer.tell(0x10, [...peer.id(0), ...limit]);
    },
  ],
  b58_credit_for_a_channel_that_was_never_opened: [4201, (peer) => peer.tell(0x10, [...varint(77), 1])],
  b58_acknowledging_what_was_never_sent: [4201, (peer) => peer.tell(0x06, [...varint(1_000), 0])],
  b58_answering_with_what_was_never_sent: [4201, (peer) => peer.tell(0x08, [0, 0, 0, ...MOST])],
  b58_a_flood_of_pings: [4206, flood(0x07, [1])],
  b58_a_flood_of_pongs: [4206, flood(0x08, [0, 0, 0, 0])],
  b58_a_flood_of_acknowledgements: [4206, flood(0x06, [0, 0])],
  b58_a_flood_of_credit: [4206, floodOn(0x10, varint(1 << 20))],
  b58_a_flood_of_blocked: [4206, floodOn(0x91, [0])],
  b58_a_flood_of_channel_limits: [4206, flood(0x11, [16])],
  b58_a_flood_of_farewells: [4206, flood(0x09, [0, 0, 0, 0, 0])],
  b58_a_flood_of_wishes: [4206, floodOn(0xc6, [4])],
  b58_a_flood_of_resets_in_vain: [4206, floodOn(0x43, [1, 32])],
  b58_a_flood_of_stops_in_vain: [4206, floodOn(0x43, [2, 32])],
  b58_a_flood_of_padding: [4206, flood(0x80, bytes(20))],
  b58_a_flood_of_what_nobody_knows: [4206, flood(0xb0, bytes(20))],
  b58_a_flood_of_what_nobody_knows_with_numbers: [4206, flood(0xf0, [])],
};

/** Collects what a socket of `ws` hears: its messages, and the close code. */
export function listen(socket) {
  const messages = [];
  socket.on("message", (message, isBinary) => messages.push(isBinary ? message : `${message}`));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => {});
  return {
    messages,
    closed,
    /** It was cut off with this close code, and told so before by ERROR. */
    async cutOff(code) {
      assert.equal(await closed, code);
      const last = messages.at(-1);
      assert.deepEqual([last?.[0], last?.[2]], [0x0a, code - 4200], "ERROR is the last word");
    },
  };
}

/** Says everything as fast as it goes out; what the other side does not read waits in the kernel. */
export async function sayAll(socket, messages) {
  for (const message of messages) {
    if (socket.readyState !== socket.OPEN) return;
    await new Promise((resolve) => socket.send(message, resolve));
  }
}

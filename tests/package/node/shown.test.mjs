/** The wasm is shown of a message what stands around large content: all that it has to judge. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "tidegate/channels";
import { Hostile } from "./attacks.mjs";
import { Here, content } from "./in_memory.mjs";
import { varint } from "./serving.mjs";

const FIRST = 0x01;
const LAST = 0x02;
const TEXT = 0x04;

/** A client that has been greeted, its socket, its peer and what that has heard. */
async function greeted() {
  const connecting = connect("ws://in.memory/", { WebSocket: Here });
  const { made } = Here;
  const heard = [];
  made.peer.addEventListener("message", ({ data }) => heard.push(Buffer.from(data)));
  made.open();
  const peer = new Hostile(true);
  made.hear(peer.greeting);
  return { client: await connecting, made, peer, heard };
}

/** The types of the records of a message, none of which is long. */
function types(message) {
  const types = [];
  for (let at = 0; at < message.length; ) {
    const [type, first] = message.subarray(at);
    const size = 1 << (first >> 6);
    const len = size > 1 ? message.readUInt16BE(at + 1) & 0x3fff : first;
    types.push(type);
    at += 1 + size + (type & 0x40 ? 2 : 0) + len;
  }
  return types;
}

const whole = (peer, size, flags = 0) => peer.chunk(0, FIRST | LAST | flags, content(5, size));

test("what_stands_behind_large_content_is_judged_as_ever", async () => {
  const cases = {
    "a record that has to be known": [4201, (peer) => [whole(peer, 60_000), peer.record(0x3e, [])]],
    "a length beyond the end": [4201, (peer) => [whole(peer, 60_000), Buffer.from([0x07, 0x3f, 1])]],
    "the content itself beyond the end": [4201, (peer) => [whole(peer, 60_000).subarray(0, -1)]],
    "a record of which nothing but the type is there": [4201, (peer) => [whole(peer, 60_000), Buffer.from([0x45])]],
    "a length that is cut off": [4201, (peer) => [whole(peer, 60_000), Buffer.from([0x45, 0xc0])]],
    "2^32 + 1 bytes": [4201, (peer) => [Buffer.from([0x45, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 1]), whole(peer, 60_000)]],
    "2^61 bytes": [4201, (peer) => [Buffer.from([0x45, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), whole(peer, 60_000)]],
    "content of a channel that is not there": [4201, (peer) => [peer.chunk(9, FIRST | LAST, content(5, 60_000))]],
    "a number left out": [4205, (peer) => [whole(peer, 60_000), (peer.number++, whole(peer, 20_000))]],
    "more than a message may have": [4203, (peer) => [whole(peer, 263_168)]],
    "far more": [4203, () => [Buffer.alloc(3 << 20)]],
  };
  for (const [what, [code, records]] of Object.entries(cases)) {
    const { client, made, peer, heard } = await greeted();
    peer.open(0, "chat");
    made.hear(peer.messages[0]);
    // What was written where the next message is not.
    made.hear(whole(peer, 100_000));
    made.hear(Buffer.concat(records(peer)));
    await client.closed;
    const last = heard.at(-1);
    assert.deepEqual([last[0], last[2]], [0x0a, code - 4200], what);
  }
});

test("large_content_arrives_wherever_it_stands_in_a_message", async () => {
  const { client, made, peer, heard } = await greeted();
  peer.open(0, "chat");
  made.hear(peer.messages[0]);
  const { value: channel } = await client.channels[Symbol.asyncIterator]().next();
  const sizes = [16_383, 16_384, 3, 70_000, 0, 20_000];
  for (let turn = 0; turn < 2; turn++) {
    const pad = peer.record(0x80, Buffer.alloc(20_000, 0x45));
    made.hear(Buffer.concat([...sizes.map((size) => whole(peer, size)), pad, peer.record(0x07, [turn])]));
    for (const size of sizes) assert.deepEqual(new Uint8Array(await channel.recv()), content(5, size), `${size}`);
  }
  assert.equal(heard.flatMap(types).filter((type) => type === 0x08).length, 2, "PONGs");
  // In parts of whatever size, by a size that is said, or not.
  for (const total of [varint(300_001), [0]]) {
    const bytes = content(9, 300_000);
    made.hear(peer.chunk(0, FIRST, bytes.subarray(0, 600), total));
    made.hear(Buffer.concat([peer.chunk(0, 0, bytes.subarray(600, 20_000)), peer.chunk(0, 0, bytes.subarray(20_000, 90_000))]));
    made.hear(peer.chunk(0, 0, bytes.subarray(90_000, 299_999)));
    made.hear(peer.chunk(0, LAST, bytes.subarray(299_999)));
    assert.deepEqual(new Uint8Array(await channel.recv()), bytes);
  }
  // Text is judged here.
  made.hear(whole(peer, 20_000, TEXT));
  assert.equal(await channel.recv(), undefined);
  await client.close(undefined, "", { within: 1, flush: false });
});

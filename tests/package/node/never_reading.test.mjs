/**
 * A client that asks and never reads, and one that says more than it may: what that costs the server, over a socket in the shape
 * of `ws` that has no network below it.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { accept } from "tidegate/server";
import { HELLO, data, open, record } from "./serving.mjs";

/** The memory of the wasm module that is loaded next. */
const memories = [];
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (...given) => {
  const made = await instantiate(...given);
  memories.push((made.instance ?? made).exports.memory);
  return made;
};

/** The server's end; what it is given stands in it as long as `reads` is false. */
class Stuck {
  protocol = "tidegate.v1";
  extensions = "";
  readyState = 1;
  binaryType = "nodebuffer";
  bufferedAmount = 0;
  reads = true;
  sent = [];
  #waiting = [];
  #listeners = [];
  #number = 1;
  _receiver = { _maxPayload: 100 << 20 };

  on() {}
  ping() {}
  pause() {}
  resume() {}
  addEventListener(type, listener) {
    this.#listeners.push([type, listener]);
  }
  removeEventListener(type, listener) {
    this.#listeners = this.#listeners.filter((known) => known[0] !== type || known[1] !== listener);
  }
  send(message, done) {
    this.sent.push(Buffer.from(message));
    this.bufferedAmount += message.byteLength;
    this.#waiting.push(() => {
      this.bufferedAmount -= message.byteLength;
      done();
    });
    if (this.reads) this.read(1);
  }
  /** The client reads so many messages, by default all. */
  read(count = this.#waiting.length) {
    for (const done of this.#waiting.splice(0, count)) done();
  }
  tell(type, told) {
    for (const [name, listener] of this.#listeners) if (name === type) listener({ type, ...told });
  }
  say(message) {
    this.tell("message", { data: Buffer.from(message) });
  }
  /** A message of one record with the next number, by `make`. */
  next(make, ...rest) {
    this.say(make(this.#number++, ...rest));
  }
  close(code = 1005) {
    this.tell("close", { code, reason: "", wasClean: true });
    this.readyState = 3;
  }
  terminate() {
    if (this.readyState < 3) this.close(1006);
  }
}

async function accepted(options) {
  const ws = new Stuck();
  const accepting = accept(ws, options);
  ws.say(HELLO);
  return { ws, peer: await accepting };
}

test("b61_who_asks_and_never_reads_is_answered_up_to_a_bound", async () => {
  const { ws, peer } = await accepted();
  void (async () => {
    for await (const channel of peer.channels) for await (const message of channel) void message;
  })();
  ws.next(open, 0, "chat");
  await new Promise(setImmediate);
  ws.reads = false;
  // As of a socket that has filled the kernel's buffer.
  ws.bufferedAmount += 10 << 20;
  const before = ws.sent.length;
  // FIRST, LAST, ACK_NOW; and PING.
  for (let i = 0; i < 2_000; i++) {
    ws.next(data, 0, 0x13, Buffer.alloc(0));
    if (i % 500 === 0) ws.say(record(0x07, [5]));
    if (i % 100 === 0) await new Promise(setImmediate);
  }
  assert.ok(ws.sent.length - before < 10, `${ws.sent.length - before} answers`);
  assert.equal(peer.readyState, 1);
  // It reads after all, and gets an answer to all of that.
  ws.bufferedAmount -= 10 << 20;
  ws.reads = true;
  ws.read();
  await peer.send("x");
  await new Promise(setImmediate);
  const since = Buffer.concat(ws.sent.slice(before));
  assert.ok(since.length > 0 && since.length < 1_000, `${since.length} B`);
  ws.close();
  await peer.closed;
});

test("b61_answers_go_on_when_the_socket_has_written", async () => {
  const { ws, peer } = await accepted();
  ws.reads = false;
  const tickets = [];
  for (let i = 0; i < 8; i++) tickets.push(await peer.send(new Uint8Array(100_000)));
  const stuck = ws.sent.length;
  // A PING is answered when there is room again, and not before; nothing else has called it.
  const has = (type) => ws.sent.slice(stuck).some((message) => message[0] === type);
  ws.bufferedAmount += 1 << 20;
  ws.say(record(0x07, [5]));
  assert.ok(!has(0x08));
  ws.bufferedAmount -= 1 << 20;
  ws.read();
  assert.ok(has(0x08));
  assert.equal(tickets.length, 8);
  ws.close();
  await peer.closed;
});

test("b61_the_wasm_has_no_more_of_a_message_than_shows_that_it_is_too_large", async () => {
  const { ws, peer } = await accepted();
  const before = memories[0].buffer.byteLength;
  ws.say(Buffer.alloc(90 << 20));
  assert.equal((await peer.closed).code, 4203);
  assert.ok(memories[0].buffer.byteLength - before < 1 << 20, `${memories[0].buffer.byteLength - before} B`);
});

test("b61_idle_connections_keep_nothing_of_their_messages", async () => {
  const all = [];
  const [first] = [await accepted()];
  first.ws.next(open, 0, "chat");
  first.ws.next(data, 0, 0x03, Buffer.alloc(60_000));
  const before = memories[0].buffer.byteLength;
  for (let i = 0; i < 300; i++) all.push(await accepted());
  const sessions = memories[0].buffer.byteLength - before;
  for (const { ws } of all) {
    ws.next(open, 0, "chat");
    // One that stands in front of the wasm as it is, since none of it is large.
    ws.say(Buffer.concat(Array.from({ length: 60 }, () => record(0x80, Buffer.alloc(1_000)))));
  }
  const kept = memories[0].buffer.byteLength - before - sessions;
  assert.ok(kept < 300 * 16_000, `${kept / 300} B each, and ${sessions / 300} for a session`);
  for (const { ws, peer } of [first, ...all]) {
    ws.close();
    await peer.closed;
  }
});

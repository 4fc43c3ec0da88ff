/** Channels of tidegate mode at their ends: what settles when they are closed, left, or cut off. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { json, TidegateError } from "tidegate/channels";
import { Here, pair } from "./in_memory.mjs";
import { HELLO, data, open, raw, start, varint } from "./serving.mjs";

/** Runs what is ready until `condition` holds. */
async function until(condition) {
  while (!condition()) await new Promise(setImmediate);
}

/** A client and a server, a channel between them, and its other end. */
async function channelled(name = "chat", options = {}) {
  const [client, server] = await pair();
  const chat = await client.channel(name, options);
  const { value: there } = await server.channels[Symbol.asyncIterator]().next();
  await chat.accepted;
  return { client, server, chat, there };
}

/** What is sent on a channel that nobody reads, so that some of it stays. */
function fill(chat) {
  const tickets = [];
  for (let ticket; (ticket = chat.trySend(new Uint8Array(1 << 20))); ) tickets.push(ticket);
  assert.ok(chat.bufferedAmount > 0);
  return tickets;
}

test("a_channel_that_was_left_is_left_at_the_latest_with_the_connection", async () => {
  for (const leave of [(chat) => chat[Symbol.asyncDispose](), (chat) => (chat.stop(), chat.close())]) {
    const { client, chat } = await channelled();
    const tickets = fill(chat);
    const left = leave(chat);
    // The peer drops what it has of it, but nobody takes the rest.
    Here.made.close(1006);
    await client.closed;
    const outcomes = await Promise.all(tickets.map(({ outcome }) => outcome));
    assert.ok(outcomes.includes("unsent") || outcomes.includes("unknown"), outcomes.join());
    await left;
    await assert.rejects(chat.send("x"), { code: "closed" });
  }
});

/** DATA of one item in one chunk: of text, and of bytes of which more is to come. */
const text = (number, channel, bytes) => data(number, channel, 0x07, Buffer.from(bytes));
const begin = (number, channel, size, total) => data(number, channel, 0x01, Buffer.alloc(size), varint(total + 1));
const more = (number, channel, size) => data(number, channel, 0x02, Buffer.alloc(size));

test("b58_nothing_is_delivered_behind_a_text_that_is_none", async () => {
  const got = [];
  const ends = [];
  const serve = async (peer) => {
    for await (const channel of peer.channels) {
      void channel.ended.then(({ kind, code }) => ends.push([channel.name, kind, code]));
      void (async () => {
        for await (const message of channel) got.push([channel.name, message]);
      })();
    }
  };
  const { url, stop } = await start(serve);
  const { socket, closed } = await raw(url);
  // One behind the other in one message, as an item of which a part follows, and in messages that come together.
  const messages = [
    [HELLO],
    [open(1, 0, "one"), text(2, 0, "a"), text(3, 0, [0xff]), text(4, 0, "b"), text(5, 0, [0xfe]), text(6, 0, "c")],
    [open(7, 2, "two"), text(8, 2, "d"), text(9, 2, [0xff]), begin(10, 2, 600, 1_000)],
    [more(11, 2, 400), text(12, 2, "e")],
    [open(13, 4, "three"), text(14, 4, "f")],
  ];
  for (const records of messages) socket.send(Buffer.concat(records));
  await until(() => got.some(([, message]) => message === "f") && ends.length > 1);
  assert.deepEqual(got, [["one", "a"], ["two", "d"], ["three", "f"]]);
  assert.deepEqual(ends, [["one", "reset", 36], ["two", "reset", 36]]);
  socket.close(4200);
  assert.equal(await closed, 4200);
  await stop();
});

test("a_loop_over_channels_that_was_left_takes_none", async () => {
  const { client, server } = await channelled();
  const [left, stays] = [client.channels[Symbol.asyncIterator](), client.channels[Symbol.asyncIterator]()];
  const end = { done: true, value: undefined };
  // As one who waits for so long only.
  const [first, second, third] = [left.next(), stays.next(), left.next()];
  await left.return();
  assert.deepEqual([await first, await third, await left.next()], [end, end, end]);
  const [one, two] = [await server.channel("one"), await server.channel("two")];
  assert.equal((await second).value.name, "one");
  // It is given to who waits, also if it is left right then.
  assert.equal((await stays.next()).value.name, "two");
  const last = stays.next();
  const three = await server.channel("three");
  const other = client.channels[Symbol.asyncIterator]().next();
  await stays.return();
  assert.equal((await last).value.name, "three");
  await server.channel("four");
  assert.equal((await other).value.name, "four");
  await Promise.all([one, two, three].map(({ accepted }) => accepted));
  await client.close(undefined, undefined, { within: 1 });
});

test("closing_a_channel_once_more_waits_as_long", async () => {
  const { client, chat, there } = await channelled();
  fill(chat);
  const order = [];
  const closing = [chat.close().then(() => order.push("first")), chat.close().then(() => order.push("second"))];
  const leaving = chat[Symbol.asyncDispose]().then(() => order.push("left"));
  // More than the peer has room for waits here, until something of it is taken.
  await there.recv();
  assert.deepEqual(order, []);
  while ((await there.recv()) !== undefined);
  await Promise.all([...closing, leaving]);
  assert.deepEqual(order, ["first", "second", "left"]);
  await client.close();
});

/** That this is an error of the package with that code, and that cause. */
function is(code, cause) {
  return (error) => {
    assert.ok(error instanceof TidegateError, String(error));
    assert.deepEqual([error.code, error.cause?.kind, error.cause?.code], [code, ...(cause ?? [undefined, undefined])]);
    return true;
  };
}

test("writing_to_a_stream_waits_for_room_and_closing_it_for_the_peer", async () => {
  const { client, chat, there } = await channelled("chat", { maxSendBytes: 64 << 20 });
  const writer = chat.writable.getWriter();
  // More than there is credit for, of which the peer has not taken anything.
  for (let i = 0; i < 40; i++) await writer.write(new Uint8Array(1 << 20));
  assert.ok(chat.bufferedAmount > 20 << 20);
  let isClosed = false;
  const closing = writer.close().then(() => (isClosed = true));
  for (let i = 0; i < 39; i++) assert.equal((await there.recv()).byteLength, 1 << 20);
  assert.ok(!isClosed || chat.bufferedAmount === 0);
  assert.equal((await there.recv()).byteLength, 1 << 20);
  assert.equal(await there.recv(), undefined);
  await closing;
  await client.close();
});

test("a_stream_fails_by_what_was_not_delivered_with_an_error_of_the_package", async () => {
  // The peer wants nothing more, and has said so in the midst of what was written.
  for (const close of [false, true]) {
    const { client, chat, there } = await channelled();
    const writer = chat.writable.getWriter();
    await writer.write(new Uint8Array(14_000_000));
    void writer.write(new Uint8Array(14_000_000)).catch(() => {});
    const closing = close ? writer.close() : writer.closed;
    there.stop(33, new Uint8Array(3));
    await assert.rejects(closing, is("reset", ["reset", 33]));
    await assert.rejects(writer.closed, is("reset", ["reset", 33]));
    await client.close();
  }
  // It sends nothing more.
  const { client, chat, there } = await channelled();
  there.reset(38);
  await assert.rejects(chat.readable.getReader().read(), is("reset", ["reset", 38]));
  // The connection is over.
  const gone = await client.channel("gone");
  const [writer, reader] = [gone.writable.getWriter(), gone.readable.getReader()];
  Here.made.close(1006);
  await assert.rejects(writer.closed, is("closed", ["connectionOver", undefined]));
  await assert.rejects(reader.read(), is("closed", ["connectionOver", undefined]));
});

test("a_stream_fails_by_what_is_larger_than_the_peer_takes_and_not_by_what_is_aborted", async () => {
  const [client] = await pair(Here, { maxMessageBytes: 57_344 });
  const chat = await client.channel("chat");
  const writer = chat.writable.getWriter();
  await writer.write(new Uint8Array(57_345));
  await assert.rejects(writer.closed, is("tooBig"));
  assert.equal(await (await chat.send("it is open")).outcome, "delivered");
  const other = await client.channel("other", { maxSendBytes: 64 << 20 });
  const given = other.writable.getWriter();
  for (let i = 0; i < 1_000; i++) await given.write(new Uint8Array(50_000));
  assert.ok(other.bufferedAmount > 0);
  // Also while a write waits for room.
  const filling = Array.from({ length: 1_000 }, () => given.write(new Uint8Array(100_000)).catch((error) => error));
  await new Promise(setImmediate);
  await given.abort("enough");
  assert.ok((await Promise.all(filling)).includes("enough"));
  assert.equal(other.bufferedAmount, 0);
  await assert.rejects(given.closed, (error) => error === "enough");
  await client.close();
});

test("a_channel_that_the_peer_opens_is_given_a_codec", async () => {
  const [client, server] = await pair();
  const chat = await client.channel("chat", { codec: json });
  for (const value of [{ kind: "hello" }, ["and", 1]]) await chat.send(value);
  const { value: offered } = await server.channels[Symbol.asyncIterator]().next();
  for (const codec of [undefined, null, {}, "json", { encode() {} }]) {
    assert.throws(() => offered.typed(codec), { code: "option" });
    if (codec) await assert.rejects(client.channel("wrong", { codec }), { code: "option" });
  }
  // What has come before it is decoded, too.
  const there = offered.typed(json);
  assert.deepEqual([await there.recv(), await there.recv()], [{ kind: "hello" }, ["and", 1]]);
  await there.send({ kind: "welcome" });
  assert.deepEqual(await chat.recv(), { kind: "welcome" });
  await assert.rejects(there.send(undefined), { code: "encode" });
  const reading = there.recv();
  await (await client.channel("raw")).send("x");
  await chat.send("text");
  assert.equal(await reading, "text");
  await client.close();
});

test("a_close_tells_that_the_peer_has_everything_and_the_end_of_it", async () => {
  const { client, chat, there } = await channelled();
  const ticket = await chat.send("the last");
  assert.deepEqual(await chat.close(), { kind: "closed" });
  assert.equal(await ticket.outcome, "delivered");
  assert.deepEqual([await chat.stopped, await chat.close()], [{ kind: "closed" }, { kind: "closed" }]);
  assert.deepEqual([await there.recv(), await there.recv(), await there.ended], ["the last", undefined, { kind: "closed" }]);
  // The other direction goes on.
  await there.send("an answer");
  assert.equal(await chat.recv(), "an answer");
  await client.close();
});

test("a_close_whose_connection_is_lost_says_so_with_nothing_queued_as_well", async () => {
  for (const fills of [false, true]) {
    const { client, chat, there } = await channelled();
    if (fills) fill(chat);
    // What the client says from here on arrives nowhere.
    Here.made.send = () => {};
    const closing = chat.close();
    // Also when nobody has the channel any more.
    chat.stop();
    await new Promise(setImmediate);
    Here.made.close(1006);
    assert.deepEqual(await closing, { kind: "connectionOver" });
    assert.deepEqual([(await client.closed).code, await chat.stopped, await there.ended].map((end) => end.kind ?? end), [1006, "connectionOver", "connectionOver"]);
  }
});

test("an_own_reset_is_what_it_has_ended_with_and_what_is_sent_then_is_refused_by_the_channel", async () => {
  const { client, chat, there } = await channelled();
  const detail = new TextEncoder().encode("no more");
  const end = { kind: "reset", code: 38, detail: new Uint8Array(detail) };
  chat.reset(38, detail);
  detail.fill(0);
  assert.deepEqual([await chat.stopped, await chat.close(), await there.ended], [end, end, end]);
  const refused = (error) => {
    assert.ok(error instanceof TidegateError && error.code === "closed" && error.data === "x", String(error));
    assert.match(error.message, /the channel takes no more messages/);
    assert.deepEqual(error.cause, end);
    return true;
  };
  await assert.rejects(chat.send("x"), refused);
  assert.throws(() => chat.trySend("x"), refused);
  // What the peer does later is no other end of it.
  there.stop(37);
  there.reset(33, new Uint8Array(2_000));
  assert.deepEqual(await chat.ended, { kind: "reset", code: 33, detail: new Uint8Array(1_024) });
  assert.deepEqual(await there.stopped, { kind: "reset", code: 33, detail: new Uint8Array(1_024) });
  assert.deepEqual(await chat.stopped, end);
  // Nor is the end of the connection, of which one that was closed speaks.
  const other = await client.channel("other");
  await client.close();
  await assert.rejects(other.send("x"), ({ message }) => /the connection is closed/.test(message));
  await assert.rejects(chat.send("x"), refused);
});

test("a_close_that_waits_hears_that_the_peer_wants_no_more", async () => {
  // In what is queued, and behind what has gone: its end crosses the word of the peer.
  for (const fills of [true, false]) {
    const { client, chat, there } = await channelled();
    if (fills) fill(chat);
    else await chat.send("the last");
    const give = Here.made.send;
    const held = [];
    if (!fills) Here.made.send = (data) => held.push(new Uint8Array(data));
    const closing = chat.close();
    there.stop(38, new Uint8Array([1]));
    await new Promise(setImmediate);
    Here.made.send = give;
    for (const data of held) Here.made.send(data);
    assert.deepEqual(await closing, { kind: "reset", code: 38, detail: new Uint8Array([1]) });
    await assert.rejects(chat.send("x"), { code: "closed" });
    await client.close(1000, "", { within: 1 });
  }
});

test("a_reset_behind_a_close_cuts_off_what_has_not_gone", async () => {
  const { client, chat, there } = await channelled();
  const tickets = fill(chat);
  const closing = chat.close();
  chat.reset(32);
  assert.equal((await closing).code, 32);
  assert.ok((await Promise.all(tickets.map(({ outcome }) => outcome))).includes("cancelled"));
  while ((await there.recv()) !== undefined);
  assert.equal((await there.ended).code, 32);
  // Behind one that was heard it changes nothing.
  assert.deepEqual(await there.close(), { kind: "closed" });
  there.reset();
  assert.deepEqual([await there.stopped, await chat.ended], [{ kind: "closed" }, { kind: "closed" }]);
  await client.close();
});

/** That what was to be flushed is not known to be there, since the channel has ended so. */
function lost(end) {
  return (error) => {
    assert.ok(error instanceof TidegateError && error.code === "closed", String(error));
    assert.deepEqual([error.cause, error.closed], [end, undefined]);
    assert.match(error.message, end.kind === "reset" ? /reset/ : /the connection has ended/);
    return true;
  };
}

test("flushed_fails_if_something_was_lost_with_the_end_of_the_channel_as_it_was", async () => {
  const over = { kind: "connectionOver" };
  const network = () => Here.made.close(1006);
  for (const fills of [false, true]) {
    const { client, chat } = await channelled();
    // What the client says from here on arrives nowhere.
    Here.made.send = () => {};
    if (fills) fill(chat);
    else await chat.send("x");
    await client.send("of the connection");
    const before = [chat.flushed(), client.flushed()];
    network();
    const closed = await client.closed;
    await assert.rejects(before[0], lost(over));
    await assert.rejects(chat.flushed(), lost(over));
    for (const flushed of [before[1], client.flushed()]) {
      await assert.rejects(flushed, (error) => error.code === "closed" && error.closed === closed);
    }
  }
  // Nothing was, neither before the end nor without one.
  const { client, chat, there } = await channelled();
  await chat.flushed();
  await (await chat.send("x")).outcome;
  const other = await client.channel("other");
  fill(other);
  network();
  await client.closed;
  await chat.flushed();
  await client.flushed();
  assert.equal(await there.recv(), "x");
});

test("flushed_is_told_of_what_was_thrown_away_as_the_resets_of_both_sides_crossed", async () => {
  for (const own of [true, false]) {
    const { client, chat, there } = await channelled();
    const give = Here.made.send;
    const held = [];
    Here.made.send = (data) => held.push(new Uint8Array(data));
    await chat.send("thrown away");
    let end = { kind: "reset", code: 33, detail: new Uint8Array([1]) };
    const flushed = chat.flushed();
    if (own) {
      chat.reset(40);
      end = { kind: "reset", code: 40, detail: new Uint8Array(0) };
    }
    there.stop(33, new Uint8Array([1]));
    // The other direction goes on.
    await assert.rejects(flushed, lost(end));
    await assert.rejects(chat.flushed(), lost(end));
    assert.deepEqual(await chat.stopped, end);
    Here.made.send = give;
    for (const data of held) Here.made.send(data);
    await there.send("still");
    assert.equal(await chat.recv(), "still");
    await client.close(1000, "", { within: 1 });
  }
  // What never went is not lost, but dropped.
  const { client, chat } = await channelled();
  fill(chat);
  const flushed = chat.flushed();
  chat.reset();
  await flushed;
  await client.close(1000, "", { within: 1 });
});

test("a_code_that_the_peer_would_not_know_is_refused_where_it_is_given", async () => {
  const { client, chat, there } = await channelled();
  for (const code of [0, 31, 42, 38.5, -1, NaN, Infinity, 2 ** 40, "38", {}]) {
    for (const say of ["reset", "stop"]) assert.throws(() => chat[say](code), { name: "TidegateError", code: "option" }, String(code));
  }
  for (const detail of ["why", 1, [1], new ArrayBuffer(1)]) {
    for (const say of [() => chat.reset(38, detail), () => chat.stop(32, detail), () => chat.refuse(detail)]) {
      assert.throws(say, { name: "TidegateError", code: "option" }, String(detail));
    }
  }
  // Nothing has happened.
  await chat.send("still");
  assert.equal(await there.recv(), "still");
  await there.send("open");
  assert.equal(await chat.recv(), "open");
  for (const code of [32, 41]) {
    const other = await client.channel("other");
    other.reset(code);
    other.stop(code);
    assert.deepEqual([(await other.stopped).code, (await other.ended).code], [code, code]);
  }
  await client.close();
});

test("a_write_that_waits_for_room_fails_by_the_peers_reset_and_so_does_closing", async () => {
  const { client, chat, there } = await channelled();
  const writer = chat.writable.getWriter();
  const writes = [];
  // More than there is room for, of which the peer has not taken anything.
  for (let i = 0; i < 40; i++) writes.push(writer.write(new Uint8Array(1 << 20)));
  const settled = Promise.allSettled(writes);
  await until(() => chat.bufferedAmount >= 15 << 20);
  await new Promise(setImmediate);
  there.stop(33, new Uint8Array(3));
  const failed = (await settled).filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  assert.ok(failed.length > 1);
  for (const reason of failed) is("reset", ["reset", 33])(reason);
  await assert.rejects(writer.closed, is("reset", ["reset", 33]));
  // One that has nothing to write fails when it is closed.
  const other = await client.channel("other");
  const idle = other.writable.getWriter();
  Here.made.send = () => {};
  const closing = idle.close();
  await new Promise(setImmediate);
  Here.made.close(1006);
  await assert.rejects(closing, is("closed", ["connectionOver", undefined]));
});

test("a_close_in_tidegate_mode_is_1000_or_4200_whatever_code_it_is_given_and_its_reason_arrives", async () => {
  for (const [code, reason, told] of [[4401, "session expired", 4200], [3000, "", 4200], [1000, "bye", 1000], [undefined, "bye", 1000], [undefined, "", 4200]]) {
    for (const server of [true, false]) {
      const both = await pair();
      const [from, to] = server ? both.reverse() : both;
      await from.close(code, reason);
      const closed = await to.closed;
      assert.deepEqual([closed.code, closed.reason], [told, reason]);
    }
  }
});

test("a_peer_that_falls_silent_is_given_up_by_either_end_as_soon_as_the_server_has_said", async (t) => {
  let time = performance.now();
  t.mock.method(performance, "now", () => time);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  /** Carries nothing more once it is cut, and nobody answers a close. */
  class Cut extends Here {
    isCut = false;
    said = [];
    send(data) {
      if (!this.isCut) super.send(data);
    }
    hear(data) {
      if (!this.isCut) super.hear(data);
    }
    close(code, reason) {
      if (!this.isCut) return super.close(code, reason);
      this.readyState = 2;
      this.said.push(code);
    }
  }
  /** Half a second, and what is due in it. */
  const pass = async () => {
    time += 500;
    t.mock.timers.tick(500);
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  };
  for (const pingAfter of [4_000, undefined]) {
    const [client, server] = await pair(Cut, { pingAfter });
    const ends = [];
    for (const socket of [client, server]) void socket.closed.then(({ cause }) => ends.push(cause));
    // Who answers stays.
    for (let i = 0; i < 1_000; i += 1) await pass();
    assert.deepEqual(ends, []);
    Here.made.isCut = true;
    const began = time;
    while (ends.length < 2) await pass();
    const took = (time - began) / (pingAfter ?? 20_000);
    assert.ok(took >= 1.25 && took <= 5, String(took));
    assert.deepEqual(ends, ["silent", "silent"]);
    assert.equal((await client.closed).code, 1006);
    // Told as well, should anybody be there.
    assert.ok(Here.made.said.includes(4207));
  }
});

test("flushed_of_a_socket_tells_at_once_of_what_was_lost_as_the_peer_goes_away", async () => {
  /** Keeps what is for the client until it is let through. */
  class Held extends Here {
    held;
    hear(data) {
      if (this.held) this.held.push(Buffer.from(data));
      else super.hear(data);
    }
  }
  const [client, server] = await pair(Held);
  const chat = await client.channel("chat");
  const { value: there } = await server.channels[Symbol.asyncIterator]().next();
  await chat.accepted;
  const { made } = Here;
  made.held = [];
  const over = server.end({ within: 60_000 });
  const ticket = await client.send("crosses its word");
  const { held } = made;
  made.held = undefined;
  for (const data of held) made.hear(data);
  await assert.rejects(client.flushed(), ({ code, closed }) => code === "closed" && closed === undefined);
  assert.equal(await ticket.outcome, "unsent");
  // The channel keeps the connection, and goes on.
  await chat.send("goes on");
  assert.equal(await there.recv(), "goes on");
  await Promise.all([chat.close(), there.close()]);
  await over;
  await assert.rejects(client.flushed(), { code: "closed" });
});

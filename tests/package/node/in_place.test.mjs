/**
 * A browser's socket has copied a message when `send` is back, so large ones are given to it where they lie, and what is sent
 * with them is written around them for so long. Nobody may see that: not who has sent them, nor the peer, nor who has put a
 * `send` of his own in front of the browser's.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Here, content, pair } from "./in_memory.mjs";

/** Room that is made around large messages. */
const MARGIN = 64;

/** Whether a message was given where the content of an item of so many bytes lies. */
const isInPlace = (data, size) => data.buffer.byteLength === size + 2 * MARGIN && data.byteLength < data.buffer.byteLength;

/** A socket that copies at once, as a browser's does. */
class Browsers extends Here {
  /** Called with each message while it is being given. */
  seen = () => {};

  send(data) {
    this.seen(data);
    // What it was given is looked at no more.
    super.send(new Uint8Array(data));
  }
}

/** `act` where the sockets of `Class` are the host's own, whose `send` shows itself as `text`. */
async function as(Class, text, act) {
  const { toString } = Function.prototype;
  const { WebSocket } = globalThis;
  Function.prototype.toString = function () {
    return this === Class.prototype.send ? text : toString.call(this);
  };
  globalThis.WebSocket = Class;
  try {
    await act();
  } finally {
    Function.prototype.toString = toString;
    globalThis.WebSocket = WebSocket;
  }
}

// As Chromium, Firefox and WebKit have it.
const NATIVE = ["function send() { [native code] }", "function send() {\n    [native code]\n}"];

/** Sends until the link is known to be so fast that messages are given where they lie. Gives the memory of the first. */
async function warm(client, server, socket) {
  const bytes = content(17, 1 << 20);
  const { seen } = socket;
  let memory;
  socket.seen = (data) => (memory ??= isInPlace(data, bytes.length) ? data.buffer : undefined);
  for (let n = 0; !memory && n < 100; n++) {
    await client.send(bytes);
    assert.deepEqual(new Uint8Array(await server.recv()), bytes);
  }
  assert.ok(memory, "no message was given where it lies");
  socket.seen = seen;
  return { bytes, memory };
}

const SIZES = [16_383, 16_384, 16_385, 65_504, 65_536, 262_144, 262_145, 1 << 20, 3_000_001];

/** The content in memory of each kind, the memory and what it is to be all the time. */
function* memories(bytes) {
  const kinds = {
    buffer: () => new ArrayBuffer(bytes.length),
    "part of a buffer": () => new Uint8Array(new ArrayBuffer(bytes.length + 1_000), 500, bytes.length),
    "view of words": () => new Uint16Array(new ArrayBuffer(bytes.length + 3), 2, bytes.length >> 1),
    "shared memory": () => new SharedArrayBuffer(bytes.length),
    "part of shared memory": () => new Uint8Array(new SharedArrayBuffer(bytes.length + 1_000), 500, bytes.length),
    "memory that may grow": () => new ArrayBuffer(bytes.length, { maxByteLength: 2 * bytes.length }),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    const data = make();
    const memory = new Uint8Array(data.buffer ?? data).fill(0xa5);
    const view = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : memory;
    view.set(bytes.subarray(0, view.length));
    yield { kind, data, memory, sent: view.slice(), before: memory.slice() };
  }
}

test("large_messages_are_given_where_they_lie_and_arrive_as_they_were", async () => {
  for (const text of NATIVE) {
    await as(Browsers, text, async () => {
      const [client, server] = await pair(Browsers);
      let inPlace = 0;
      Here.made.seen = (data) => (inPlace += SIZES.some((size) => isInPlace(data, size)));
      const chat = await client.channel("chat");
      const { value: there } = await server.channels[Symbol.asyncIterator]().next();
      for (const size of SIZES) {
        const bytes = content(7, size);
        for (const [from, to] of [[client, server], [chat, there], [server, client], [there, chat]]) {
          const ticket = await from.send(bytes);
          assert.deepEqual(new Uint8Array(await to.recv()), bytes, `${size}`);
          assert.equal(await ticket.outcome, "delivered");
        }
        const words = "€x".repeat(size >> 2);
        await client.send(words);
        assert.ok((await server.recv()) === words, `${size} of text`);
      }
      assert.ok(inPlace > 20, `${inPlace} messages`);
      await client.close();
    });
  }
});

test("nobody_sees_that_messages_are_given_where_they_lie", async () => {
  await as(Browsers, NATIVE[0], async () => {
    const [client, server] = await pair(Browsers);
    const socket = Here.made;
    await warm(client, server, socket);
    for (const { kind, data, memory, sent, before } of memories(content(11, 700_000))) {
      let calls = 0;
      let wrong = 0;
      socket.seen = (message) => {
        calls++;
        // Also while it is being sent. What is thrown from here is a message that was not sent.
        wrong += message.buffer === memory.buffer || !Buffer.from(memory).equals(before);
      };
      // Several at once of the same memory, which then is another message.
      const tickets = [await client.send(data), await client.send(data, { priority: "urgent" }), client.trySend(data)];
      assert.deepEqual(memory, before, kind);
      memory.fill(1);
      before.fill(1);
      for (let i = 0; i < tickets.length; i++) assert.deepEqual(new Uint8Array(await server.recv()), sent, kind);
      for (const ticket of tickets) assert.equal(await ticket.outcome, "delivered");
      assert.ok(calls > 3, kind);
      assert.equal(wrong, 0, kind);
      socket.seen = () => {};
    }
    await client.close();
  });
});

test("memory_that_was_given_away_is_written_to_by_nobody", async () => {
  await as(Browsers, NATIVE[0], async () => {
    const [client, server] = await pair(Browsers);
    const bytes = content(13, 600_000);
    const whole = new Uint8Array(bytes.length + 2 * MARGIN);
    whole.set(bytes, MARGIN);
    // Of the shape of what is written around.
    await client.send(whole.subarray(MARGIN, MARGIN + bytes.length), { transfer: true });
    assert.equal(whole.length, 0);
    assert.deepEqual(new Uint8Array(await server.recv()), bytes);
    const kept = bytes.slice();
    assert.equal(await client.trySend(kept, { transfer: true }).outcome, "delivered");
    assert.equal(kept.length, 0);
    assert.deepEqual(new Uint8Array(await server.recv()), bytes);
    await client.close();
  });
});

test("what_stood_around_a_message_comes_back_also_if_send_throws", async () => {
  await as(Browsers, NATIVE[0], async () => {
    for (const throws of [false, true]) {
      const [client, server] = await pair(Browsers);
      const socket = Here.made;
      let { bytes, memory } = await warm(client, server, socket);
      if (throws) {
        memory = undefined;
        socket.seen = (data) => {
          if (!isInPlace(data, bytes.length)) return;
          memory = data.buffer;
          throw new RangeError("no memory");
        };
        client.trySend(bytes);
      }
      const own = new Uint8Array(memory);
      assert.deepEqual(own.slice(MARGIN, -MARGIN), bytes);
      assert.ok([...own.slice(0, MARGIN), ...own.slice(-MARGIN)].every((byte) => byte === 0));
      await client.close(undefined, "", { within: 1, flush: false });
    }
  });
});

/** A socket that looks at what it was given when `send` is back already. */
class Late extends Here {
  static inPlace = 0;

  send(data) {
    Late.inPlace += SIZES.some((size) => isInPlace(data, size));
    queueMicrotask(() => super.send(new Uint8Array(data)));
  }
}

test("a_socket_that_keeps_what_it_is_given_is_given_what_it_may_keep", async () => {
  const texts = {
    "the application's": undefined,
    "the host's, in JavaScript": Late.prototype.send.toString(),
    "bound, or behind a proxy": "function () { [native code] }",
    "by another name": "function original() { [native code] }",
  };
  for (const [which, text] of Object.entries(texts)) {
    const act = async () => {
      const [client, server] = await pair(Late);
      const chat = await client.channel("chat", { priority: "bulk" });
      const { value: there } = await server.channels[Symbol.asyncIterator]().next();
      const sizes = [0, 20, 5_000, ...SIZES];
      const work = [client, chat, server, there].map(async (from, i) => {
        const to = [server, there, client, chat][i];
        const reads = (async () => {
          for (const size of sizes) assert.deepEqual(new Uint8Array(await to.recv()), content(3 + i, size), `${which}: ${size}`);
        })();
        for (const size of sizes) await from.send(content(3 + i, size));
        await reads;
      });
      await Promise.all(work);
      assert.equal(Late.inPlace, 0, which);
      await client.close();
    };
    if (text === undefined) await act();
    else await as(Late, text, act);
  }
});

/**
 * Tidegate mode over sockets of the application's own that have no network below them: each tells of a message from inside of
 * the other's `send`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "tidegate/channels";
import { accept } from "tidegate/server";

/** The client's end, in the shape of a browser's socket. */
class Here extends EventTarget {
  /** The one that was made last. */
  static made;
  url = "ws://in.memory/";
  protocol = "";
  extensions = "";
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  peer = new There(this);

  constructor() {
    super();
    Here.made = this;
  }
  open() {
    [this.protocol, this.readyState] = ["tidegate.v1", 1];
    this.dispatchEvent(new Event("open"));
  }
  send(data) {
    this.peer.tell("message", { data: Buffer.from(data) });
  }
  hear(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: new Uint8Array(data).buffer }));
  }
  close(code = 1005, reason = "") {
    if (this.readyState > 1) return;
    this.readyState = 3;
    const closed = { code, reason, wasClean: true };
    this.peer.tell("close", closed);
    this.dispatchEvent(Object.assign(new Event("close"), closed));
  }
}

/** The server's end, in the shape of one of `ws`. */
class There {
  protocol = "tidegate.v1";
  extensions = "";
  readyState = 1;
  bufferedAmount = 0;
  binaryType = "nodebuffer";
  #here;
  #listeners = [];

  constructor(here) {
    this.#here = here;
  }
  addEventListener(type, listener) {
    this.#listeners.push([type, listener]);
  }
  removeEventListener(type, listener) {
    this.#listeners = this.#listeners.filter((known) => known[0] !== type || known[1] !== listener);
  }
  on() {}
  ping() {}
  pause() {}
  resume() {}
  tell(type, told) {
    if (type === "close") this.readyState = 3;
    for (const [name, listener] of this.#listeners) if (name === type) listener({ type, ...told });
  }
  send(data, done) {
    this.#here.hear(data);
    done();
  }
  close(code, reason) {
    this.#here.close(code, reason);
  }
  terminate() {
    this.#here.close(1006);
  }
}

/** A client and a server. */
async function pair() {
  const connecting = connect("ws://in.memory/", { WebSocket: Here });
  const accepting = accept(Here.made.peer);
  Here.made.open();
  return Promise.all([connecting, accepting]);
}

const PRIORITIES = ["urgent", "normal", "bulk", "background"];

/** The content of a message. */
const content = (seed, size) => Uint8Array.from({ length: size }, (_, i) => (i * seed + (i >> 8)) & 0xff);

test("what_is_acknowledged_within_send_was_sent", async () => {
  const [client, server] = await pair();
  for (const [from, to] of [[client, server], [server, client]]) {
    for (const priority of PRIORITIES) {
      const ticket = await from.send("x", { priority });
      assert.equal(await to.recv(), "x");
      assert.equal(await ticket.outcome, "delivered", priority);
    }
  }
  const chat = await client.channel("chat", { priority: "urgent" });
  const ticket = await chat.send("y");
  const { value: there } = await server.channels[Symbol.asyncIterator]().next();
  assert.equal(await there.recv(), "y");
  assert.equal(await ticket.outcome, "delivered");
  const { code, cause } = await client.close(1000, "bye");
  assert.deepEqual([code, cause], [1000, "local"]);
  assert.equal((await server.closed).reason, "bye");
});

test("messages_that_are_told_of_within_send_arrive_whole_and_in_their_order", async () => {
  const [client, server] = await pair();
  const sizes = [0, 1, 700, 5_000, 65_536, 300_000];
  const sender = async (to, seed) => {
    for (const size of sizes) await to.send(content(seed, size));
    await to.close();
  };
  const reader = async (from, seed) => {
    for (const size of sizes) assert.deepEqual(new Uint8Array(await from.recv()), content(seed, size), `${from.name} ${size}`);
    assert.equal(await from.recv(), undefined);
  };
  const both = async (channel) => {
    const seed = channel.name.length;
    await Promise.all([sender(channel, seed), reader(channel, seed)]);
  };
  const offered = server.channels[Symbol.asyncIterator]();
  const work = [];
  for (let n = 1; n <= 8; n++) {
    work.push(both(await client.channel("n".repeat(n), { priority: PRIORITIES[n % 4] })));
    work.push(both((await offered.next()).value));
  }
  for (const [from, to] of [[client, server], [server, client]]) {
    work.push(
      (async () => {
        for (const size of sizes) await from.send(content(9, size));
      })(),
      (async () => {
        for (const size of sizes) assert.deepEqual(new Uint8Array(await to.recv()), content(9, size), `${size}`);
      })(),
    );
  }
  await Promise.all(work);
  const { unsent, unknown } = await server.close();
  assert.deepEqual([unsent.messages, unknown.messages], [0, 0]);
  await client.closed;
});

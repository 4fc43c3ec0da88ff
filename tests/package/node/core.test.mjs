/** The package with its real wasm, over a socket that the test drives. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "tidegate";
import { FakeSocket, deferred } from "../facade/fake.mjs";

/** A connection that is open, and its socket. */
async function open(options) {
  let raw;
  class WebSocket extends FakeSocket {
    constructor(...args) {
      super(...args);
      raw = this;
      queueMicrotask(() => this.accept());
    }
  }
  const socket = await connect("ws://host.test/", { WebSocket, ...options });
  return { socket, raw };
}

/** A Blob whose content comes when `read` is resolved: until then nothing overtakes it. */
async function slow(read) {
  const blob = new Blob(["x"]);
  const content = await blob.arrayBuffer();
  return Object.assign(blob, { arrayBuffer: () => read.promise.then(() => content) });
}

test("b19_a_send_that_waits_for_room_is_refused_when_the_connection_ends", async () => {
  const { socket, raw } = await open({ maxSendMessages: 1 });
  const first = await socket.send(await slow(deferred()));
  const waiting = socket.send("waits");
  raw.finish(1001);
  await assert.rejects(waiting, { code: "closed", data: "waits" });
  assert.equal(await first.outcome, "unsent");
  assert.deepEqual((await socket.closed).unsent, { messages: 1, bytes: 1 });
});

test("b39_a_message_that_a_closing_socket_gives_back_is_not_counted", async () => {
  const { socket, raw } = await open();
  raw.readyState = 2;
  await assert.rejects(socket.send("late"), { code: "closed", data: "late" });
  raw.finish(1001);
  assert.deepEqual((await socket.closed).unsent, { messages: 0, bytes: 0 });
});

test("b36_the_first_close_counts_with_code_and_reason", async () => {
  const { socket, raw } = await open();
  const read = deferred();
  await socket.send(await slow(read));
  const [first, second] = [socket.close(1000), socket.close(4000, "second")];
  read.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(raw.closeCalls, [[1000, ""]]);
  raw.finish(1000);
  assert.equal(await first, await second);
});

test("b29_a_blob_that_a_runtime_cannot_read_fails_alone", async () => {
  const { socket, raw } = await open();
  const blob = Object.assign(new Blob(["x"]), { arrayBuffer: undefined });
  assert.equal(await (await socket.send(blob)).outcome, "unreadable");
  await socket.send("next");
  assert.deepEqual(raw.sent, ["next"]);
});

test("b31_a_socket_whose_close_throws_ends_with_the_deadline", async () => {
  const { socket, raw } = await open();
  let calls = 0;
  raw.close = () => {
    if (!calls++) throw new Error("not now");
  };
  assert.equal((await socket.close(1000, "", { within: 20 })).cause, "unconfirmed");
  assert.ok(calls > 1, "it is closed again at the deadline");
  assert.equal(raw.listeners, 0);
});

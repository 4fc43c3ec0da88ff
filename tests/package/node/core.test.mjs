/** The package with its real wasm, over a socket that the test drives. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { connect } from "tidegate";
import { FakeSocket, deferred } from "../facade/fake.mjs";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

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

/** The same, whose socket lets go of nothing until `raw.bufferedAmount` is set: what is sent next is queued. */
async function stuffed(options) {
  const connection = await open(options);
  connection.raw.bufferedAmount = 10_000_000;
  // As a socket of the network does, this one keeps the process alive while it is open.
  const alive = setInterval(() => {}, 1000);
  void connection.socket.closed.then(() => clearInterval(alive));
  await connection.socket.send(new Uint8Array(600_000));
  return connection;
}

/** What the socket was given, but for the first message; of bytes, how many. */
const given = (raw) => raw.sent.slice(1).map((data) => data.byteLength ?? data);

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

test("b05_an_error_without_a_close_event_is_the_end_of_the_attempt", async () => {
  // As Node 22 has it, whose socket stays in the state "connecting" for ever.
  class Silent extends FakeSocket {
    constructor(...args) {
      super(...args);
      queueMicrotask(() => this.dispatchEvent(new Event("error")));
    }
  }
  await assert.rejects(connect("ws://host.test/", { WebSocket: Silent, within: 0 }), ({ code, closed }) => {
    assert.deepEqual([code, closed.code, closed.reason, closed.wasClean], ["connect", 1006, "", false]);
    return true;
  });
  assert.equal(FakeSocket.sockets.at(-1).listeners, 0);
});

test("b28_what_gets_room_is_sent_once_though_others_end_meanwhile", async () => {
  const { socket, raw } = await stuffed({ maxSendBytes: 1000 });
  const expired = await socket.send(new Uint8Array(300), { deadline: 20 });
  await socket.send(new Uint8Array(301));
  const controller = new AbortController();
  const large = socket.send(new Uint8Array(900), { signal: controller.signal });
  const small = ["first", "second"].map((text) => socket.send(text));
  const { now } = performance;
  try {
    // The deadline passes, and whatever is done next finds that out: here that the first of the line is offered.
    performance.now = () => now.call(performance) + 1000;
    controller.abort();
    await assert.rejects(large, { code: "aborted" });
    const tickets = await Promise.all(small);
    raw.bufferedAmount = 0;
    await Promise.all(tickets.map((ticket) => ticket.outcome));
    assert.equal(await expired.outcome, "expired");
  } finally {
    performance.now = now;
  }
  assert.deepEqual(given(raw), [301, "first", "second"]);
  const { queued, handedOver } = socket.stats().classes.normal;
  assert.deepEqual([queued, handedOver.messages], [{ messages: 0, bytes: 0 }, 4]);
  raw.finish(1000);
});

test("b26_a_clock_that_goes_back_holds_up_nothing", async () => {
  const { now } = performance;
  try {
    performance.now = () => now.call(performance) + 86_400_000;
    const { socket, raw } = await stuffed();
    const tickets = [];
    // A clock that says nothing, those that say what none does, and that of fake timers.
    for (const read of [NaN, 1e300, -Infinity, 0]) {
      performance.now = () => read;
      tickets.push(await socket.send(`${read}`, { deadline: 60_000 }));
    }
    performance.now = () => 50;
    const within = await socket.send("within", { deadline: 50 });
    performance.now = () => 150;
    tickets.push(await socket.send("last"));
    assert.equal(await within.outcome, "expired");
    performance.now = now;
    raw.bufferedAmount = 0;
    for (const ticket of tickets) assert.equal(await ticket.outcome, "handedOver");
    assert.deepEqual(given(raw), ["NaN", "1e+300", "-Infinity", "0", "last"]);
    raw.finish(1000);
  } finally {
    performance.now = now;
  }
});

test("b26_a_deadline_of_months_sets_timers_of_weeks", async (t) => {
  const { socket, raw } = await open();
  await socket.send(await slow(deferred()));
  let time = performance.now();
  t.mock.method(performance, "now", () => time);
  // Those of hosts fire at once if they are to wait for longer than this.
  const longest = 2 ** 31 - 1;
  const timers = [];
  t.mock.method(globalThis, "setTimeout", (step, milliseconds) => void timers.push({ step, milliseconds }));
  const days = 86_400_000;
  for (const wait of [20 * days, 40 * days, 100 * days, 1_000 * days]) {
    const ticket = await socket.send("x", { deadline: wait });
    let outcome;
    void ticket.outcome.then((end) => (outcome = end));
    const began = time;
    while (!outcome) {
      assert.equal(timers.length, 1);
      const { step, milliseconds } = timers.pop();
      assert.ok(milliseconds <= longest, String(milliseconds));
      time += milliseconds;
      step();
      await new Promise(setImmediate);
    }
    assert.equal(outcome, "expired");
    assert.ok(time - began >= wait && time - began < wait + 2);
  }
  raw.finish(1000);
});

test("b28_a_send_that_waits_for_room_expires_though_the_clock_has_gone_back_meanwhile", async () => {
  const { socket, raw } = await stuffed({ maxSendMessages: 1 });
  await socket.send("full");
  const { now } = performance;
  try {
    performance.now = () => now.call(performance) + 86_400_000;
    const waiting = socket.send("waits", { deadline: 20 });
    // As much as is lost is what has passed since it was asked last: here nothing, or 20 ms.
    performance.now = now;
    assert.equal(await (await waiting).outcome, "expired");
    raw.finish(1000);
  } finally {
    performance.now = now;
  }
});

test("b28_flows_get_room_in_the_order_in_which_they_asked", async () => {
  const { socket, raw } = await stuffed({ maxSendMessages: 1 });
  const full = await socket.send("full");
  const order = [];
  const ask = (flow) => socket.send(flow, { flow }).then((ticket) => (order.push(flow), ticket));
  const asked = ["a", "b", "a", "c", "a", "b"].map(ask);
  // One at a time: each gets the room of the one before.
  for (let next = full, i = 0; i < asked.length; next = await asked[i++]) next.cancel();
  assert.deepEqual(order, ["a", "b", "a", "c", "a", "b"]);
  raw.finish(1000);
});

test("b26_a_value_that_waits_for_room_does_not_replace_a_newer_one", async () => {
  const { socket, raw } = await stuffed({ maxSendMessages: 1 });
  const full = await socket.send("full", { priority: "bulk" });
  const older = socket.send("older", { priority: "bulk", latest: "key" });
  const newer = await socket.send("newer", { latest: "key" });
  full.cancel();
  assert.equal(await (await older).outcome, "superseded");
  raw.bufferedAmount = 0;
  assert.equal(await newer.outcome, "handedOver");
  assert.deepEqual(given(raw), ["newer"]);
  assert.deepEqual(socket.stats().classes.bulk.superseded, { messages: 1, bytes: 5 });
  raw.finish(1000);
});

test("b39_a_message_that_a_closing_socket_gives_back_is_not_counted", async () => {
  const { socket, raw } = await open();
  raw.readyState = 2;
  await assert.rejects(socket.send("late"), { code: "closed", data: "late" });
  raw.finish(1001);
  assert.deepEqual((await socket.closed).unsent, { messages: 0, bytes: 0 });
});

// A plain message that goes at once passes by the queue, an urgent one does not: what is seen is the same.
for (const priority of ["normal", "urgent"]) {
  test(`b26_what_is_asked_for_inside_a_send_comes_after_it_${priority}`, async () => {
    const { socket, raw } = await open();
    const log = [];
    let inner;
    raw.send = (data) => {
      log.push(`${data} begins`);
      if (data === "outer") {
        inner = ["first", "second"].map((text) => socket.trySend(text, { priority }));
        void socket.close(4001, "bye");
        assert.throws(() => socket.trySend("late", { priority }), { code: "closed", data: "late" });
      }
      log.push(`${data} ends`);
    };
    raw.close = (...how) => log.push(how);
    const outer = socket.trySend("outer", { priority });
    const sent = ["outer", "first", "second"].flatMap((text) => [`${text} begins`, `${text} ends`]);
    assert.deepEqual(log, [...sent, [4001, "bye"]]);
    assert.deepEqual(await Promise.all([outer, ...inner].map((ticket) => ticket.outcome)), Array(3).fill("handedOver"));
    raw.finish(4002);
    assert.deepEqual((await socket.closed).unknown, { messages: 3, bytes: 16 });
  });

  test(`b39_what_ends_inside_a_send_is_counted_once_${priority}`, async () => {
    const { socket, raw } = await open();
    raw.send = () => raw.finish(1006, "", false);
    assert.equal(await socket.trySend("unknown", { priority }).outcome, "handedOver");
    assert.throws(() => socket.trySend("late", { priority }), { code: "closed", data: "late" });
    const { unsent, unknown } = await socket.closed;
    assert.deepEqual([unsent, unknown], [{ messages: 0, bytes: 0 }, { messages: 1, bytes: 7 }]);
  });

  test(`b39_what_the_socket_refuses_is_unsent_and_given_back_${priority}`, async () => {
    const { socket, raw } = await open();
    raw.send = () => {
      throw new Error("not now");
    };
    assert.throws(() => socket.trySend("refused", { priority }), { code: "closed", data: "refused" });
    raw.finish(1001);
    const { unsent, unknown } = await socket.closed;
    assert.deepEqual([unsent, unknown], [{ messages: 1, bytes: 7 }, { messages: 0, bytes: 0 }]);
  });
}

test("b38_what_others_throw_inside_the_wasm_is_reported_and_the_connection_goes_on", async () => {
  const { socket, raw } = await stuffed();
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const reported = new Promise((resolve) => process.once("uncaughtException", resolve));
  const failure = new Error("not now");
  const signal = Object.assign(new EventTarget(), {
    removeEventListener() {
      throw failure;
    },
  });
  try {
    const first = await socket.send("first", { signal });
    assert.equal(first.cancel(), true);
    assert.equal(await reported, failure);
  } finally {
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
  // The same of the socket itself.
  const second = await socket.send("second");
  let isBroken = true;
  const amount = () => {
    if (isBroken) throw failure;
    return 0;
  };
  const set = () => {};
  Object.defineProperties(raw, { bufferedAmount: { get: amount }, readyState: { get: () => 1 + amount(), set } });
  socket.acknowledged(0);
  assert.equal(await second.outcome, "unsent", "it was looked at, and offered");
  isBroken = false;
  socket.acknowledged(600_000);
  const last = await socket.send("last");
  assert.equal(await last.outcome, "handedOver");
  raw.finish(1000);
  assert.equal((await socket.closed).code, 1000);
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

/** Delivers so many buffers, each filled with its number; gives references to them. */
function deliver(raw, number) {
  return Array.from({ length: number }, (_, i) => {
    const { buffer } = new Uint8Array(1000).fill(i);
    raw.deliver(buffer);
    return new WeakRef(buffer);
  });
}

/** How many of those are still held. */
async function held(references) {
  // A WeakRef that was looked at holds its value to the end of the task.
  await new Promise((resolve) => setImmediate(resolve));
  gc();
  return references.filter((reference) => reference.deref()).length;
}

test("b16_what_is_dropped_leaves_the_facade", async () => {
  for (const [receivePolicy, kept] of [["dropOldest", [98, 99]], ["dropNewest", [0, 1]], ["close", [0, 1]]]) {
    const { socket, raw } = await open({ maxReceiveMessages: 2, receivePolicy });
    assert.equal(await held(deliver(raw, 100)), 2, receivePolicy);
    const dropped = receivePolicy === "close" ? { messages: 0, bytes: 0 } : { messages: 98, bytes: 98_000 };
    assert.deepEqual(socket.dropped, dropped);
    assert.deepEqual(raw.closeCalls, receivePolicy === "close" ? [[4009, "receive queue overflow"]] : []);
    for (const number of kept) assert.equal(new Uint8Array(await socket.recv())[0], number);
    raw.finish(1000);
    await socket.closed;
  }
});

test("b17_what_is_taken_after_the_end_is_let_go", async () => {
  const { socket, raw } = await open();
  const references = deliver(raw, 5);
  raw.finish(1000);
  await socket.closed;
  for (let number = 0; number < 3; number++) assert.equal(new Uint8Array(await socket.recv())[0], number);
  assert.equal(await held(references), 2);
  for (let number = 3; number < 5; number++) assert.equal(new Uint8Array(socket.tryRecv())[0], number);
  assert.equal(await socket.recv(), undefined);
  assert.equal(await held(references), 0);
  assert.equal(socket.readyState, 3, "the socket itself is still there");
});

test("b16_a_bound_of_zero_is_none_and_an_unknown_kind_takes_a_place", async () => {
  const { socket, raw } = await open({ maxReceiveBytes: 0, maxReceiveMessages: 2, receivePolicy: "dropOldest" });
  for (const data of [42, "x".repeat(1 << 20), "y".repeat(1 << 20)]) raw.deliver(data);
  assert.deepEqual(socket.dropped, { messages: 1, bytes: 0 });
  const unbounded = await open({ maxReceiveBytes: 0, maxReceiveMessages: 0, receivePolicy: "dropNewest" });
  for (let i = 0; i < 100_000; i++) unbounded.raw.deliver("x");
  assert.deepEqual(unbounded.socket.dropped, { messages: 0, bytes: 0 });
});

test("b16_messages_dropped_before_the_wasm_is_there_are_counted_too", async () => {
  // In one task with the constructor: all of them are there when the wasm takes over.
  class Eager extends FakeSocket {
    constructor(...args) {
      super(...args);
      queueMicrotask(() => {
        this.accept();
        for (const text of ["a", "b", "c"]) this.deliver(text);
      });
    }
  }
  const socket = await connect("ws://host.test/", { WebSocket: Eager, maxReceiveMessages: 1, receivePolicy: "dropOldest" });
  assert.deepEqual([socket.dropped, socket.tryRecv()], [{ messages: 2, bytes: 2 }, "c"]);
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

/**
 * Unit tests of the facade over a fake socket and a fake core, in Node. TIDEGATE_PACKAGE names the
 * folder of the built package; default: the one installed here.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { FakeCore, FakeSocket, deferred } from "./fake.mjs";

const { TIDEGATE_PACKAGE } = process.env;
const folder = TIDEGATE_PACKAGE ? pathToFileURL(`${TIDEGATE_PACKAGE}/`) : import.meta.resolve("tidegate");
const load = (file) => import(new URL(file, folder).href);
const { connectOn } = await load("connect.js");
const { connectChannelsBy } = await load("channels-api.js");
const { resolveAddress, checkProtocols } = await load("address.js");
const { byteLength, parcel } = await load("data.js");
const { Inbox } = await load("inbox.js");
const { Marks } = await load("marks.js");
const { TidegateError, json } = await load("api.js");

const URL_ = "ws://host.test/";
const rejections = [];
process.on("unhandledRejection", (error) => rejections.push(error));
afterEach(() => new Promise((done) => setImmediate(done)).then(() => assert.deepEqual(rejections.splice(0), [])));

/** An open socket with its fake core and fake socket. */
async function opened(options = {}) {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const pending = connect(URL_, { WebSocket: FakeSocket, ...options });
  const raw = FakeSocket.sockets.at(-1);
  raw.accept(options.accept ?? "");
  const socket = await pending;
  return { socket, raw, core: FakeCore.cores.at(-1) };
}

/** A class for those who are not to make a socket: an attempt is another error than the one that is expected. */
const Refusing = class {
  constructor() {
    throw new Error("mixed content");
  }
};

/** That the error has this code and a message in which `words` are. */
const tells = (expected, words) => (error) => {
  code(expected)(error);
  assert.ok(error.message.includes(words), error.message);
  return true;
};

const code = (expected) => (error) => {
  assert.ok(error instanceof TidegateError, String(error));
  assert.equal(error.code, expected);
  assert.ok(error.message.length > 10);
  return true;
};

test("b1_bad_subprotocols_are_typed_errors_before_the_constructor", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const before = FakeSocket.sockets.length;
  for (const protocols of ["", "a b", "a,b", "a/b", ["a", "a"], ["ok", ""], "ä"]) {
    await assert.rejects(connect(URL_, { WebSocket: FakeSocket, protocols }), code("protocols"));
  }
  assert.equal(FakeSocket.sockets.length, before);
  assert.deepEqual(checkProtocols(["chat.v2", "x_y~z"]), ["chat.v2", "x_y~z"]);
  assert.deepEqual(checkProtocols("one"), ["one"]);
});

test("b2_addresses_resolve_as_in_the_standard", () => {
  const base = "https://page.test/dir/index.html";
  assert.equal(resolveAddress("/live?x=1", base), "wss://page.test/live?x=1");
  assert.equal(resolveAddress("live", base), "wss://page.test/dir/live");
  assert.equal(resolveAddress("//other.test/live", base), "wss://other.test/live");
  assert.equal(resolveAddress("http://other.test:81/"), "ws://other.test:81/");
  assert.equal(resolveAddress(new URL("ws://other.test")), "ws://other.test/");
  for (const bad of ["ftp://host.test/", "ws://host.test/#", "ws://host.test/#top", "ws://", "ws://[::bad/"]) {
    assert.throws(() => resolveAddress(bad, base), code("url"), bad);
  }
});

test("b3_a_relative_address_without_a_base_is_a_typed_error", () => {
  assert.throws(() => resolveAddress("/live"), code("url"));
  assert.throws(() => resolveAddress("/live", "blob:https://page.test/8f14"), code("url"));
});

/** What of an error anybody may come to see who prints it. */
const printed = (error) => inspect(error, { depth: 9, showHidden: true });

test("no_error_shows_what_may_be_secret_in_an_address", async () => {
  const secrets = "wss://user:hidden@host.test:8443/live/@all?token=hidden";
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const fails = async (connecting, expected, words) => {
    const error = await connecting.then(assert.fail, (error) => error);
    tells(expected, words)(error);
    assert.ok(!/hidden|user/.test(printed(error)), printed(error));
  };
  const refused = connect(secrets, { WebSocket: FakeSocket });
  FakeSocket.sockets.at(-1).finish(1006, "", false);
  await fails(refused, "connect", "wss://host.test:8443/live/@all ");
  await fails(connectOn({ Core: FakeCore, load: () => new Promise(() => {}) })(secrets, { WebSocket: FakeSocket, within: 1 }), "timeout", "wss://host.test:8443/live/@all ");
  await fails(connect(secrets, { WebSocket: Refusing }), "environment", "wss://host.test:8443/live/@all;");
  // The socket has all of it.
  assert.equal(FakeSocket.sockets.at(-1).url, secrets);
  for (const [bad, shown] of [
    [`${secrets}#top`, "the address has a fragment"],
    ["ftp://user:hidden@host.test/?hidden", "the address has the scheme ftp:"],
    ["ws:\\\\user:hidden@host.test/#top", "the address has a fragment"],
    ["ws://user:hid?den@host.test/", '"" is not'],
    ["ws://user:hid#den@host.test/", '"" is not'],
    ["/live?token=a@hidden", '"" is not'],
    ["ws://user:hid/den@host.test/?hidden", '"host.test/" is not'],
    ["ws://user:hidden@host.test:99999/", '"host.test:99999/" is not'],
    ["/live?token=hidden", '"/live" is not'],
  ]) {
    await fails(connect(bad, { WebSocket: FakeSocket }), "url", shown);
  }
});

test("b5_a_refused_connection_fails_once_with_the_close_event", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const pending = connect(URL_, { WebSocket: FakeSocket });
  const raw = FakeSocket.sockets.at(-1);
  raw.dispatchEvent(new Event("error"));
  raw.finish(1006, "", false);
  await assert.rejects(pending, (error) => code("connect")(error) && error.closed.code === 1006 && !error.closed.wasClean);
  assert.equal(raw.listeners, 0);
  assert.ok(FakeCore.cores.at(-1).freed);
});

test("b5_an_unacknowledged_subprotocol_fails_even_if_the_browser_opens", async () => {
  for (const wasm of [undefined, deferred()]) {
    const connect = connectOn({ Core: FakeCore, load: () => wasm?.promise });
    const pending = connect(URL_, { WebSocket: FakeSocket, protocols: "chat" });
    const raw = FakeSocket.sockets.at(-1);
    raw.accept("");
    wasm?.resolve();
    await assert.rejects(pending, (error) => code("connect")(error) && error.closed.code === 1006 && error.closed.cause === "peer");
    assert.equal(raw.closeCalls.length, 1);
    assert.equal(raw.listeners, 0);
  }
});

test("b6_abort_before_and_after_the_wasm_is_there_leaves_nothing_behind", async () => {
  const early = new AbortController();
  await assert.rejects(
    connectOn({ Core: FakeCore, load: () => undefined })(URL_, { signal: AbortSignal.abort(), WebSocket: FakeSocket }),
    code("aborted"),
  );
  const wasm = deferred();
  const pending = connectOn({ Core: FakeCore, load: () => wasm.promise })(URL_, { signal: early.signal, WebSocket: FakeSocket });
  const raw = FakeSocket.sockets.at(-1);
  const cores = FakeCore.cores.length;
  assert.equal(raw.listeners, 1);
  early.abort("enough");
  await assert.rejects(pending, (error) => code("aborted")(error) && error.cause === "enough");
  assert.equal(raw.listeners, 0);
  assert.equal(raw.closeCalls.length, 1);
  wasm.resolve();
  await wasm.promise;
  assert.equal(FakeCore.cores.length, cores);

  const late = new AbortController();
  const second = connectOn({ Core: FakeCore, load: () => undefined })(URL_, { signal: late.signal, WebSocket: FakeSocket });
  late.abort();
  await assert.rejects(second, (error) => code("aborted")(error) && error.closed.cause === "aborted");
  assert.equal(FakeSocket.sockets.at(-1).listeners, 0);
});

test("b6_the_signal_keeps_no_listener_and_does_nothing_once_open", async () => {
  const controller = new AbortController();
  let listeners = 0;
  const { signal } = controller;
  for (const [method, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    const original = signal[method];
    signal[method] = (...args) => ((listeners += step), original.apply(signal, args));
  }
  const { socket, core } = await opened({ signal });
  assert.equal(listeners, 0);
  controller.abort();
  assert.equal(socket.readyState, 1);
  assert.equal(core.freed, false);
});

test("b8_the_deadline_covers_the_loading_of_the_wasm", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => new Promise(() => {}) });
  await assert.rejects(connect(URL_, { within: 5, WebSocket: FakeSocket }), code("timeout"));
  assert.equal(FakeSocket.sockets.at(-1).closeCalls.length, 1);
  assert.equal(FakeSocket.sockets.at(-1).listeners, 0);
});

test("b8_the_rest_of_the_deadline_goes_to_the_core", async () => {
  assert.ok((await opened({ within: 500 })).core.connectMs <= 500);
  assert.ok((await opened()).core.connectMs > 74_000);
  assert.equal((await opened({ within: 0 })).core.connectMs, 0);
  assert.equal((await opened({ within: Infinity })).core.connectMs, 0);
  assert.equal((await opened({ within: 1e12 })).core.connectMs, 0x7fffffff);
});

test("b9_events_from_before_the_wasm_arrive_in_order", async () => {
  const wasm = deferred();
  const pending = connectOn({ Core: FakeCore, load: () => wasm.promise })(URL_, { WebSocket: FakeSocket });
  const raw = FakeSocket.sockets.at(-1);
  raw.accept("chat");
  raw.deliver("one");
  raw.deliver(new Uint8Array([1, 2, 3]).buffer);
  raw.deliver("three");
  raw.finish(4001, "bye");
  wasm.resolve();
  const socket = await pending;
  assert.deepEqual(FakeCore.cores.at(-1).early, ["open", "message", "message", "message", "close"]);
  assert.equal(socket.protocol, "chat");
  const seen = [];
  for await (const message of socket) seen.push(message);
  assert.deepEqual(seen, ["one", new Uint8Array([1, 2, 3]).buffer, "three"]);
  assert.equal((await socket.closed).code, 4001);
});

test("b11_messages_before_the_close_come_out_then_one_end_for_ever", async () => {
  const { socket, raw, core } = await opened();
  raw.deliver("a");
  raw.deliver("b");
  raw.finish(1000, "done");
  await socket.closed;
  await null;
  assert.ok(core.freed, "the wasm side is given back though nobody has read yet");
  assert.equal(socket.tryRecv(), "a");
  assert.equal(await socket.recv(), "b");
  assert.equal(await socket.recv(), undefined);
  assert.equal(await socket.recv(), undefined);
  assert.deepEqual(await socket[Symbol.asyncIterator]().next(), { done: true, value: undefined });
});

test("b11_a_waiting_reader_ends_with_the_connection", async () => {
  const { socket, raw } = await opened();
  const waiting = socket.recv();
  raw.finish(1000);
  assert.equal(await waiting, undefined);
});

test("b16_what_was_dropped_is_told_at_any_time_and_in_the_end", async () => {
  const { socket, raw, core } = await opened({ receivePolicy: "dropOldest", maxReceiveMessages: 1 });
  const before = socket.dropped;
  assert.deepEqual(before, { messages: 0, bytes: 0 });
  for (const message of ["12345", "", "last"]) raw.deliver(message);
  assert.deepEqual(socket.dropped, { messages: 2, bytes: 5 });
  assert.deepEqual(socket.stats().received, { messages: 1, bytes: 4 });
  assert.deepEqual(before, { messages: 0, bytes: 0 }, "an amount is what it was");
  raw.finish(1000);
  assert.deepEqual((await socket.closed).dropped, { messages: 2, bytes: 5 });
  await null;
  assert.ok(core.freed);
  assert.deepEqual(socket.dropped, { messages: 2, bytes: 5 }, "also without the wasm");
  assert.deepEqual(socket.stats().received, { messages: 1, bytes: 4 }, "also without the wasm");
  assert.equal(await socket.recv(), "last");
  assert.deepEqual(socket.stats().received, { messages: 0, bytes: 0 });
});

test("b16_the_core_is_told_to_close_with_the_code_and_what_waits_stays", async () => {
  const { socket, raw, core } = await opened({ maxReceiveBytes: 10, overflowCode: 4321 });
  const told = ["123456", "1234", "5", "", "1"].map((message) => (raw.deliver(message), core.overflow));
  assert.deepEqual(told, [0, 0, 4321, 0, 4321]);
  assert.deepEqual([socket.tryRecv(), socket.tryRecv(), socket.tryRecv(), socket.tryRecv()], ["123456", "1234", "", undefined]);
  assert.deepEqual(socket.dropped, { messages: 0, bytes: 0 }, "what ends the connection is not dropped by a policy");
});

/**
 * What an inbox of 10 bytes and 2 messages does with messages of these sizes, which are numbered: what `put` says to
 * each, what was dropped in all, and what is left.
 */
function put(policy, sizes, maxBytes = 10, maxMessages = 2) {
  const inbox = new Inbox(maxBytes, maxMessages, policy);
  const said = sizes.map((size, number) => inbox.put(number, size));
  const left = [];
  for (let number; (number = inbox.take()) !== undefined; ) left.push(number);
  assert.deepEqual(inbox.queued, { messages: 0, bytes: 0 });
  return [said, [inbox.dropped.messages, inbox.dropped.bytes], left];
}

test("b16_a_message_that_does_not_fit_closes_with_the_code", () => {
  // By bytes, by messages, behind a large one.
  assert.deepEqual(put(4123, [5, 6, 5]), [[0, 4123, 0], [0, 0], [0, 2]]);
  assert.deepEqual(put(4123, [5, 5, 0]), [[0, 0, 4123], [0, 0], [0, 1]]);
  assert.deepEqual(put(4123, [100, 0]), [[0, 4123], [0, 0], [0]]);
});

test("b16_the_oldest_make_room_until_the_newest_fits", () => {
  const fine = (sizes) => sizes.map(() => 0);
  for (const [sizes, dropped, left] of [
    [[5, 6, 4], [1, 5], [1, 2]],
    [[5, 5, 0], [1, 5], [1, 2]],
    // Those without content go with the others, in their turn.
    [[0, 9, 1], [1, 0], [1, 2]],
    [[0, 9, 11], [2, 9], [2]],
    // One larger than the queue displaces everything, and is displaced by whatever comes.
    [[1, 1, 100, 1], [3, 102], [3]],
  ]) {
    assert.deepEqual(put(1, sizes), [fine(sizes), dropped, left]);
  }
});

test("b16_the_newest_is_dropped_and_what_waits_stays", () => {
  assert.deepEqual(put(2, [5, 6, 5, 0]), [[0, 0, 0, 0], [2, 6], [0, 2]]);
  assert.deepEqual(put(2, [100, 0]), [[0, 0], [1, 0], [0]]);
  assert.deepEqual(put(2, [1, 100, 1]), [[0, 0, 0], [1, 100], [0, 2]]);
});

test("b16_a_bound_of_zero_is_none", () => {
  const many = Array.from({ length: 1000 }, (_, number) => number);
  for (const policy of [4009, 1, 2]) {
    assert.deepEqual(put(policy, many, 0, 0), [many.map(() => 0), [0, 0], many]);
    assert.equal(put(policy, many, 0, 10)[2].length, 10);
    assert.deepEqual(put(policy, [2 ** 53, 2 ** 53], 0, 2)[2], [0, 1]);
  }
});

test("b16_what_is_left_and_what_is_told_are_all_there_was", () => {
  let state = 16n;
  const random = (below) => {
    state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n;
    return Number((state >> 33n) % BigInt(below));
  };
  for (let round = 0; round < 600; round++) {
    const policy = [4009, 1, 2][round % 3];
    const [maxBytes, maxMessages] = [1 + random(30), 1 + random(6)];
    const inbox = new Inbox(maxBytes, maxMessages, policy);
    const waiting = [];
    const dropped = { messages: 0, bytes: 0 };
    const drop = ({ size }) => (dropped.messages++, (dropped.bytes += size));
    for (let number = 0; number < 50; number++) {
      if (random(3) === 0) {
        assert.equal(inbox.take(), waiting.shift()?.number);
        continue;
      }
      const message = { number, size: random(12) };
      const fits = () => waiting.length < maxMessages && waiting.reduce((sum, { size }) => sum + size, message.size) <= maxBytes;
      let code = 0;
      while (policy === 1 && waiting.length && !fits()) drop(waiting.shift());
      if (!waiting.length || fits()) waiting.push(message);
      else if (policy === 2) drop(message);
      else code = policy;
      assert.equal(inbox.put(number, message.size), code);
      assert.deepEqual(inbox.dropped, dropped);
      const bytes = waiting.reduce((sum, { size }) => sum + size, 0);
      assert.deepEqual(inbox.queued, { messages: waiting.length, bytes });
      assert.ok(inbox.queued.messages, "a reader that was woken finds something");
    }
  }
});

test("b14_an_unknown_kind_of_data_is_an_error_item_and_the_next_goes_on", async () => {
  const { socket, raw } = await opened();
  raw.deliver({ unsupported: "Buffer[]" });
  raw.deliver("after");
  await assert.rejects(socket.recv(), code("unsupported"));
  assert.equal(await socket.recv(), "after");
});

test("one_consumer_at_a_time_and_leaving_a_loop_loses_nothing", async () => {
  const { socket, raw } = await opened();
  const first = socket.recv();
  await assert.rejects(socket.recv(), code("busy"));
  raw.deliver("1");
  assert.equal(await first, "1");
  raw.deliver("2");
  raw.deliver("3");
  for await (const message of socket) {
    assert.equal(message, "2");
    break;
  }
  assert.equal(socket.readyState, 1);
  assert.equal(await socket.recv(), "3");
  assert.equal(socket.tryRecv(), undefined);
});

test("b19_send_after_close_fails_and_gives_the_message_back", async () => {
  const { socket, raw } = await opened();
  const closing = socket.close(1000);
  assert.equal(socket.readyState, 2);
  const bytes = new Uint8Array([1]);
  await assert.rejects(socket.send(bytes, { transfer: true }), (error) => code("closed")(error) && error.data === bytes);
  assert.equal(bytes.length, 1);
  assert.throws(() => socket.trySend("x"), code("closed"));
  raw.finish(1000);
  await closing;
  await assert.rejects(socket.send("x"), (error) => code("closed")(error) && error.data === "x");
  assert.equal(socket.readyState, 3);
  assert.deepEqual(raw.sent, []);
});

test("b19_a_peer_that_is_closing_refuses_too_and_transferred_bytes_come_back", async () => {
  const { socket, raw } = await opened();
  raw.readyState = 2;
  const bytes = new Uint8Array([7, 8]);
  await assert.rejects(socket.send(bytes, { transfer: true }), (error) => code("closed")(error) && error.data[1] === 8);
});

test("b28_send_waits_in_order_and_try_send_says_full", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  const first = await socket.send("1");
  const order = [];
  const second = socket.send("2").then((ticket) => (order.push("2"), ticket));
  const third = socket.send("3").then((ticket) => (order.push("3"), ticket));
  assert.equal(socket.trySend("4"), undefined);
  core.drain();
  assert.equal(await first.outcome, "handedOver");
  const ticket = await second;
  core.drain();
  await third;
  core.drain();
  assert.equal(await ticket.outcome, "handedOver");
  assert.deepEqual([raw.sent, order], [["1", "2", "3"], ["2", "3"]]);
});

test("b27_an_aborted_wait_leaves_the_message_unsent_and_others_go_on", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  await socket.send("1");
  const controller = new AbortController();
  const given_up = socket.send("2", { signal: controller.signal });
  const kept = socket.send("3");
  controller.abort("changed my mind");
  await assert.rejects(given_up, (error) => code("aborted")(error) && error.cause === "changed my mind" && error.data !== undefined);
  core.drain();
  await kept;
  core.drain();
  assert.deepEqual(raw.sent, ["1", "3"]);
});

test("b27_an_aborted_wait_lets_the_next_go_that_fits", async () => {
  const { socket, raw } = await opened({ maxSendBytes: 10 });
  raw.gated = true;
  await socket.send("12345678");
  const controller = new AbortController();
  const large = socket.send("large", { signal: controller.signal });
  const small = socket.send("s");
  controller.abort();
  await assert.rejects(large, code("aborted"));
  assert.ok(await small);
});

test("b27_waiting_sends_are_refused_at_close", async () => {
  const { socket, raw } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  const ticket = await socket.send("1");
  const waiting = socket.send("2");
  void socket.close(1000, "", { flush: false });
  await assert.rejects(waiting, code("closed"));
  raw.finish(1000);
  assert.equal(await ticket.outcome, "unsent");
  assert.deepEqual((await socket.closed).unsent, { messages: 1, bytes: 1 });
});

test("tickets_tell_the_outcome_late_and_can_cancel", async () => {
  const { socket, raw } = await opened();
  const direct = await socket.send("1");
  assert.equal(direct.cancel(), false);
  assert.equal(await direct.outcome, "handedOver");
  assert.equal(direct.outcome, direct.outcome);
  raw.gated = true;
  const queued = await socket.send("2");
  assert.equal(queued.cancel(), true);
  assert.equal(queued.cancel(), true, "asked again, it is still cancelled");
  assert.equal(await queued.outcome, "cancelled");
  assert.deepEqual(raw.sent, ["1"]);
});

test("b29_each_kind_is_classified_with_its_size", () => {
  const described = (data) => {
    const { kind, bytes, owned } = parcel(data);
    return [kind, bytes, owned];
  };
  assert.deepEqual(described(""), [0, 0, true]);
  assert.deepEqual(described("aä€😀\ud800"), [0, 13, true]);
  assert.deepEqual(described(new ArrayBuffer(5)), [1, 5, false]);
  assert.deepEqual(described(new Uint16Array(new ArrayBuffer(8), 2, 3)), [1, 6, false]);
  assert.deepEqual(described(new DataView(new ArrayBuffer(8), 7)), [1, 1, false]);
  assert.deepEqual(described(new ArrayBuffer(0)), [1, 0, false]);
  assert.deepEqual(described(new Float64Array(0)), [1, 0, false]);
  assert.deepEqual(described(new Blob(["abc"])), [2, 3, true]);
  for (const shared of [new SharedArrayBuffer(4), new ArrayBuffer(4, { maxByteLength: 8 })]) {
    const original = new Uint8Array(shared, 1, 2);
    original.set([5, 6]);
    const copied = parcel(original);
    original.set([0, 0]);
    assert.deepEqual([copied.bytes, copied.owned, ...copied.data], [2, true, 5, 6]);
    assert.equal(parcel(shared).bytes, 4);
  }
  for (const bad of [undefined, null, 1, {}, [1], Symbol("x"), () => {}, { [Symbol.toStringTag]: "" }]) assert.throws(() => parcel(bad), code("unsupported"));
});

test("b29_detached_buffers_are_typed_errors", async () => {
  const buffer = new ArrayBuffer(8);
  const views = [buffer, new Uint8Array(buffer), new DataView(buffer)];
  structuredClone(buffer, { transfer: [buffer] });
  for (const view of views) assert.throws(() => parcel(view), code("detached"));
  const shrinking = new ArrayBuffer(8, { maxByteLength: 8 });
  const beyond = [new Uint8Array(shrinking, 4, 4), new DataView(shrinking, 4, 4)];
  shrinking.resize(2);
  for (const view of beyond) assert.throws(() => parcel(view), tells("detached", "or shrunk"));
  const { socket } = await opened();
  await assert.rejects(socket.send(buffer), code("detached"));
});

test("byte_lengths_are_those_of_utf8_at_every_length", () => {
  const units = ["a", "ä", "€", "😀", "\ud800", "\udc00", "\ud800x"];
  for (let length = 0; length < 300; length++) {
    const text = Array.from({ length }, (_, i) => units[(i * 7 + length) % units.length]).join("");
    assert.equal(byteLength(text), Buffer.byteLength(text), `length ${length}`);
  }
  const long = "😀a".repeat(100_000) + "\udc00";
  assert.equal(byteLength(long), Buffer.byteLength(long));
});

test("b30_the_peer_sees_the_bytes_as_they_were_at_the_call", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  const bytes = new Uint8Array([0, 1, 2, 3]);
  await socket.send(bytes.subarray(1, 3));
  const waiting = socket.send(bytes.subarray(2));
  bytes.fill(9);
  core.drain();
  await waiting;
  core.drain();
  assert.deepEqual(raw.sent.map((sent) => [...sent]), [[1, 2], [2, 3]]);
});

test("b30_transfer_detaches_and_makes_no_copy", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  const bytes = new Uint8Array([0, 1, 2, 3]);
  await socket.send(bytes.subarray(1), { transfer: true });
  assert.equal(bytes.length, 0);
  const kept = new Uint8Array([4]);
  assert.equal(socket.trySend(kept, { transfer: true }), undefined);
  assert.equal(kept.length, 1, "a full queue leaves the buffer alone");
  core.drain();
  assert.ok(socket.trySend(kept, { transfer: true }));
  assert.equal(kept.length, 0);
  core.drain();
  assert.deepEqual(raw.sent.map((sent) => [...sent]), [[1, 2, 3], [4]]);
});

test("b33_b34_codes_and_reasons_that_may_not_be_sent_leave_the_socket_open", async () => {
  const { socket, raw, core } = await opened();
  for (const bad of [0, 999, 1001, 1005, 1006, 2999, 5000, 3000.5, NaN]) await assert.rejects(socket.close(bad), code("closeCode"));
  await assert.rejects(socket.close(1000, "€".repeat(42)), code("closeReason"));
  await assert.rejects(socket.close(1000, "", { within: -1 }), code("option"));
  assert.equal(socket.readyState, 1);
  await socket.send("still open");
  const closing = socket.close(undefined, "€".repeat(41));
  assert.deepEqual(core.closeArgs, { code: 1000, reason: "€".repeat(41), withinMs: 10_000, flush: true });
  raw.finish(1000);
  assert.equal((await closing).cause, "local");
});

test("b36_every_closer_gets_the_same_result", async () => {
  const { socket, raw, core } = await opened();
  const closers = [socket.close(4001, "first", { within: 0.5 }), socket.close(4002), socket.end()];
  raw.finish(4001, "first");
  const [first, second, third] = await Promise.all(closers);
  assert.equal(first, second);
  assert.equal(first, third);
  assert.equal(await socket.close(), first);
  assert.equal(core.closeArgs.code, 4001);
  assert.equal(core.closeArgs.withinMs, 1);
});

test("await_using_closes", async () => {
  const { socket, raw, core } = await opened();
  const disposed = socket[Symbol.asyncDispose]();
  assert.deepEqual(core.closeArgs, { code: 1000, reason: "", withinMs: 10_000, flush: true });
  raw.finish(1000);
  await disposed;
});

test("b15_end_stops_sending_and_goes_on_receiving", async () => {
  const { socket, raw, core } = await opened();
  const ending = socket.end({ within: 50 });
  await assert.rejects(socket.send("no"), code("closed"));
  raw.deliver("still");
  assert.equal(await socket.recv(), "still");
  assert.equal(core.endArgs.withinMs, 50);
  raw.finish(1000);
  assert.equal((await ending).code, 1000);
});

test("b41_amounts_do_not_wrap_and_a_missing_one_is_zero", async () => {
  const { socket, raw } = await opened();
  raw.bufferedAmount = 6 * 2 ** 30;
  assert.equal(socket.bufferedAmount, 6 * 2 ** 30);
  raw.finish(1000);
  await socket.closed;
  await null;
  raw.bufferedAmount = undefined;
  assert.equal(socket.bufferedAmount, 0);
});

test("options_are_checked_before_a_socket_is_made", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const before = FakeSocket.sockets.length;
  for (const options of [{ within: -1 }, { within: "1" }, { maxSendBytes: NaN }, { maxReceiveMessages: -5 }, { guaranteedShare: 0.3 }, { budgetBytes: -1 }, { maxBytesPerSecond: "fast" }, { binaryType: "nodebuffer" }, { receivePolicy: "drop" }, { signal: new AbortController() }]) {
    await assert.rejects(connect(URL_, { WebSocket: FakeSocket, ...options }), code("option"));
  }
  await assert.rejects(connect(URL_, { WebSocket: FakeSocket, overflowCode: 1009 }), code("closeCode"));
  assert.equal(FakeSocket.sockets.length, before);
  const { core } = await opened();
  assert.deepEqual(core.bounds, { guaranteedShare: 1 / 16, budgetBytes: 65_536, maxBytesPerSecond: 0 });
});

test("infinity_is_none_where_0_is_none_and_refused_where_it_is_not", async () => {
  const bounds = Object.fromEntries(
    ["maxSendBytes", "maxSendMessages", "maxFlowBytes", "maxFlowMessages", "maxReceiveBytes", "maxReceiveMessages"].map((name) => [name, Infinity]),
  );
  const { socket, raw, core } = await opened({ ...bounds, maxBytesPerSecond: Infinity, budgetBytes: 0 });
  assert.deepEqual([core.bounds.maxBytesPerSecond, core.bounds.budgetBytes], [0, 0]);
  raw.gated = true;
  // Twice what the defaults take.
  for (let count = 0; count < 2; count++) assert.ok(socket.trySend(new Uint8Array(16 << 20), { flow: "a" }));
  assert.throws(() => (socket.bufferedAmountLowThreshold = Infinity), tells("option", "0 to 2^53"));
  assert.equal(socket.bufferedAmountLowThreshold, 0);
  assert.throws(() => socket.acknowledged(Infinity), tells("option", "0 to 2^53"));
  assert.equal(core.peerHas, undefined);
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  await assert.rejects(connect(URL_, { WebSocket: Refusing, budgetBytes: Infinity }), tells("option", "0 to 2^53"));
  await assert.rejects(connect(URL_, { WebSocket: Refusing, maxSendBytes: -1 }), tells("option", "0 for none"));
});

test("options_that_are_no_object_are_typed_errors_and_nothing_is_done", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  const own = globalThis.WebSocket;
  // They name no class.
  globalThis.WebSocket = Refusing;
  try {
    for (const options of ["chat.v2", ["chat.v2"], "", 5, 0, false, Symbol("x"), Refusing]) {
      await assert.rejects(connect(URL_, options), tells("option", '{ protocols: "chat.v2" }'));
    }
    await assert.rejects(connect(URL_, ["chat.v2"]), tells("option", "chat.v2 (object)"));
  } finally {
    globalThis.WebSocket = own;
  }
  const { socket, raw, core } = await opened();
  for (const options of ["bulk", ["bulk"], "", 5, 0, true]) {
    await assert.rejects(socket.send("x", options), tells("option", "an object"));
    assert.throws(() => socket.trySend("x", options), tells("option", "an object"));
    await assert.rejects(socket.close(1000, "a", options), tells("option", "an object"));
    await assert.rejects(socket.end(options), tells("option", "an object"));
  }
  assert.deepEqual([raw.sent, raw.closeCalls, core.closeArgs, core.endArgs, socket.readyState], [[], [], undefined, undefined, 1]);
});

test("a_codec_that_cannot_serve_is_refused_when_connecting", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  for (const codec of [{}, 5, "", "json", { encode: String }, { decode: String }]) {
    await assert.rejects(connect(URL_, { WebSocket: Refusing, codec }), tells("option", "encode and decode"));
  }
});

test("an_error_about_an_option_shows_what_was_given_with_its_type", async () => {
  const { socket } = await opened();
  await assert.rejects(socket.send("x", { deadline: "200" }), tells("option", "deadline is 200 (string); give milliseconds"));
  await assert.rejects(socket.send("x", { signal: {} }), tells("option", "signal is [object Object] (object); give an AbortSignal"));
  assert.throws(() => socket.acknowledged(undefined), tells("option", "bytes is undefined (undefined)"));
});

test("b16_the_receive_queue_has_its_bounds_and_policy_from_the_options", async () => {
  const policies = [
    [{ receivePolicy: "close", overflowCode: 4321 }, 4321, [0, 0]],
    [{}, 4009, [0, 0]],
    [{ receivePolicy: "dropOldest", overflowCode: 4321 }, 0, [1, 0]],
    [{ receivePolicy: "dropNewest" }, 0, [1, 1]],
  ];
  for (const [options, overflow, [messages, bytes]] of policies) {
    const { socket, raw, core } = await opened(options);
    for (let count = 0; count < 65_536; count++) raw.deliver("");
    raw.deliver("x");
    assert.equal(core.overflow, overflow);
    assert.deepEqual([socket.stats().received.messages, socket.dropped], [65_536, { messages, bytes }]);
  }
  const large = { length: 64 << 20 };
  for (const [options, overflow] of [[{}, 4009], [{ maxReceiveBytes: 0 }, 0], [{ maxReceiveBytes: (64 << 20) + 1 }, 0]]) {
    const { raw, core } = await opened(options);
    raw.deliver(large);
    raw.deliver("x");
    assert.equal(core.overflow, overflow);
  }
});

test("what_a_send_asks_for_reaches_the_core_as_numbers", async () => {
  const { socket, raw, core } = await opened();
  raw.gated = true;
  const plain = { priority: 1, flow: 0, deadlineMs: -1, replaces: 0 };
  await socket.send("plain");
  assert.deepEqual(core.way, plain);
  for (const [index, priority] of ["urgent", "normal", "bulk", "background"].entries()) {
    await socket.send("1", { priority });
    assert.deepEqual(core.way, { ...plain, priority: index });
  }
  await socket.send("1", { deadline: 200 });
  assert.ok(core.way.deadlineMs <= 200 && core.way.deadlineMs > 100, String(core.way.deadlineMs));
  await socket.send("1", { deadline: Infinity });
  assert.equal(core.way.deadlineMs, -1);
  await socket.send("1", { latest: "cursor" });
  assert.equal(core.way.replaces, 0);
  const { number } = core.queue.at(-1);
  await socket.send("2", { latest: "cursor" });
  assert.equal(core.way.replaces, number);
  core.drain();
  await socket.send("3", { latest: "cursor" });
  assert.equal(core.way.replaces, 0, "what has left is not replaced");
});

test("b26_a_latest_value_has_the_room_of_the_one_before_it", async () => {
  const { socket, raw, core } = await opened({ maxSendBytes: 10 });
  raw.gated = true;
  const first = await socket.send("12345", { latest: "key" });
  await socket.send("12345");
  assert.equal(socket.trySend("x"), undefined);
  const second = socket.trySend("54321", { latest: "key" });
  assert.equal(await first.outcome, "superseded");
  assert.equal(socket.trySend("123456", { latest: "key" }), undefined);
  core.drain();
  assert.equal(await second.outcome, "handedOver");
  assert.deepEqual(raw.sent, ["54321", "12345"]);
});

test("b28_flows_have_bounds_of_their_own", async () => {
  const { socket, raw, core } = await opened({ maxFlowBytes: 10, maxFlowMessages: 2 });
  raw.gated = true;
  await socket.send("1234567890", { flow: "a" });
  assert.equal(socket.trySend("x", { flow: "a" }), undefined);
  const waiting = socket.send("x", { flow: "a" });
  await socket.send("1", { flow: "b" });
  await socket.send("2", { flow: "b" });
  assert.equal(socket.trySend("3", { flow: "b" }), undefined);
  await socket.send("4");
  await socket.send("5");
  assert.equal(socket.trySend("6"), undefined, "without a name it is one as well");
  await socket.send("7", { flow: "" });
  core.drain();
  await waiting;
  core.drain();
  assert.equal(raw.sent.length, 7);
});

test("flushed_waits_for_what_was_queued_before_it_and_for_nothing_else", async () => {
  const { socket, raw, core } = await opened();
  await socket.flushed();
  raw.gated = true;
  const order = [];
  const note = (name) => () => order.push(name);
  await socket.send("1");
  await socket.send("2");
  const first = socket.flushed().then(note("first"));
  const same = socket.flushed().then(note("same"));
  await socket.send("3");
  const second = socket.flushed().then(note("second"));
  core.drain(1);
  await null;
  assert.deepEqual(order, []);
  core.drain(1);
  await Promise.all([first, same]);
  assert.deepEqual(order, ["first", "same"]);
  core.drain(1);
  await second;
  await socket.send("4");
  const lost = socket.flushed();
  const drained = socket.drained();
  raw.finish(1006, "", false);
  const closed = await socket.closed;
  for (const late of [lost, drained, socket.flushed(), socket.drained()]) {
    await assert.rejects(late, (error) => code("closed")(error) && error.closed === closed && /before the end/.test(error.message));
  }
});

test("flushed_knows_what_was_lost_before_anybody_waited_and_not_what_was_lost_behind_it", async () => {
  // All of it was begun, so that nothing is unsent: what became of it is not known.
  const { socket, raw, core } = await opened();
  raw.gated = true;
  await socket.send("1");
  for (const { number } of core.queue.splice(0)) core.sink.outcome(number, 3);
  raw.finish(1006, "", false);
  const closed = await socket.closed;
  assert.equal(closed.unsent.messages, 0);
  await assert.rejects(socket.flushed(), (error) => code("closed")(error) && error.closed === closed && /before the end/.test(error.message));
  // The one before a mark ends otherwise than those behind it.
  const marks = new Marks();
  const numbers = [marks.next];
  const before = marks.set(1);
  numbers.push(marks.next);
  const behind = marks.set(2);
  numbers.push(marks.next);
  for (const [at, outcome] of [[2, "unknown"], [1, "handedOver"], [0, "expired"]]) marks.end(numbers[at], outcome);
  assert.deepEqual(await Promise.all([before, behind, marks.set(0), marks.set(0)]), [false, false, true, true]);
});

test("drained_waits_until_the_socket_has_sent_it", async () => {
  const { socket, raw } = await opened();
  raw.bufferedAmount = 5;
  await socket.send("12345");
  let done = false;
  const drained = socket.drained().then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, false);
  raw.bufferedAmount = 0;
  await drained;
});

test("after_an_end_with_all_sent_only_what_the_socket_held_is_not_known", async () => {
  const { socket, raw } = await opened();
  await socket.send("1");
  raw.bufferedAmount = 1;
  const waiting = socket.drained();
  raw.finish(1000);
  const closed = await socket.closed;
  await socket.flushed();
  for (const drained of [waiting, socket.drained()]) {
    await assert.rejects(drained, (error) => code("closed")(error) && error.closed === closed && /before the end/.test(error.message));
  }
});

test("waits_of_more_than_an_hour_are_in_the_last_class", async (t) => {
  const { socket, raw, core } = await opened();
  raw.gated = true;
  const now = t.mock.method(performance, "now", () => 0);
  await socket.send("1");
  now.mock.mockImplementation(() => 80 * 60_000);
  core.drain();
  assert.equal(socket.stats().classes.normal.waits[31], 1);
});

test("buffered_amount_low_comes_when_it_has_fallen_to_the_threshold", async () => {
  const { socket, raw, core } = await opened();
  const events = [];
  socket.addEventListener("bufferedamountlow", (event) => events.push(["listener", event.type]));
  socket.onbufferedamountlow = function () {
    events.push(["property", this === socket]);
  };
  socket.bufferedAmountLowThreshold = 4;
  assert.equal(socket.bufferedAmountLowThreshold, 4);
  raw.gated = true;
  await socket.send("123");
  core.drain();
  assert.deepEqual(events, [], "it was never above");
  await socket.send("12345");
  await socket.send("1234");
  assert.equal(socket.bufferedAmount, 9);
  core.drain(1);
  assert.deepEqual(events, [], "not from inside");
  await null;
  assert.deepEqual(events, [["listener", "bufferedamountlow"], ["property", true]]);
  core.drain();
  assert.equal(events.length, 2);
  socket.onbufferedamountlow = null;
  raw.bufferedAmount = 10;
  await socket.send("1");
  raw.bufferedAmount = 0;
  core.drain();
  await null;
  assert.deepEqual(events.slice(2), [["listener", "bufferedamountlow"]]);
  await socket.send("12345");
  socket.bufferedAmountLowThreshold = 5;
  await null;
  assert.equal(events.length, 3, "a threshold that rises is no amount that falls");
  socket.bufferedAmountLowThreshold = 4;
  raw.finish(1006, "", false);
  await socket.closed;
  await null;
  assert.equal(events.length, 3, "nor is the end");
  assert.throws(() => (socket.bufferedAmountLowThreshold = -1), code("option"));
});

test("nobody_looks_at_the_amount_when_nobody_listens_any_more", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const controller = new AbortController();
  const listener = () => {};
  const ways = {
    removed: [(socket) => socket.addEventListener("bufferedamountlow", listener), (socket) => socket.removeEventListener("bufferedamountlow", listener)],
    property: [(socket) => (socket.onbufferedamountlow = listener), (socket) => (socket.onbufferedamountlow = null)],
    signal: [(socket) => socket.addEventListener("bufferedamountlow", listener, { signal: controller.signal }), () => controller.abort()],
  };
  for (const [name, [listen, leave]] of Object.entries(ways)) {
    const { socket, raw } = await opened();
    let looks = 0;
    Object.defineProperty(raw, "bufferedAmount", { get: () => (looks++, 1000) });
    listen(socket);
    looks = 0;
    t.mock.timers.tick(20);
    assert.ok(looks > 0, `${name}: somebody listens`);
    leave(socket);
    t.mock.timers.tick(20);
    looks = 0;
    t.mock.timers.tick(1000);
    assert.equal(looks, 0, name);
  }
  // And once is once.
  const { socket, raw } = await opened();
  let looks = 0;
  let amount = 1000;
  Object.defineProperty(raw, "bufferedAmount", { get: () => (looks++, amount) });
  let heard = 0;
  socket.addEventListener("bufferedamountlow", () => heard++, { once: true });
  amount = 0;
  t.mock.timers.tick(20);
  await null;
  amount = 1000;
  await socket.send("1");
  looks = 0;
  t.mock.timers.tick(1000);
  assert.deepEqual([heard, looks], [1, 0]);
});

test("stats_count_what_became_of_messages", async () => {
  const { socket, raw, core } = await opened();
  await socket.send("four", { priority: "urgent" });
  raw.gated = true;
  const old = await socket.send("one", { priority: "bulk", latest: "key" });
  await socket.send("three", { priority: "bulk", latest: "key" });
  const cancelled = await socket.send("ab", { priority: "background" });
  assert.deepEqual(socket.stats().classes.bulk.queued, { messages: 1, bytes: 5 });
  cancelled.cancel();
  core.drain();
  const { classes, ...others } = socket.stats();
  assert.deepEqual(classes.urgent.handedOver, { messages: 1, bytes: 4 });
  assert.equal(classes.urgent.waits[0], 1);
  assert.deepEqual(classes.bulk.superseded, { messages: 1, bytes: 3 });
  assert.deepEqual(classes.bulk.handedOver, { messages: 1, bytes: 5 });
  assert.equal(classes.bulk.waits.reduce((sum, count) => sum + count), 1);
  assert.deepEqual(classes.background.cancelled, { messages: 1, bytes: 2 });
  assert.deepEqual(others, { bufferedAmount: 7, budgetBytes: 65_536, bytesPerSecond: 1000, received: { messages: 0, bytes: 0 } });
  assert.deepEqual(Object.keys(classes), ["urgent", "normal", "bulk", "background"]);
  assert.equal(await old.outcome, "superseded");
  raw.finish(1000);
  await socket.closed;
  await null;
  assert.equal(socket.stats().classes.bulk.handedOver.messages, 1, "also after the end");
});

test("acknowledged_reaches_the_core_if_it_is_an_amount", async () => {
  const { socket, raw, core } = await opened();
  for (const bytes of [-1, NaN, "1", null, undefined]) {
    assert.throws(() => socket.acknowledged(bytes), code("option"));
  }
  assert.equal(core.peerHas, undefined);
  socket.acknowledged(0);
  assert.equal(core.peerHas, 0);
  socket.acknowledged(5_000_000_000);
  assert.equal(core.peerHas, 5_000_000_000);
  raw.finish(1000);
  await socket.closed;
  await null;
  assert.equal(socket.acknowledged(5_000_000_001), undefined, "what comes late is no error");
});

test("flows_have_numbers_that_are_used_again", async () => {
  const { socket, raw, core } = await opened();
  const flow = async (name) => {
    await socket.send("1", { flow: name });
    return core.way.flow;
  };
  assert.deepEqual([await flow("a"), await flow("b")], [1, 1], "what goes out at once keeps no number");
  raw.gated = true;
  assert.deepEqual([await flow("a"), await flow("b"), await flow("a"), await flow("")], [1, 2, 1, 3]);
  core.drain(1);
  assert.equal(await flow("c"), 4, "something of the first is queued still");
  core.drain();
  assert.deepEqual((await Promise.all(["x", "y", "z", "w", "v"].map(flow))).length, 5);
  assert.deepEqual(new Set([await flow("x"), await flow("y"), await flow("z"), await flow("w"), await flow("v")]), new Set([1, 2, 3, 4, 5]));
});

test("a_flow_whose_last_message_goes_within_a_send_keeps_its_number", async () => {
  const { socket, raw, core } = await opened({ maxFlowMessages: 1 });
  raw.gated = true;
  const flow = async (name, options) => {
    await socket.send("1", { flow: name, ...options });
    return core.way.flow;
  };
  assert.equal(await flow("a", { latest: "key" }), 1);
  assert.equal(await flow("a", { latest: "key" }), 1, "which ends the first within the call");
  assert.equal(socket.trySend("2", { flow: "a" }), undefined, "the second has its room");
  assert.equal(await flow("b"), 2);
  core.drain();
  assert.deepEqual(await Promise.all(["c", "d", "e"].map((name) => flow(name))).then((all) => all.length), 3);
  assert.deepEqual(new Set(core.queue.map(({ flow }) => flow)), new Set([1, 2, 3]));
});

test("b26_a_signal_takes_a_queued_message_out_and_is_let_go", async () => {
  const { socket, raw, core } = await opened();
  raw.gated = true;
  const controller = new AbortController();
  const counted = controller.signal;
  let listeners = 0;
  counted.addEventListener = (...args) => (listeners++, AbortSignal.prototype.addEventListener.apply(counted, args));
  counted.removeEventListener = (...args) => (listeners--, AbortSignal.prototype.removeEventListener.apply(counted, args));
  const [sent, kept] = [await socket.send("1", { signal: counted }), await socket.send("2", { signal: counted })];
  assert.equal(listeners, 2);
  core.drain(1);
  assert.equal(listeners, 1);
  controller.abort();
  assert.deepEqual([await sent.outcome, await kept.outcome, listeners], ["handedOver", "cancelled", 0]);
  core.drain();
  assert.deepEqual(raw.sent, ["1"]);
});

test("b28_a_full_priority_keeps_no_other_waiting", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  await socket.send("1", { priority: "bulk" });
  const waiting = socket.send("2", { priority: "bulk" });
  const other = socket.send("3", { priority: "bulk", flow: "other" });
  assert.equal(socket.trySend("4", { priority: "bulk" }), undefined);
  assert.ok(socket.trySend("5", { priority: "urgent" }));
  await socket.send("6");
  core.drain(1);
  await waiting;
  core.drain();
  await other;
  core.drain();
  assert.deepEqual(raw.sent, ["1", "5", "6", "2", "3"]);
});

test("b28_try_send_overtakes_nobody_of_its_priority_and_flow", async () => {
  const { socket, raw, core } = await opened({ maxSendBytes: 10 });
  raw.gated = true;
  await socket.send("12345678");
  const waiting = socket.send("waits");
  assert.equal(socket.trySend("x"), undefined, "there is room for it, and a line");
  assert.ok(socket.trySend("y", { flow: "other" }));
  core.drain();
  await waiting;
  assert.ok(socket.trySend("z"));
});

test("b26_a_deadline_ends_the_wait_for_room", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  raw.gated = true;
  await socket.send("1");
  const early = performance.now();
  const late = socket.send("late", { deadline: 20 });
  const next = socket.send("next");
  assert.equal(await (await late).outcome, "expired");
  assert.ok(performance.now() - early >= 19);
  assert.deepEqual(socket.stats().classes.normal.expired, { messages: 1, bytes: 4 });
  core.drain();
  await next;
  const timely = socket.send("timely", { deadline: 60_000 });
  core.drain();
  const ticket = await timely;
  core.drain();
  assert.equal(await ticket.outcome, "handedOver");
});

test("b26_a_deadline_that_has_passed_is_an_outcome", async () => {
  const { socket, core } = await opened();
  core.send = () => -4;
  assert.equal(await (await socket.send("late", { deadline: 0 })).outcome, "expired");
  assert.equal(await socket.trySend("late", { deadline: 0 }).outcome, "expired");
});

test("b26_a_negative_deadline_has_passed_at_once", async () => {
  const { socket, raw, core } = await opened({ maxSendMessages: 1 });
  for (const deadline of [-1, -1e12, -Infinity]) {
    raw.gated = false;
    await socket.send("late", { deadline });
    assert.equal(core.way.deadlineMs, 0);
    // Nor does it wait for room.
    raw.gated = true;
    await socket.send("full");
    assert.equal(await (await socket.send("late", { deadline })).outcome, "expired");
    core.drain();
  }
  assert.deepEqual(socket.stats().classes.normal.expired, { messages: 3, bytes: 12 });
});

test("b28_wrong_options_of_a_send_are_typed_errors_and_nothing_is_sent", async () => {
  const { socket, raw } = await opened();
  for (const options of [{ priority: "high" }, { priority: 1 }, { deadline: NaN }, { deadline: "soon" }, { deadline: "5" }, { flow: 1 }, { flow: Symbol("x") }, { latest: {} }, { signal: 0 }, { signal: new AbortController() }]) {
    await assert.rejects(socket.send("x", options), code("option"));
    assert.throws(() => socket.trySend("x", options), code("option"));
  }
  assert.deepEqual(raw.sent, []);
});

test("what_is_null_is_not_given_and_what_is_wrong_is_a_typed_error", async () => {
  const none = (...names) => Object.fromEntries(names.map((name) => [name, null]));
  const { socket, raw, core } = await opened(none("protocols", "binaryType", "signal", "within", "codec", "wasm", "maxSendBytes", "guaranteedShare", "budgetBytes", "receivePolicy", "overflowCode"));
  assert.deepEqual([raw.binaryType, core.bounds.guaranteedShare, core.bounds.budgetBytes], ["arraybuffer", 1 / 16, 65_536]);
  raw.gated = true;
  const options = none("priority", "flow", "latest", "deadline", "transfer", "signal");
  const tickets = [socket.trySend("1", options), await socket.send("2", options), socket.trySend("3", null)];
  assert.deepEqual(core.way, { priority: 1, flow: 0, deadlineMs: -1, replaces: 0 });
  core.drain();
  assert.deepEqual(await Promise.all(tickets.map((ticket) => ticket.outcome)), Array(3).fill("handedOver"));
  const wrong = [[5], [Symbol("x")], [null, 5], [1000, Symbol("x")], [Symbol("x"), "why"]];
  for (const how of wrong) await assert.rejects(socket.close(...how), TidegateError);
  void socket.end(null);
  assert.equal(core.endArgs.withinMs, 10_000);
  void socket.close(null, null, null);
  raw.finish(1000);

  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  for (const url of [Symbol("x"), null, undefined, {}]) await assert.rejects(connect(url, { WebSocket: FakeSocket }), code("url"));
  for (const protocols of [5, [5], Symbol("x"), [null], {}]) await assert.rejects(connect(URL_, { WebSocket: FakeSocket, protocols }), code("protocols"));
  await assert.rejects(connect(URL_, { WebSocket: FakeSocket, overflowCode: Symbol("x") }), code("closeCode"));
  await assert.rejects(connect(URL_, { WebSocket: FakeSocket, guaranteedShare: "0.1" }), code("option"));
});

test("a_constructor_that_throws_or_is_missing_is_a_typed_error", async () => {
  const connect = connectOn({ Core: FakeCore, load: () => Promise.reject(new Error("unused")) });
  await assert.rejects(connect(URL_, { WebSocket: Refusing }), code("environment"));
  // One that makes something else, and one that cannot be called.
  for (const WebSocket of [class {}, 5]) {
    await assert.rejects(connect(URL_, { WebSocket }), (error) => code("environment")(error) && error.cause instanceof TypeError);
  }
  if (!globalThis.WebSocket) await assert.rejects(connect(URL_), code("environment"));
});

test("a_wasm_that_does_not_load_is_one_typed_error_and_may_be_tried_again", async () => {
  let attempts = 0;
  const load = async () => {
    if (++attempts === 1) throw new Error("404");
  };
  const connect = connectOn({ Core: FakeCore, load });
  await assert.rejects(connect(URL_, { WebSocket: FakeSocket }), (error) => code("wasm")(error) && error.cause.message === "404");
  assert.equal(FakeSocket.sockets.at(-1).closeCalls.length, 1);
  const pending = connect(URL_, { WebSocket: FakeSocket });
  FakeSocket.sockets.at(-1).accept();
  await pending;
  assert.equal(attempts, 2);
});

test("a_wasm_that_does_not_load_is_named_with_the_file_that_is_missing", async () => {
  const load = () => Promise.reject(new Error("404"));
  for (const [connect, file] of [
    [connectOn({ Core: FakeCore, load }), "tidegate_core_bg.wasm"],
    [connectChannelsBy(load), "tidegate_v1_bg.wasm"],
  ]) {
    await assert.rejects(connect(URL_, { WebSocket: FakeSocket }), tells("wasm", `serve ${file} beside`));
  }
});

test("b6_an_abort_is_told_even_if_the_socket_cannot_be_closed", async () => {
  class Stubborn extends FakeSocket {
    close() {
      throw new Error("not now");
    }
  }
  const controller = new AbortController();
  const never = new Promise(() => {});
  const pending = connectOn({ Core: FakeCore, load: () => never })(URL_, { WebSocket: Stubborn, signal: controller.signal });
  controller.abort();
  await assert.rejects(pending, code("aborted"));
  assert.equal(FakeSocket.sockets.at(-1).listeners, 0);
});

test("b12_a_socket_without_the_wanted_binary_type_is_a_typed_error", async () => {
  class Old extends FakeSocket {
    constructor(...args) {
      super(...args);
      Object.defineProperty(this, "binaryType", { get: () => "nodebuffer", set: () => {} });
    }
  }
  const connect = connectOn({ Core: FakeCore, load: () => undefined });
  await assert.rejects(connect(URL_, { WebSocket: Old, binaryType: "blob" }), code("option"));
  assert.equal(FakeSocket.sockets.at(-1).closeCalls.length, 1);
});

test("b27_a_loop_that_is_left_leaves_its_message_to_the_next", async () => {
  const { socket, raw } = await opened();
  const left = socket[Symbol.asyncIterator]();
  const waiting = left.next();
  await left.return();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  const next = socket.recv();
  // The read of somebody else is left alone.
  await left.return();
  raw.deliver("hello");
  assert.equal(await next, "hello");
});

test("b12_binary_type_is_set_before_open", async () => {
  assert.equal((await opened({ binaryType: "blob" })).raw.binaryType, "blob");
  const { socket, raw } = await opened();
  assert.equal(raw.binaryType, "arraybuffer");
  await socket.send(new Blob(["x"]));
  assert.equal(socket.binaryType, "arraybuffer");
});

test("a_codec_serves_both_ways_and_its_failures_are_typed", async () => {
  const { socket, raw } = await opened({ codec: json });
  await socket.send({ kind: "hello" });
  assert.deepEqual(raw.sent, ['{"kind":"hello"}']);
  await assert.rejects(socket.send(undefined), (error) => code("encode")(error) && error.cause instanceof TypeError);
  raw.deliver("not json");
  raw.deliver(new ArrayBuffer(1));
  raw.deliver('{"n":1}');
  const iterator = socket[Symbol.asyncIterator]();
  await assert.rejects(iterator.next(), (error) => code("decode")(error) && error.cause instanceof SyntaxError && error.data === "not json");
  await assert.rejects(iterator.next(), code("decode"));
  assert.deepEqual(await iterator.next(), { done: false, value: { n: 1 } });
});

test("an_error_event_of_an_event_emitter_has_a_listener", async () => {
  const errors = [];
  class Emitter extends FakeSocket {
    on(type, listener) {
      errors.push([type, listener()]);
    }
  }
  await opened({ WebSocket: Emitter });
  assert.deepEqual(errors, [["error", undefined]]);
});

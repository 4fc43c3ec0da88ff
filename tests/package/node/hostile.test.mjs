/** `tidegate/server` against clients that do not do as they should: each is cut off with its code, others notice nothing. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect as dial } from "node:net";
import { test } from "node:test";
import { connect } from "tidegate/channels";
import { upgrade } from "tidegate/server";
import { WebSocket, WebSocketServer } from "ws";
import { HELLO, data, echo, open, raw, record, start } from "./serving.mjs";

const TEXT_4 = 0x05;
const LAST = 0x02;
const FIRST = 0x01;
const bytes = (size) => Buffer.alloc(size);

/** What a client sends behind its opening handshake, and the close code that it gets. */
const attacks = {
  "text instead of a greeting": [4201, (send) => send("hello")],
  "an empty message": [4201, (send) => send(bytes(0))],
  "garbage": [4201, (send) => send(bytes(100).fill(0x7e))],
  "another record than HELLO first": [4201, (send) => send(record(0x07, [1]))],
  "a HELLO of a later version": [4202, (send) => send(record(0x01, [2, 3, 0]))],
  "RESUME of a session that was never there, then garbage": [
    4201,
    (send) => {
      send(record(0x03, [1, 32, ...bytes(32), 0, 1, 1]));
      send(record(0x07, [1]));
    },
  ],
  "text after HELLO": [4201, (send) => [HELLO, "hello"].forEach(send)],
  "garbage behind HELLO in the same message": [4201, (send) => send(Buffer.concat([HELLO, bytes(50).fill(0x3c)]))],
  "a second HELLO": [4201, (send) => [HELLO, HELLO].forEach(send)],
  "a record that must be known, and is not": [4201, (send) => [HELLO, record(0x3e, [])].forEach(send)],
  "a length that lies": [4201, (send) => [HELLO, Buffer.from([0x07, 0x3f, 0x01])].forEach(send)],
  "a message above 65,535 bytes": [4203, (send) => [HELLO, bytes(65_536)].forEach(send)],
  "a message above maxPayload": [1009, (send) => [HELLO, bytes(200_000)].forEach(send)],
  "a wrong number": [4205, (send) => [HELLO, open(7, 0)].forEach(send)],
  "DATA before OPEN": [4201, (send) => [HELLO, data(1, 0, TEXT_4 | LAST, bytes(3))].forEach(send)],
  "more channels than there may be": [
    4204,
    (send) => {
      send(HELLO);
      for (let i = 0; i < 200; i++) send(open(i + 1, 2 * i, "stall"));
    },
  ],
  "more than there is credit for": [
    4204,
    (send) => {
      send(Buffer.concat([HELLO, open(1, 0, "stall")]));
      for (let i = 0; i < 600; i++) send(data(i + 2, 0, FIRST | LAST, bytes(60_000)));
    },
  ],
  "chunks of nothing": [4201, (send) => [HELLO, open(1, 0), data(2, 0, FIRST, bytes(1), [0])].forEach(send)],
  "an item of another size than it has said": [
    4201,
    (send) => [HELLO, open(1, 0), data(2, 0, FIRST, bytes(600), [0x44, 0xb1]), data(3, 0, LAST, bytes(1))].forEach(send),
  ],
  "a credit above all bounds": [4201, (send) => [HELLO, open(1, 0), record(0x10, [0, ...bytes(8).fill(255)])].forEach(send)],
  "a flood of PINGs": [
    4206,
    (send) => {
      send(HELLO);
      for (let i = 0; i < 2_000; i++) send(record(0x07, [1]));
    },
  ],
  "a flood of padding": [
    4206,
    (send) => {
      send(HELLO);
      for (let i = 0; i < 2_000; i++) send(record(0x80, []));
    },
  ],
};

test("b58_each_attack_is_answered_by_its_code_and_other_sessions_notice_nothing", async (t) => {
  const { url, connections, stop } = await start(echo, { sockets: { maxPayload: 100_000 } });
  const honest = await connect(url, { WebSocket });
  const channel = await honest.channel("beside");
  const stray = [];
  const note = (error) => stray.push(error);
  process.on("unhandledRejection", note);
  let sent = 0;
  for (const [name, [code, attack]] of Object.entries(attacks)) {
    await t.test(`b58_${name.replace(/\W+/g, "_")}`, async () => {
      const { socket, closed } = await raw(url);
      attack((message) => socket.send(message));
      assert.equal(await closed, code);
      for (const one of [honest, channel]) {
        await one.send(`${++sent}`);
        assert.equal(await one.recv(), `${sent}`);
      }
    });
  }
  while (connections.counts.open + connections.counts.pending > 1) await new Promise(setImmediate);
  await honest.close();
  process.off("unhandledRejection", note);
  assert.deepEqual(stray, []);
  await stop();
});

test("b58_who_says_nothing_is_cut_off_after_a_time", async () => {
  const { url, refusals, connections, stop } = await start(echo, { options: { within: 30 } });
  const { socket, closed } = await raw(url);
  assert.equal(await closed, 4207);
  while (connections.counts.pending) await new Promise(setImmediate);
  assert.deepEqual(refusals.map(({ code, closed }) => [code, closed.code]), [["timeout", 4207]]);
  assert.equal(socket.readyState, 3);
  await stop();
});

test("frames_that_are_none_end_their_connection_only", async () => {
  const { url, connections, stop } = await start();
  const honest = await connect(url, { WebSocket });
  const { port } = new URL(url);
  for (const protocol of ["", "Sec-WebSocket-Protocol: tidegate.v1\r\n"]) {
    const socket = dial(port, "127.0.0.1");
    socket.write(
      `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${protocol}` +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    // In the same packet: not masked, of an opcode that there is not.
    socket.write(Buffer.from([0x8f, 0x02, 1, 2]));
    socket.resume();
    await once(socket, "close");
  }
  await honest.send("x");
  assert.equal(await honest.recv(), "x");
  assert.equal(connections.counts.pending, 0);
  await honest.close();
  await stop();
});

/** The status of a request for an upgrade with these header fields; 101 if there is a connection. */
async function ask(url, headers = {}, options = {}) {
  const asked = request(url.replace(/^ws/, "http"), {
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
      ...headers,
    },
    ...options,
  });
  asked.end();
  return new Promise((resolve, reject) => {
    asked.on("error", reject);
    asked.on("response", (response) => resolve(response.resume().statusCode));
    asked.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
  });
}

test("origins_are_checked_and_a_missing_one_is_decided_upon", async () => {
  const { url, refusals, stop } = await start();
  assert.equal(await ask(url, { Origin: "https://example.com" }), 101);
  for (const Origin of ["https://example.org", "https://example.com.evil.test", "http://example.com", "null", ""]) {
    assert.equal(await ask(url, { Origin }), 403, Origin);
  }
  assert.equal(await ask(url, { Origin: ["https://example.com", "https://example.org"] }), 403);
  assert.equal(await ask(url), 101);
  assert.ok(refusals.every(({ code }) => code === "refused"));
  assert.equal(refusals.length, 6);
  await stop();
  const strict = await start(echo, { options: { withoutOrigin: "refuse", origins: "any" } });
  assert.equal(await ask(strict.url), 403);
  assert.equal(await ask(strict.url, { Origin: "https://example.org" }), 101);
  await strict.stop();
});

test("whom_authenticate_does_not_accept_is_refused", async () => {
  let answer;
  const { url, refusals, connections, stop } = await start(echo, { options: { within: 50, authenticate: (request) => answer(request) } });
  const never = new Promise(() => {});
  const cases = [
    [() => true, 101], [async () => true, 101], [() => false, 403], [() => 401, 401], [async () => 429, 429],
    // What is no answer is no yes.
    [() => undefined, 403], [() => ({ name: "x" }), 403], [() => 101, 403], [() => 200, 403], [() => "401", 403],
    [() => { throw new Error("the database is down"); }, 500], [() => Promise.reject(new Error("likewise")), 500], [() => never, 503],
    [({ headers, url }) => headers.cookie === "user=1" && url === "/", 101],
  ];
  for (const [given, status] of cases) {
    answer = given;
    assert.equal(await ask(url, { Cookie: "user=1" }), status, `${given}`);
  }
  assert.equal(refusals.find(({ cause }) => cause).cause.message, "the database is down");
  while (connections.counts.open) await new Promise(setImmediate);
  assert.equal(connections.counts.pending, 0);
  // Somebody who is gone before it is decided.
  let decide;
  answer = () => new Promise((resolve) => (decide = resolve));
  const socket = dial(new URL(url).port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  while (!decide) await new Promise(setImmediate);
  socket.resetAndDestroy();
  const before = refusals.length;
  decide(true);
  while (refusals.length === before) await new Promise(setImmediate);
  assert.match(refusals.at(-1).code, /connect|refused/);
  assert.equal(connections.counts.pending, 0);
  await stop();
});

test("what_is_no_opening_handshake_is_answered_by_ws_and_leaves_nothing", async () => {
  const { url, refusals, connections, stop } = await start();
  assert.equal(await ask(url, { "Sec-WebSocket-Version": "7" }), 400);
  assert.equal(await ask(url, { "Sec-WebSocket-Key": "short" }), 400);
  assert.equal(await ask(url, {}, { method: "POST" }), 405);
  while (connections.counts.pending) await new Promise(setImmediate);
  assert.deepEqual(refusals.map(({ code }) => code), ["connect", "connect", "connect"]);
  await stop();
});

test("there_is_no_place_for_more_than_there_may_be", async () => {
  const { Connections } = await import("tidegate/server");
  const connections = new Connections({ maxConnections: 2 });
  const { url, stop } = await start(echo, { options: { connections } });
  const sockets = [await connect(url, { WebSocket }), (await raw(url, [])).socket];
  assert.equal(await ask(url), 503);
  await sockets[0].close();
  while (connections.counts.open > 1) await new Promise(setImmediate);
  assert.equal(await ask(url), 101);
  sockets[1].close();
  assert.throws(() => new Connections({ maxConnections: "2" }), { code: "option" });
  while (connections.counts.open) await new Promise(setImmediate);
  await stop();
});

test("one_address_takes_no_more_than_its_share", async () => {
  const { Connections } = await import("tidegate/server");
  const connections = new Connections({ maxConnections: 8, maxPerAddress: 1 });
  let from;
  const addressBy = () => from;
  const { url, refusals, stop } = await start(echo, { options: { connections, addressBy } });
  const sockets = [];
  for (const [given, expected] of [
    ["192.0.2.1", 101], ["192.0.2.2", 101], ["2001:db8:0:1::1", 101], ["2001:db8:0:2::1", 101], [undefined, 101], ["fe80::1%eth0", 101],
    // The same host in the ways of IPv6 to write it, others of the same customer's network, and again nobody knows who.
    ["192.0.2.1", 503], ["::ffff:192.0.2.1", 503], ["::FFFF:c000:0201", 503], ["0:0:0:0:0:ffff:192.0.2.2", 503],
    ["2001:db8:0:1:ffff::2", 503], ["2001:0DB8:0000:0002::", 503], [undefined, 503], ["fe80:0:0:0:1::%lo", 503],
  ]) {
    from = given;
    if (expected === 503) assert.equal(await ask(url), 503, given);
    else sockets.push((await raw(url, [])).socket);
  }
  assert.deepEqual(connections.counts, { open: 6, pending: 0, accepted: 6, refused: 8 });
  assert.ok(refusals.every(({ code }) => code === "refused"));
  // Who has gone has left his place, also when he never was let in.
  sockets[0].close();
  while (connections.counts.open > 5) await new Promise(setImmediate);
  from = "::ffff:192.0.2.1";
  assert.equal(await ask(url, { "Sec-WebSocket-Version": "7" }), 400);
  while (connections.counts.pending) await new Promise(setImmediate);
  sockets.push((await raw(url, [])).socket);
  assert.equal(await ask(url), 503);
  for (const socket of sockets) socket.close();
  while (connections.counts.open) await new Promise(setImmediate);
  for (const maxPerAddress of ["2", -1, NaN]) assert.throws(() => new Connections({ maxPerAddress }), { code: "option" });
  await stop();
});

test("where_nobody_says_whose_an_address_is_it_is_that_of_the_socket", async () => {
  const { Connections } = await import("tidegate/server");
  const connections = new Connections({ maxPerAddress: 1 });
  const fails = { addressBy: () => { throw new Error("no such field"); } };
  for (const [options, statuses] of [[{}, [101, 503]], [{ address: "192.0.2.7" }, [101, 503]], [fails, [500]]]) {
    const { url, refusals, stop } = await start(echo, { options: { connections, ...options } });
    const sockets = [];
    for (const status of statuses) {
      if (status === 101) sockets.push((await raw(url, [])).socket);
      else assert.equal(await ask(url), status);
    }
    assert.equal(refusals.length, 1);
    for (const socket of sockets) socket.close();
    while (connections.counts.open + connections.counts.pending) await new Promise(setImmediate);
    await stop();
  }
});

test("options_of_an_upgrade_that_cannot_work_are_refused_whoever_asks", async () => {
  const wss = new WebSocketServer({ noServer: true });
  const small = new WebSocketServer({ noServer: true, maxPayload: 1000 });
  const wrong = [
    [wss, undefined], [wss, {}], [wss, { origins: "https://example.com", withoutOrigin: "refuse" }],
    [wss, { origins: ["https://example.com/"], withoutOrigin: "refuse" }], [wss, { origins: ["example.com"], withoutOrigin: "refuse" }],
    [wss, { origins: "any" }], [wss, { origins: "any", withoutOrigin: true }],
    [small, { origins: "any", withoutOrigin: "accept" }],
    [wss, { origins: "any", withoutOrigin: "accept", maxChannels: -1 }],
  ];
  const http = createServer();
  const errors = [];
  http.on("upgrade", (request, socket, head) => {
    const [server, options] = wrong[errors.length];
    void upgrade(server, request, socket, head, options).catch((error) => errors.push(error.code));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  for (const [number] of wrong.entries()) {
    await ask(`http://127.0.0.1:${http.address().port}/`).catch(() => {});
    while (errors.length === number) await new Promise(setImmediate);
  }
  assert.deepEqual(errors, wrong.map(() => "option"));
  http.close();
});

/** `tidegate/server` against clients that do not do as they should: each is cut off with its code, others notice nothing. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect as dial } from "node:net";
import { test } from "node:test";
import { connect } from "tidegate/channels";
import { upgrade } from "tidegate/server";
import { WebSocket, WebSocketServer } from "ws";
import { attacks, Hostile, listen, sayAll } from "./attacks.mjs";
import { HELLO, echo, raw, record, start } from "./serving.mjs";

const bytes = (size) => Buffer.alloc(size);
const RESUME = record(0x03, [1, 32, ...bytes(32), 0, 1, 1]);

/** What a client says instead of a greeting, or too much in it, and the close code that it gets. */
const greetings = {
  b58_text_instead_of_a_greeting: [4201, ["hello"]],
  b58_nothing_instead_of_a_greeting: [4201, [bytes(0)]],
  b58_garbage_instead_of_a_greeting: [4201, [bytes(100).fill(0x7e)]],
  b58_another_record_before_the_greeting: [4201, [record(0x07, [1])]],
  b58_padding_before_the_greeting: [4201, [record(0x80, [])]],
  b58_garbage_behind_the_greeting_in_the_same_message: [4201, [Buffer.concat([HELLO, bytes(50).fill(0x3c)])]],
  b58_settings_that_may_not_be: [4201, [record(0x01, [1, 1, 0, 3, 0x45, 0])]],
  b58_a_greeting_of_a_later_version: [4202, [record(0x01, [2, 3, 0])]],
  b58_a_second_guess_at_a_session: [4201, [RESUME, RESUME]],
  b58_a_guess_at_a_session_then_garbage: [4201, [RESUME, record(0x07, [1])]],
};

/** A server beside which a session goes on that does as it should. */
async function besideAnother(test) {
  const { url, connections, stop } = await start(echo, { sockets: { maxPayload: 300_000 } });
  const honest = await connect(url, { WebSocket });
  const channel = await honest.channel("beside");
  const stray = [];
  const note = (error) => stray.push(error);
  process.on("unhandledRejection", note);
  let sent = 0;
  const goesOn = async () => {
    for (const one of [honest, channel]) {
      await one.send(`${++sent}`);
      assert.equal(await one.recv(), `${sent}`);
    }
  };
  await test(url, goesOn);
  while (connections.counts.open + connections.counts.pending > 1) await new Promise(setImmediate);
  await honest.close();
  process.off("unhandledRejection", note);
  assert.deepEqual(stray, []);
  await stop();
}

test("b58_each_attack_of_a_client_is_answered_by_its_code_and_other_sessions_notice_nothing", (t) =>
  besideAnother(async (url, goesOn) => {
    const all = Object.entries(attacks).map(([name, [code, attack]]) => {
      const peer = new Hostile(false);
      peer.say(peer.greeting);
      attack(peer);
      return [name, [code, peer.messages]];
    });
    for (const [name, [code, messages]] of [...Object.entries(greetings), ...all]) {
      await t.test(name, async () => {
        const { socket } = await raw(url);
        const heard = listen(socket);
        const saying = sayAll(socket, messages);
        await goesOn();
        await heard.cutOff(code);
        await saying;
        await goesOn();
      });
    }
  }));

test("b58_a_message_above_what_ws_takes_is_cut_off_by_ws", () =>
  besideAnother(async (url, goesOn) => {
    const { socket, closed } = await raw(url);
    for (const message of [HELLO, bytes(400_000)]) socket.send(message);
    assert.equal(await closed, 1009);
    await goesOn();
  }));

test("b58_what_is_wrong_in_a_channel_is_answered_there_and_the_session_goes_on", () =>
  besideAnother(async (url) => {
    const { socket } = await raw(url);
    const heard = listen(socket);
    const peer = new Hostile(false);
    peer.say(peer.greeting);
    // An item that would be huge, text that is none, a kind that nobody knows; and text that is given up in the midst of
    // a character, which is no fault.
    for (let n = 0; n < 2; n++) peer.open(n);
    peer.data(0, 0x01, bytes(600), [0xc0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    peer.data(1, 0x05, Buffer.concat([bytes(599), Buffer.from([0xe2])]), [0]);
    peer.data(1, 0x0a, bytes(0));
    peer.data(1, 0x07, Buffer.from([0xe2, 0x82]));
    peer.tell(0x41, [4, 77, 1, 1, 0x66, 0]);
    peer.tell(0x07, [7]);
    await sayAll(socket, peer.messages);
    const has = (type) => heard.messages.some((message) => message.includes(Buffer.from(type)));
    // RESET of each, with the number that it has whatever was answered before; and the PONG.
    const reset = (...body) => heard.messages.some((message) => message.toString("hex").match(`4303....${Buffer.from(body).toString("hex")}`));
    while (!(reset(0, 2, 35) && reset(2, 2, 36) && reset(4, 3, 34))) await new Promise(setImmediate);
    assert.ok(has([0x08]));
    socket.close(4200);
    assert.equal(await heard.closed, 4200);
  }));

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
  const frames = await start(echo, { options: { origins: ["https://example.com", "null"] } });
  for (const Origin of ["null", "https://example.com"]) assert.equal(await ask(frames.url, { Origin }), 101);
  for (const Origin of ["NULL", "undefined"]) assert.equal(await ask(frames.url, { Origin }), 403);
  await frames.stop();
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
    [() => undefined, 403], [() => ({ name: "x" }), 403], [() => new Response("", { status: 200 }), 403],
    // Nor is somebody who was looked up in vain somebody.
    [() => ({ identity: undefined }), 403], [async () => ({ identity: null }), 403], [() => ({ identity: 401 }), 101], [() => 101, 403], [() => 200, 403], [() => "401", 403],
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

test("what_comes_of_telling_why_a_client_was_refused_is_nobodys_fault", async () => {
  const unhandled = [];
  const note = (error) => unhandled.push(error.message);
  process.on("unhandledRejection", note);
  let told = 0;
  const ways = [
    () => { throw new Error("thrown"); },
    async () => { throw new Error("rejected"); },
    () => ({ then: (_, reject) => reject(new Error("of another kind")) }),
    // Nor is anybody kept waiting by it.
    () => new Promise(() => {}),
  ];
  for (const way of ways) {
    const onRefused = (error) => ((told += Number(error.code === "refused")), way());
    let gave;
    const server = createServer().on("upgrade", (request, socket, head) => {
      gave = upgrade(new WebSocketServer({ noServer: true }), request, socket, head, { origins: "any", withoutOrigin: "refuse", onRefused });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    assert.equal(await ask(`ws://127.0.0.1:${server.address().port}/`), 403);
    assert.equal(await gave, undefined);
    server.close();
  }
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
  process.off("unhandledRejection", note);
  assert.deepEqual([told, unhandled], [ways.length, []]);
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

/** An open socket in the shape of `ws`, of whose peer nothing is known but what `hear` says. */
function open(protocol) {
  const listeners = { message: new Set(), close: new Set(), error: new Set() };
  const did = [];
  return {
    protocol, extensions: "", readyState: 1, binaryType: "nodebuffer", bufferedAmount: 0, listeners, did,
    on(type, listener) { listeners[type].add(listener); },
    addEventListener(type, listener) { listeners[type].add(listener); },
    removeEventListener(type, listener) { listeners[type].delete(listener); },
    send(_data, done) { done(); },
    ping() {}, pause() {}, resume() {},
    close(code) { [this.readyState, did[did.length]] = [2, code]; },
    terminate() { [this.readyState, did[did.length]] = [3, "terminate"]; },
  };
}

test("b61_who_is_turned_away_is_kept_nothing_of_and_has_a_second", async (t) => {
  const { accept, Connections } = await import("tidegate/server");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const connections = new Connections({ maxConnections: 0 });
  for (const [protocol, isClosed] of [["tidegate.v1", false], ["", false], ["tidegate.v1", true]]) {
    const ws = open(protocol);
    await assert.rejects(accept(ws, { connections }), { code: "refused" });
    // One that is listened to would keep whatever comes until it has closed.
    assert.equal(ws.listeners.message.size, 0);
    assert.equal(ws.listeners.error.size, 1);
    if (isClosed) for (const listener of ws.listeners.close) listener();
    t.mock.timers.tick(999);
    assert.deepEqual(ws.did, [1013]);
    t.mock.timers.tick(1);
    assert.deepEqual(ws.did, isClosed ? [1013] : [1013, "terminate"]);
  }
  assert.deepEqual(connections.counts, { open: 0, pending: 0, accepted: 0, refused: 3 });
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
    [wss, { origins: [null], withoutOrigin: "refuse" }], [wss, { origins: ["NULL"], withoutOrigin: "refuse" }],
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

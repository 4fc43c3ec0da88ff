/** `tidegate/server` over `ws`: sessions, plain clients, backpressure, ends. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { connect } from "tidegate/channels";
import { accept, json, shutdown, TidegateError } from "tidegate/server";
import { WebSocket, WebSocketServer } from "ws";
import { HELLO, echo, raw, start } from "./serving.mjs";

function pattern(size) {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

/** Runs what is ready until `condition` holds. */
async function until(condition) {
  while (!condition()) await new Promise(setImmediate);
}

/** Lets `test` have a server, which is stopped behind it. */
async function serving(serve, options, test) {
  const server = await start(serve, options);
  try {
    await test(server);
  } finally {
    await server.stop();
  }
}

test("b29_messages_of_each_kind_and_size_go_both_ways_in_both_modes", () =>
  serving(echo, {}, async ({ url }) => {
    const peers = [await connect(url, { WebSocket }), await connectPlain(url)];
    for (const socket of peers) {
      for (const size of [0, 1, 100, 65_536, 3_000_000]) {
        const ticket = await socket.send(pattern(size));
        await socket.send("€".repeat(size / 3));
        assert.deepEqual(new Uint8Array(await socket.recv()), pattern(size));
        assert.equal(await socket.recv(), "€".repeat(size / 3));
        assert.equal(await ticket.outcome, socket.mode === "plain" ? "handedOver" : "delivered");
      }
    }
    assert.deepEqual(peers.map(({ mode }) => mode), ["tidegate", "plain"]);
    await Promise.all(peers.map((socket) => socket.close()));
  }));

/** A plain client, by offering only what the application speaks itself. */
async function connectPlain(url, options = {}) {
  const { connect } = await import("tidegate");
  const socket = await connect(url, { WebSocket, protocols: "chat.v2", ...options });
  return Object.defineProperty(socket, "mode", { value: "plain" });
}

test("the_server_knows_mode_address_and_protocol", () => {
  const seen = [];
  return serving((peer) => void seen.push([peer.mode, peer.url, peer.protocol]), {}, async ({ url, connections }) => {
    const tidegate = await connect(`${url}live?x=1`, { WebSocket });
    const own = await connectPlain(url);
    const none = await connectPlain(url, { protocols: [] });
    assert.deepEqual(seen, [["tidegate", "/live?x=1", "tidegate.v1"], ["plain", "/", "chat.v2"], ["plain", "/", ""]]);
    assert.deepEqual(connections.counts, { open: 3, pending: 0, accepted: 3, refused: 0 });
    for (const socket of [tidegate, own, none]) await socket.close();
    await until(() => connections.counts.open === 0);
  });
});

test("who_a_client_is_goes_from_authenticate_to_its_socket", async () => {
  const users = new Map([["user=1", { name: "Ada" }]]);
  for (const [authenticate, wanted] of [
    [async ({ headers }) => ({ identity: users.get(headers.cookie) }), { name: "Ada" }],
    [() => ({ identity: 0 }), 0],
    [() => true, undefined],
    [undefined, undefined],
  ]) {
    const seen = [];
    await serving((peer) => void seen.push(peer), { options: { authenticate } }, async ({ url, connections }) => {
      const named = await new Promise((resolve) => {
        const socket = new WebSocket(url, "chat.v2", { headers: { cookie: "user=1" } });
        socket.on("open", () => resolve(socket));
      });
      await until(() => seen.length);
      assert.equal(seen[0].mode, "plain");
      assert.deepEqual(seen[0].identity, wanted);
      assert.ok([...connections].includes(seen[0]));
      named.close();
      if (wanted?.name) await assert.rejects(connect(url, { WebSocket }), { code: "connect" });
      else await (await connect(url, { WebSocket })).close();
    });
  }
});

test("handle_protocols_prefers_tidegate_then_the_clients_order", async () => {
  const { handleProtocols } = await import("tidegate/server");
  const choose = handleProtocols(["a", "b"]);
  assert.equal(choose(new Set(["b", "tidegate.v1"])), "tidegate.v1");
  assert.equal(choose(new Set(["c", "b", "a"])), "b");
  assert.equal(choose(new Set(["c"])), false);
  assert.equal(handleProtocols()(new Set(["tidegate.v1"])), "tidegate.v1");
  assert.throws(() => handleProtocols(["a b"]), { code: "protocols" });
});

test("v1_channels_are_opened_from_both_sides_at_once", async () => {
  const serve = async (peer) => {
    // In the task in which it is accepted.
    const news = await peer.channel("news", { priority: "bulk", codec: json });
    void news.send({ from: "server" });
    for await (const channel of peer.channels) {
      for await (const message of channel) await channel.send(`${channel.name}: ${message}`);
      await channel.close();
    }
  };
  await serving(serve, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const chat = await socket.channel("chat");
    const ticket = await chat.send("one");
    assert.equal(await chat.accepted, undefined);
    assert.equal(await chat.recv(), "chat: one");
    assert.equal(await ticket.outcome, "delivered");
    const { value: news } = await socket.channels[Symbol.asyncIterator]().next();
    assert.equal(news.name, "news");
    assert.equal(await news.recv(), '{"from":"server"}');
    await chat.close();
    assert.equal(await chat.recv(), undefined);
    assert.deepEqual(await chat.ended, { kind: "closed" });
    await socket.close();
    assert.equal((await news.stopped).kind, "connectionOver");
  });
});

test("v1_large_messages_go_on_channels_both_ways_and_what_is_larger_than_the_peer_takes_says_so", async () => {
  const largest = 14_913_024;
  const serve = async (peer) => {
    const own = await peer.channel("own");
    for await (const channel of peer.channels) {
      const message = await channel.recv();
      assert.equal(await (await channel.send(message)).outcome, "delivered");
      assert.equal(await (await own.send(message)).outcome, "delivered");
      assert.equal(await (await channel.send(new Uint8Array(largest + 1))).outcome, "tooBig");
      await channel.close();
    }
  };
  await serving(serve, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("large");
    const sent = pattern(largest);
    await channel.send(sent);
    const { value: own } = await socket.channels[Symbol.asyncIterator]().next();
    for (const from of [channel, own]) {
      // Compared as bytes of Node, which takes no seconds.
      assert.equal(Buffer.compare(Buffer.from(await from.recv()), sent), 0, from.name);
    }
    assert.equal(await channel.recv(), undefined);
    assert.equal(await (await own.send(new Uint8Array(largest + 1))).outcome, "tooBig");
    for (const from of [channel, socket]) {
      assert.equal(await (await from.send(new Uint8Array(15_000_000))).outcome, "tooBig");
    }
    await socket.close();
  });
});

test("v1_a_channel_for_which_there_is_no_more_room_takes_what_fits_its_first_window", () =>
  serving(echo, {}, async ({ url }) => {
    // For 16 windows of 1 MiB that are promised, and next to nothing besides.
    const socket = await connect(url, { WebSocket, maxChannels: 16, maxQueuedBytes: 16 << 20 });
    const channel = await socket.channel("small here");
    await channel.send(pattern(932_008));
    assert.equal((await channel.recv()).byteLength, 932_008);
    await socket.close();
  }));

test("b55_a_stalled_channel_holds_up_itself_and_nobody_else_in_both_directions", async () => {
  let filled;
  const serve = async (peer) => {
    void echo(peer);
    filled = await peer.channel("stalled there", { maxSendBytes: 64 << 20 });
    for (let i = 0; i < 40; i++) await filled.send(new Uint8Array(1 << 20));
  };
  await serving(serve, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const stalled = await socket.channel("stall", { maxSendBytes: 64 << 20 });
    for (let i = 0; i < 40; i++) await stalled.send(new Uint8Array(1 << 20));
    for (let i = 0; i < 200; i++) {
      await socket.send(`${i}`);
      assert.equal(await socket.recv(), `${i}`);
    }
    for (const channel of [stalled, filled]) {
      // A window of 16 MiB was taken, and no more.
      assert.ok(channel.bufferedAmount >= 24 << 20, `${channel.bufferedAmount} bytes wait`);
    }
    await socket.close(undefined, "", { flush: false });
  });
});

test("a_plain_client_waits_for_a_server_that_does_not_read", async () => {
  let peer;
  const serve = (accepted) => void (peer = accepted);
  await serving(serve, { options: { maxReceiveBytes: 1 << 20 } }, async ({ url }) => {
    const { socket } = await raw(url, []);
    await until(() => peer);
    const slow = peer;
    const other = await connect(url, { WebSocket });
    await until(() => slow !== peer);
    const sent = 64;
    for (let i = 0; i < sent; i++) socket.send(Buffer.alloc(1 << 20, i));
    await until(() => slow.stats().received.messages);
    void echo(peer);
    for (let i = 0; i < 50; i++) {
      await other.send("x");
      await other.recv();
    }
    assert.ok(slow.stats().received.bytes <= 2 << 20, `${slow.stats().received.bytes} bytes were read`);
    assert.ok(socket.bufferedAmount > 8 << 20, `${socket.bufferedAmount} bytes wait in the client`);
    for (let i = 0; i < sent; i++) assert.equal(new Uint8Array(await slow.recv())[0], i);
    // Also while nothing is read, a close from here comes to its end.
    for (let i = 0; i < sent; i++) socket.send(Buffer.alloc(1 << 20, i));
    await until(() => slow.stats().received.messages);
    const { code, wasClean } = await slow.close(4001);
    assert.deepEqual([code, wasClean], [4001, true]);
    await other.close();
  });
});

test("b31_either_side_closes_and_both_know_how", async () => {
  let peer;
  await serving((accepted) => void (peer = accepted), {}, async ({ url }) => {
    for (const [dial, code] of [[connect, 1000], [connectPlain, 4001]]) {
      const socket = await dial(url, { WebSocket });
      await peer.send("last");
      const [here, there] = [await socket.close(code, "bye"), await peer.closed];
      assert.deepEqual([here.code, here.cause, there.code, there.reason, there.cause], [code, "local", code, "bye", "peer"]);
      const again = await dial(url, { WebSocket });
      await peer.send("last");
      const closing = peer.close(code, "away");
      assert.equal(await again.recv(), "last");
      const ends = [await closing, await again.closed];
      assert.deepEqual(ends.map(({ code, reason, wasClean }) => [code, reason, wasClean]), [[code, "away", true], [code, "away", true]]);
      await assert.rejects(peer.send("x"), { code: "closed" });
    }
  });
});

test("a_connection_that_breaks_ends_nothing_else", async () => {
  let peer;
  await serving((accepted) => void (peer = accepted), {}, async ({ url }) => {
    for (const protocols of [["tidegate.v1"], []]) {
      const { socket } = await raw(url, protocols);
      if (protocols.length) socket.send(HELLO);
      await until(() => peer);
      socket._socket.resetAndDestroy();
      const { code, wasClean } = await peer.closed;
      assert.deepEqual([code, wasClean], [1006, false], protocols);
      peer = undefined;
    }
  });
});

test("a_plain_client_that_answers_no_ping_is_given_up", () => {
  let peer;
  return serving((accepted) => void (peer = accepted), { options: { pingAfter: 20 } }, async ({ url }) => {
    const { socket, closed } = await raw(url, [], { autoPong: false });
    const pinged = once(socket, "ping");
    assert.equal(await closed, 1006);
    await pinged;
    const { wasClean, cause } = await peer.closed;
    assert.deepEqual([wasClean, cause], [false, "silent"]);
    // One that answers stays.
    const answers = await raw(url, []);
    for (let i = 0; i < 3; i++) await once(answers.socket, "ping");
    assert.equal(answers.socket.readyState, 1);
    answers.socket.close();
  });
});

/** A plain client, the handle of its server, and the socket of `ws` below that; `pass` lets a time of `pingAfter` go by. */
async function watched(t, options, test) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 1 << 28 });
  try {
    await once(server, "listening");
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const accepted = new Promise((resolve) => {
      server.once("connection", (ws) => resolve(accept(ws, { pingAfter: 1_000, ...options }).then((peer) => ({ peer, ws }))));
    });
    // It answers no pings, as one whose pong stands behind something long.
    const { socket } = await raw(`ws://127.0.0.1:${server.address().port}/`, [], { autoPong: false });
    await test({ socket, ...(await accepted), pass: () => t.mock.timers.tick(1_000) });
  } finally {
    t.mock.timers.reset();
    for (const ws of server.clients) ws.terminate();
    server.close();
  }
}

/** Passes the time until it is over, as that of one who is silent. */
async function isGivenUp(peer, pass) {
  let closed;
  void peer.closed.then((end) => (closed = end));
  for (let times = 0; !closed; times += 1) {
    assert.ok(times < 5);
    pass();
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  }
  assert.deepEqual([closed.code, closed.cause], [1006, "silent"]);
}

test("a_plain_client_to_whom_a_long_message_is_on_its_way_is_not_silent", (t) =>
  watched(t, {}, async ({ socket, peer, ws, pass }) => {
    const below = socket._socket;
    below.pause();
    await peer.send(new Uint8Array(64 << 20));
    const { _handle: handle } = ws._socket;
    const taken = () => handle.bytesWritten - handle.writeQueueSize;
    for (let step = 0; step < 10; step += 1) {
      const before = [below.bytesRead, taken()];
      below.resume();
      await until(() => below.bytesRead > before[0] + (1 << 20) && taken() > before[1]);
      below.pause();
      pass();
      assert.equal(peer.readyState, 1, String(step));
    }
    assert.ok(handle.writeQueueSize > 0);
    await isGivenUp(peer, pass);
  }));

test("a_plain_client_whose_long_message_is_on_its_way_is_not_silent", (t) =>
  watched(t, {}, async ({ socket, peer, ws, pass }) => {
    // A masked frame of 1 MiB, of which a part comes each time.
    socket._socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]));
    for (let step = 0; step < 10; step += 1) {
      const before = ws._socket.bytesRead;
      socket._socket.write(Buffer.alloc(1_000));
      await until(() => ws._socket.bytesRead > before);
      pass();
      assert.equal(peer.readyState, 1, String(step));
    }
    await isGivenUp(peer, pass);
  }));

test("a_plain_client_that_is_not_read_is_not_silent_but_missed_when_it_has_gone", (t) =>
  watched(t, { maxReceiveMessages: 1 }, async ({ socket, peer, ws, pass }) => {
    for (let message = 0; message < 3; message += 1) socket.send("x");
    await until(() => ws.isPaused);
    for (let times = 0; times < 10; times += 1) pass();
    assert.equal(peer.readyState, 1);
    socket.terminate();
    let closed;
    void peer.closed.then((end) => (closed = end));
    while (!closed) {
      pass();
      await new Promise(setImmediate);
    }
    assert.deepEqual([closed.code, closed.cause], [1006, "peer"]);
  }));

test("a_server_that_goes_away_lets_what_has_begun_come_to_its_end", async () => {
  const closings = [];
  const serve = async (peer) => {
    for await (const channel of peer.channels) {
      closings.push(async () => {
        await channel.send("the last");
        await channel.close();
      });
    }
  };
  const { url, connections, refusals, stop } = await start(serve);
  const socket = await connect(url, { WebSocket });
  const channel = await socket.channel("work");
  await channel.accepted;
  const own = await connectPlain(url);
  await until(() => closings.length);
  const over = connections.shutdown({ drain: 60_000, reconnectAfter: 10, jitter: 20 });
  await connections.shuttingDown;
  assert.ok(connections.isShuttingDown);
  const { code, reason } = await own.closed;
  assert.deepEqual([code, reason], [1001, ""]);
  // Nobody else gets in.
  const late = await connect(url, { WebSocket }).catch((error) => error);
  assert.equal(late.code, "connect");
  assert.deepEqual(refusals.map(({ code }) => code), ["refused"]);
  assert.equal(connections.counts.open, 1);
  await closings[0]();
  assert.equal(await channel.recv(), "the last");
  await channel.close();
  assert.equal((await socket.closed).code, 4200);
  await over;
  assert.deepEqual(connections.counts, { open: 0, pending: 0, accepted: 2, refused: 1 });
  await stop();
});

test("what_does_not_come_to_its_end_is_cut_off_when_the_time_is_over", () =>
  serving(echo, {}, async ({ url, connections }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("work");
    await channel.accepted;
    await shutdown(connections, { drain: 20 });
    const { code, cause } = await socket.closed;
    assert.deepEqual([code, cause], [4200, "peer"]);
    assert.equal(await channel.recv(), undefined);
    await assert.rejects(shutdown([socket]), { code: "option" });
    await assert.rejects(shutdown([], { drain: -1 }), { code: "option" });
  }));

/** A plain client that reads nothing, so that a close of the server's takes all the time that it has. */
async function deaf(url) {
  const { socket } = await raw(url, []);
  socket._socket.pause();
  return socket;
}

test("of_two_shutdowns_the_earlier_end_holds", async () => {
  // Either a test that waits for the later one would not end.
  const hour = 3_600_000;
  for (const drains of [[20, hour], [hour, 20], [20, 0], [0, 20]]) {
    let peer;
    const { url, connections, stop } = await start((accepted) => void (peer = accepted));
    const plain = await deaf(url);
    await until(() => peer);
    const socket = await connect(url, { WebSocket });
    await (await socket.channel("work")).accepted;
    await Promise.all(drains.map((drain) => connections.shutdown({ drain })));
    assert.equal((await socket.closed).code, 4200, drains);
    plain.terminate();
    await stop();
  }
});

test("a_connection_that_comes_between_two_shutdowns_has_until_the_earlier_end", async () => {
  const asked = [];
  const authenticate = () => new Promise((resolve) => asked.push(resolve));
  const { url, connections, stop } = await start(undefined, { options: { authenticate, within: 0 } });
  const dialling = [deaf(url), deaf(url)];
  await until(() => asked.length === 2);
  const over = [connections.shutdown({ drain: 20 }), connections.shutdown({ drain: 3_600_000 })];
  asked[0](true);
  await until(() => connections.counts.open);
  over.push(connections.shutdown({ drain: 3_600_000 }));
  asked[1](true);
  await Promise.all(over);
  assert.deepEqual(connections.counts, { open: 0, pending: 0, accepted: 2, refused: 0 });
  for (const socket of await Promise.all(dialling)) socket.terminate();
  await stop();
});

test("b29_messages_arrive_in_whichever_form_ws_gives_them", async () => {
  const wss = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(wss, "listening");
  const url = `ws://127.0.0.1:${wss.address().port}/`;
  for (const protocols of ["tidegate.v1", []]) {
    for (const form of ["nodebuffer", "arraybuffer", "fragments"]) {
      const client = protocols.length ? connect(url, { WebSocket }) : connectPlain(url, { protocols });
      const [ws] = await once(wss, "connection");
      const accepting = accept(ws);
      ws.binaryType = form;
      const [peer, socket] = [await accepting, await client];
      await socket.send(pattern(200_000));
      await socket.send(pattern(5));
      const received = await peer.recv();
      assert.ok(received instanceof ArrayBuffer, form);
      assert.deepEqual(new Uint8Array(received), pattern(200_000), form);
      // Of its own, and not of a pool.
      assert.equal((await peer.recv()).byteLength, 5);
      await socket.close();
    }
  }
  const client = connectPlain(url, { protocols: [] });
  const peer = await accept((await once(wss, "connection"))[0], { binaryType: "blob", codec: undefined });
  await (await client).send(pattern(5));
  assert.deepEqual(new Uint8Array(await (await peer.recv()).arrayBuffer()), pattern(5));
  await peer.close();
  wss.close();
});

/** What may not be said of how long what is under way may queue, in milliseconds. */
const DELAYS_REFUSED = [4.9, 500.1, 0, Infinity, NaN, "12"];

test("a_delay_out_of_its_range_is_refused_before_anything_is_tried_and_its_bounds_are_not", () =>
  serving(echo, { options: { delay: 500 } }, async ({ url, connections }) => {
    for (const delay of DELAYS_REFUSED) await assert.rejects(connect(url, { WebSocket, delay }), { code: "option" });
    assert.deepEqual(connections.counts, { open: 0, pending: 0, accepted: 0, refused: 0 });
    for (const delay of [5, 500]) {
      const socket = await connect(url, { WebSocket, delay });
      await socket.send("x");
      assert.equal(await socket.recv(), "x");
      await socket.close();
    }
  }));

test("what_cannot_work_is_refused_and_leaves_the_socket_alone", async () => {
  const wss = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(wss, "listening");
  const client = new WebSocket(`ws://127.0.0.1:${wss.address().port}/`);
  await assert.rejects(accept(client), { code: "option" });
  const [ws] = await once(wss, "connection");
  const wrong = [
    undefined, {}, [ws, []], [ws, { maxChannels: 70_000 }], [ws, { maxMessageBytes: 1 }], [ws, { binaryType: "text" }],
    [ws, { within: "1" }], [ws, { codec: {} }], [ws, { connections: {} }], [ws, { pingAfter: -1 }],
    ...DELAYS_REFUSED.map((delay) => [ws, { delay }]),
  ];
  for (const given of wrong) {
    const error = await accept(...[given].flat()).catch((error) => error);
    assert.ok(error instanceof TidegateError && error.code === "option", `${error}`);
  }
  assert.equal(ws.readyState, 1);
  const peer = await accept(ws);
  if (client.readyState === 0) await once(client, "open");
  client.close();
  await peer.closed;
  const late = await accept(ws).catch((error) => error);
  assert.equal(late.code, "connect");
  wss.close();
});

test("a_server_that_has_chosen_the_subprotocol_is_not_taken_for_a_plain_one", async () => {
  const { handleProtocols } = await import("tidegate/server");
  const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: handleProtocols() });
  await once(wss, "listening");
  const offered = [];
  // Too busy for a session.
  wss.on("connection", (ws, { headers }) => {
    offered.push(headers["sec-websocket-protocol"]);
    ws.close(1013);
  });
  const url = `ws://127.0.0.1:${wss.address().port}/`;
  for (let n = 0; n < 2; n++) {
    const error = await connect(url, { WebSocket, mode: "auto" }).catch((error) => error);
    assert.deepEqual([error.code, error.closed.code], ["connect", 1013]);
  }
  assert.deepEqual(offered, ["tidegate.v1", "tidegate.v1"]);
  wss.close();
});

test("b31_who_is_let_in_only_to_be_told_why_not_learns_it_in_both_modes", () =>
  serving((peer) => void peer.close(1000, "log in first"), {}, async ({ url }) => {
    for (const dial of [connect, connectPlain]) {
      const socket = await dial(url, { WebSocket }).catch(({ closed }) => ({ closed }));
      const { code, reason } = await socket.closed;
      assert.deepEqual([code, reason], [1000, "log in first"]);
    }
  }));

test("it_works_in_a_thread_of_its_own", async () => {
  const worker = new Worker(new URL("server.worker.mjs", import.meta.url));
  const [url] = await once(worker, "message");
  const sockets = await Promise.all([1, 2, 3].map(() => connect(url, { WebSocket })));
  for (const socket of sockets) {
    await socket.send("x");
    assert.equal(await socket.recv(), "x");
    await socket.close();
  }
  await worker.terminate();
});

test("a_reset_without_detail_has_none", () =>
  serving(echo, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("chat");
    await channel.send("secret");
    assert.equal(await channel.recv(), "secret");
    channel.stop();
    assert.deepEqual(await channel.ended, { kind: "reset", code: 32, detail: new Uint8Array(0) });
    await socket.close();
  }));

test("what_the_peer_is_told_of_a_reset_is_what_was_said", async () => {
  let told;
  const end = new Promise((resolve) => (told = resolve));
  const serve = async (peer) => {
    for await (const channel of peer.channels) {
      assert.equal(await channel.recv(), "secret");
      await channel.send("answer");
      told(await channel.ended);
    }
  };
  await serving(serve, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("chat");
    await channel.send("secret");
    assert.equal(await channel.recv(), "answer");
    channel.reset();
    assert.deepEqual(await end, { kind: "reset", code: 38, detail: new Uint8Array(0) });
    await socket.close();
  });
});

test("a_channel_that_is_refused_is_told_so_in_both_directions_and_leaves_its_place", () => {
  const why = new TextEncoder().encode("no such channel");
  const serve = async (peer) => {
    for await (const channel of peer.channels) channel.refuse(why);
  };
  return serving(serve, { options: { maxChannels: 16 } }, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const end = { kind: "reset", code: 33, detail: new Uint8Array(why) };
    for (let n = 0; n < 40; n++) {
      const channel = await socket.channel("no-such");
      assert.deepEqual([await channel.stopped, await channel.ended], [end, end]);
      await assert.rejects(channel.send("x"), ({ code }) => code === "closed");
    }
    await socket.close();
  });
});

test("a_channel_counts_what_it_sends_in_its_own_class", () =>
  serving(echo, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("echo", { priority: "bulk" });
    assert.equal(await (await channel.send("x")).outcome, "delivered");
    const handedOver = () => Object.entries(channel.stats().classes).map(([name, { handedOver }]) => [name, handedOver.messages]);
    assert.deepEqual(Object.fromEntries(handedOver()), { urgent: 0, normal: 0, bulk: 1, background: 0 });
    channel.priority = "urgent";
    assert.deepEqual(Object.fromEntries(handedOver()), { urgent: 1, normal: 0, bulk: 0, background: 0 });
    await socket.close();
  }));

test("b55_channels_that_nobody_takes_fill_no_more_than_what_may_be_queued", () =>
  serving(() => new Promise(() => {}), { options: { maxChannels: 16, maxQueuedBytes: 4 << 20 } }, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    // It takes a channel's place, too.
    await (await socket.send("x")).outcome;
    const opened = [];
    for (let n = 0; n < 40; n++) {
      const channel = await socket.channel(`${n}`);
      const ticket = await channel.send(new Uint8Array(50_000));
      void ticket.outcome.then(() => opened.push(n));
      void channel.close();
      channel.stop();
    }
    // What is behind it on the same connection arrives, so that more of them would have.
    for (let n = 0; n < 20; n++) await (await socket.send("x")).outcome;
    assert.ok(opened.length > 0 && opened.length <= 16, `${opened.length}`);
    await socket.close(1000, "", { within: 1 });
  }));

test("who_waits_for_a_channel_that_is_closed_both_ways_hears_its_end", () =>
  serving(echo, {}, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    const channel = await socket.channel("stall");
    const { accepted, stopped, ended } = channel;
    const reader = channel.readable.getReader();
    const read = assert.rejects(reader.read(), { code: "reset" });
    await channel[Symbol.asyncDispose]();
    await accepted;
    assert.equal((await stopped).kind, "closed");
    assert.equal((await ended).kind, "reset");
    await read;
    await socket.close();
  }));

test("flows_that_come_and_go_and_items_that_need_the_window_arrive", async () => {
  const seen = [];
  const serve = async (peer) => {
    void (async () => {
      for await (const channel of peer.channels) for await (const message of channel) seen.push(message.byteLength);
    })();
    for await (const message of peer) seen.push(message);
  };
  await serving(serve, { options: { maxChannels: 1, maxMessageBytes: 1024, maxQueuedBytes: 1 << 20 } }, async ({ url }) => {
    const socket = await connect(url, { WebSocket });
    for (let n = 0; n < 50; n++) assert.equal(await (await socket.send("x", { flow: `${n}` })).outcome, "delivered");
    const channel = await socket.channel("chat");
    for (const size of [7_400, 57_344]) assert.equal(await (await channel.send(new Uint8Array(size))).outcome, "delivered");
    await until(() => seen.length === 52);
    await socket.close();
  });
});

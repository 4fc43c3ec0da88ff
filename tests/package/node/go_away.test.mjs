/** What a socket can learn of the end that its peer announces. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as connectPlain } from "tidegate";
import { connect } from "tidegate/channels";
import { shutdown } from "tidegate/server";
import { WebSocket } from "ws";
import { pair } from "./in_memory.mjs";
import { HELLO, raw, record, start, varint } from "./serving.mjs";

/** Runs what is ready until `condition` holds. */
async function until(condition) {
  while (!condition()) await new Promise(setImmediate);
}

test("a_server_that_goes_away_says_when_to_come_back_while_channels_go_on", async () => {
  const [client, server] = await pair();
  const work = await client.channel("work");
  const { value: there } = await server.channels[Symbol.asyncIterator]().next();
  await work.accepted;
  assert.equal(client.goAway, null);
  const told = [];
  const listener = ({ type, target }) => told.push([type, target.goAway.reconnectAfter]);
  client.addEventListener("goaway", listener, { once: true });
  client.ongoaway = listener;
  assert.equal(client.ongoaway, listener);
  const leaving = () => told.push("a listener that was taken off");
  client.ongoaway = leaving;
  client.ongoaway = null;
  client.ongoaway = listener;
  client.addEventListener("goaway", leaving);
  client.removeEventListener("goaway", leaving);
  const over = shutdown([server], { drain: 7_000, reconnectAfter: 1_500, jitter: 5_000 });
  await once(client, "goaway");
  const announced = { code: 0, reason: "NONE", drain: 7_000, reconnectAfter: 1_500, jitter: 5_000 };
  assert.deepEqual(client.goAway, announced);
  await until(() => told.length === 2);
  assert.deepEqual(told, [["goaway", 1_500], ["goaway", 1_500]]);
  await assert.rejects(client.send("x"), { code: "closed" });
  await assert.rejects(client.channel("another"), { code: "closed" });
  await work.send("still");
  assert.equal(await there.recv(), "still");
  await Promise.all([work.close(), there.close()]);
  await over;
  assert.equal((await client.closed).code, 4200);
  assert.deepEqual(client.goAway, announced);
  // What this side has announced itself is nothing that it was told.
  assert.equal(server.goAway, null);
});

test("a_peer_that_closes_announces_it_without_a_time_to_come_back", async () => {
  const [client, server] = await pair();
  const told = once(server, "goaway");
  await client.close(1000, "", { within: 3_000 });
  await told;
  assert.deepEqual(server.goAway, { code: 0, reason: "NONE", drain: 3_000, reconnectAfter: 0, jitter: 0 });
  assert.equal(client.goAway, null);
});

test("of_what_a_peer_announces_the_newest_is_told_with_its_reason", async () => {
  let peer;
  const { url, stop } = await start((accepted) => void (peer = accepted));
  const { socket, closed } = await raw(url);
  const announce = (code, reason, ...numbers) =>
    record(0x09, Buffer.concat([Buffer.from([0, ...[code, ...numbers].flatMap(varint)]), Buffer.from(reason)]));
  let count = 0;
  socket.send(Buffer.concat([HELLO]));
  await until(() => peer);
  peer.addEventListener("goaway", () => count++);
  socket.send(Buffer.concat([announce(0, "soon", 60_000, 10, 20), announce(99, "now: ünder", 5, 0, 0)]));
  await until(() => count === 2);
  assert.deepEqual(peer.goAway, { code: 8, reason: "now: ünder", drain: 5, reconnectAfter: 0, jitter: 0 });
  socket.close(4200);
  await closed;
  await stop();
});

test("without_a_bound_for_what_has_begun_a_server_that_goes_away_waits_for_it", async () => {
  const { url, connections, stop } = await start();
  const socket = await connect(url, { WebSocket });
  const work = await socket.channel("work");
  await work.send("x");
  assert.equal(await work.recv(), "x");
  const plain = await connectPlain(url, { WebSocket, protocols: "chat.v2" });
  const order = [];
  const over = connections.shutdown({ drain: 0 }).then(() => order.push("over"));
  await once(socket, "goaway");
  // The most that can be said.
  assert.equal(socket.goAway.drain, 2 ** 53 - 1);
  assert.equal((await plain.closed).code, 1001);
  await work.send("y");
  assert.equal(await work.recv(), "y");
  order.push("still open");
  await work.close();
  await over;
  assert.deepEqual(order, ["still open", "over"]);
  assert.equal((await socket.closed).code, 4200);
  await stop();
});

test("in_plain_mode_nothing_is_announced", async () => {
  const { url, connections, stop } = await start(undefined, { sockets: { handleProtocols: () => "chat.v2" } });
  const socket = await connect(url, { WebSocket, mode: "auto", protocols: "chat.v2" });
  assert.deepEqual([socket.mode, socket.goAway], ["plain", null]);
  await connections.shutdown({ drain: 1_000, reconnectAfter: 5 });
  assert.deepEqual([(await socket.closed).code, socket.goAway], [1001, null]);
  await stop();
});

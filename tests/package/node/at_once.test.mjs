/**
 * Tidegate mode over sockets of the application's own that have no network below them: each tells of a message from inside of
 * the other's `send`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { content, pair } from "./in_memory.mjs";

const PRIORITIES = ["urgent", "normal", "bulk", "background"];

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

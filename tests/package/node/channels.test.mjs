/** Channels of tidegate mode at their ends: what settles when they are closed, left, or cut off. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Here, pair } from "./in_memory.mjs";

/** Runs what is ready until `condition` holds. */
async function until(condition) {
  while (!condition()) await new Promise(setImmediate);
}

/** A client and a server, a channel between them, and its other end. */
async function channelled(name = "chat", options = {}) {
  const [client, server] = await pair();
  const chat = await client.channel(name, options);
  const { value: there } = await server.channels[Symbol.asyncIterator]().next();
  await chat.accepted;
  return { client, server, chat, there };
}

/** What is sent on a channel that nobody reads, so that some of it stays. */
function fill(chat) {
  const tickets = [];
  for (let ticket; (ticket = chat.trySend(new Uint8Array(1 << 20))); ) tickets.push(ticket);
  assert.ok(chat.bufferedAmount > 0);
  return tickets;
}

test("a_channel_that_was_left_is_left_at_the_latest_with_the_connection", async () => {
  for (const leave of [(chat) => chat[Symbol.asyncDispose](), (chat) => (chat.stop(), chat.close())]) {
    const { client, chat } = await channelled();
    const tickets = fill(chat);
    const left = leave(chat);
    // The peer drops what it has of it, but nobody takes the rest.
    Here.made.close(1006);
    await client.closed;
    const outcomes = await Promise.all(tickets.map(({ outcome }) => outcome));
    assert.ok(outcomes.includes("unsent") || outcomes.includes("unknown"), outcomes.join());
    await left;
    await assert.rejects(chat.send("x"), { code: "closed" });
  }
});

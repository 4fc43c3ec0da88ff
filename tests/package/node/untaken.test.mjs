/** What a peer sends that nobody takes: it is charged 64 bytes for each message beside its content, and may cost no more. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { content, pair } from "./in_memory.mjs";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

/** What is held, in bytes, but for the memory of wasm. */
async function held() {
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    gc();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const CHANNELS = 4;

test("b61_messages_that_nobody_takes_cost_what_they_are_charged", async (t) => {
  for (const size of [0, 16, 500]) {
    const [client, server] = await pair();
    const offered = server.channels[Symbol.asyncIterator]();
    const count = Math.floor(900_000 / (64 + size));
    const message = content(7, size);
    const theirs = [];
    const before = await held();
    for (let n = 0; n < CHANNELS; n++) {
      const chat = await client.channel(`${n}`);
      theirs.push((await offered.next()).value);
      for (let i = 0; i < count; i++) chat.trySend(message);
      await chat.flushed();
    }
    const each = ((await held()) - before) / (CHANNELS * count);
    t.diagnostic(`${size} bytes: ${each.toFixed(0)} held`);
    assert.ok(each < 1.5 * (64 + size), `${each} for ${size}`);
    // And they are what they were.
    for (const channel of theirs) {
      for (let i = 0; i < count; i += 1) {
        const taken = channel.tryRecv();
        assert.ok(taken instanceof ArrayBuffer);
        if (i % 500 === 0) assert.deepEqual(new Uint8Array(taken), message);
      }
      assert.equal(channel.tryRecv(), undefined);
    }
    await client.close();
  }
});

/** The wasm of `tidegate/channels` over the WebSocket of `ws`, against the peer of `tidegate.v1` in Python. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { connect } from "tidegate/channels";
import { WebSocket } from "ws";

const python = process.env.TIDEGATE_PYTHON ?? assert.fail("TIDEGATE_PYTHON names no interpreter");
const options = { cwd: process.env.TIDEGATE_INTEROP, stdio: ["ignore", "pipe", "inherit"] };
const server = spawn(python, ["-E", "-s", "-B", "peer.py", "serve"], options);
after(() => server.kill());
const { value: line } = await createInterface(server.stdout)[Symbol.asyncIterator]().next();
const url = line.replace("listening on ", "");

/** Byte i is i modulo 251, as the peer counts. */
const counted = (size) => Uint8Array.from({ length: size }, (_, i) => i % 251);

/** Nothing here takes longer, unless something waits for ever. */
const limit = { timeout: 60_000 };

/** Fails unless `item` is `wanted`, text or bytes. */
function same(item, wanted) {
  if (typeof wanted === "string") assert.ok(item === wanted, `text of ${wanted.length}`);
  else assert.ok(Buffer.from(item).equals(wanted), `${wanted.length} bytes`);
}

test("v1_items_of_all_sizes_come_back_from_python_and_its_direction_ends_after_ours", limit, async () => {
  const socket = await connect(url, { mode: "tidegate", WebSocket });
  assert.deepEqual([socket.mode, socket.protocol], ["tidegate", "tidegate.v1"]);
  const channel = await socket.channel("echo");
  const items = ["", "hello", "Grüße, 𝄞".repeat(20_000), ...[0, 1, 511, 512, 65_536, 300_000].map(counted)];
  const sending = (async () => {
    const tickets = [];
    for (const item of items) tickets.push(await channel.send(item));
    await channel.close();
    for (const ticket of tickets) assert.equal(await ticket.outcome, "delivered");
  })();
  for (const item of items) same(await channel.recv(), item);
  assert.equal(await channel.recv(), undefined);
  assert.deepEqual(await channel.ended, { kind: "closed" });
  await sending;
  const { code, wasClean, unknown } = await socket.close(1000);
  assert.deepEqual([code, wasClean, unknown.messages], [1000, true, 0]);
});

test("v1_a_channel_that_python_opens_arrives_and_ends", limit, async () => {
  const socket = await connect(url, { mode: "tidegate", WebSocket });
  for await (const channel of socket.channels) {
    assert.equal(channel.name, "greeting");
    for (const item of ["hello from python", counted(0), counted(100_000)]) same(await channel.recv(), item);
    assert.equal(await channel.recv(), undefined);
    break;
  }
  await socket.close();
});

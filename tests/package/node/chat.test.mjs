/** The chat of `examples/typescript` where it does not go as it should. xtask has compiled it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { accept } from "tidegate/server";
import { Here } from "./in_memory.mjs";
import { raw } from "./serving.mjs";
import { join } from "../examples/chat/client.js";
import { listen } from "../examples/chat/server.js";

test("a_report_whose_connection_is_lost_is_none", async () => {
  for (const isClosed of [false, true]) {
    const joining = join("ws://in.memory/", "ann", () => {}, { WebSocket: Here });
    const accepting = accept(Here.made.peer);
    Here.made.open();
    const [ann, peer] = await Promise.all([joining, accepting]);
    const reporting = ann.report([new Uint8Array(10)]);
    const failed = assert.rejects(reporting, /lost/);
    for await (const channel of peer.channels) {
      if (channel.name !== "telemetry") continue;
      // Before it has all of it, or before it has said how much that was.
      if (isClosed) while ((await channel.recv()) !== undefined);
      Here.made.close(1006);
    }
    await failed;
  }
});

test("a_client_that_speaks_no_tidegate_v1_is_told_so_and_keeps_no_place", async () => {
  const { port, end } = await listen([]);
  const { socket, closed } = await raw(`ws://127.0.0.1:${port}/live`, []);
  const reason = new Promise((resolve) => socket.on("close", (_, given) => resolve(String(given))));
  assert.deepEqual([await closed, await reason], [1000, "speak tidegate.v1"]);
  await end();
});

/** The real wasm over the WebSocket of `ws`, against servers of this file's own. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "tidegate";
import init from "tidegate/core";
import { WebSocket, WebSocketServer } from "ws";

/** A server that echoes, with what it was asked for beside it. */
async function serve(options) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, ...options });
  server.on("connection", (peer) => peer.on("message", (data, isBinary) => peer.send(data, { binary: isBinary })));
  await once(server, "listening");
  return { server, url: `ws://127.0.0.1:${server.address().port}/` };
}

test("b30_bytes_are_sent_as_they_were_however_late_the_socket_compresses", async () => {
  const { server, url } = await serve({ perMessageDeflate: { threshold: 0 } });
  const socket = await connect(url, { WebSocket });
  assert.match(socket.extensions, /permessage-deflate/);
  for (const size of [100, 5_000, 5_000_000]) {
    for (const how of ["send", "trySend"]) {
      const bytes = new Uint8Array(size).fill(7);
      await socket[how](bytes);
      bytes.fill(0);
      const echoed = new Uint8Array(await socket.recv());
      assert.ok(echoed.length === size && echoed.every((byte) => byte === 7), `${how} of ${size} bytes`);
      // A transferred buffer is gone, and its bytes arrive.
      const moved = new Uint8Array(size).fill(9);
      await socket[how](moved, { transfer: true });
      assert.equal(moved.length, 0);
      assert.ok(new Uint8Array(await socket.recv()).every((byte) => byte === 9));
    }
  }
  await socket.close();
  server.close();
});

test("the_wasm_is_loaded_once_whoever_asks_first", async () => {
  const { server, url } = await serve({});
  const [first, second, socket] = await Promise.all([init(), init(), connect(url, { WebSocket })]);
  assert.equal(first, second);
  assert.equal(await init(), first);
  await socket.send("hello");
  assert.equal(await socket.recv(), "hello");
  await socket.close();
  server.close();
});

test("b5_what_ws_says_about_a_failure_is_the_cause", async () => {
  const refused = await connect("ws://127.0.0.1:65535/", { WebSocket }).catch((error) => error);
  assert.deepEqual([refused.code, refused.cause.code, refused.closed.code], ["connect", "ECONNREFUSED", 1006]);
});

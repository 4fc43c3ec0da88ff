/**
 * The README's TypeScript, run as it stands there, against a small server. TIDEGATE_README names the
 * file; the class that makes sockets leads the README's address to this server.
 */

import assert from "node:assert/strict";
import { readFile, writeFile, rm } from "node:fs/promises";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";

test("the_readmes_typescript_runs", async () => {
  const readme = await readFile(process.env.TIDEGATE_README, "utf8");
  const block = readme.match(/```ts\n([^]*?)```/)[1];

  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "chat.v2" });
  server.on("connection", (peer) => {
    peer.on("message", (data, binary) => {
      peer.send(data, { binary });
      peer.close(1000, "bye");
    });
  });
  await new Promise((listening) => server.on("listening", listening));
  const { port } = server.address();
  const before = globalThis.WebSocket;
  globalThis.WebSocket = class extends WebSocket {
    constructor(address, protocols) {
      assert.equal(address, "wss://example.com/live");
      super(`ws://127.0.0.1:${port}/live`, protocols);
    }
  };

  const shown = [];
  const { log } = console;
  console.log = (...values) => void shown.push(...values);
  // Beside this file, so that `tidegate` is found. The block has no types in it, and so is JavaScript.
  const file = new URL("readme-block.mjs", import.meta.url);
  try {
    await writeFile(file, `${block}\nexport { code, cause, unsent, unknown };\n`);
    const { code, cause, unsent, unknown } = await import(file.href);
    assert.deepEqual(shown, ["handedOver", "hello"]);
    assert.deepEqual([code, cause, unsent.messages, unknown.messages], [1000, "peer", 0, 1]);
  } finally {
    console.log = log;
    globalThis.WebSocket = before;
    await rm(file, { force: true });
    server.close();
  }
});

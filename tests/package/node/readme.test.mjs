/**
 * The first TypeScript of each README, run as it stands there, against a small server. TIDEGATE_READMES names the
 * files; the class that makes sockets leads the README's address to this server. The other blocks take an application
 * for granted, and are compiled only (types/tsconfig.readme.json).
 */

import assert from "node:assert/strict";
import { readFile, writeFile, rm } from "node:fs/promises";
import { delimiter } from "node:path";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";

const readmes = process.env.TIDEGATE_READMES.split(delimiter);

for (const [number, path] of readmes.entries()) test(`the_readmes_typescript_runs_${number}`, async () => {
  const readme = await readFile(path, "utf8");
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
  const file = new URL(`readme-block-${number}.mjs`, import.meta.url);
  try {
    await writeFile(file, `${block}\nexport const ended = await socket.closed;\n`);
    const { code, cause, unsent, unknown } = (await import(file.href)).ended;
    assert.deepEqual(shown, ["handedOver", "hello"]);
    assert.deepEqual([code, cause, unsent.messages, unknown.messages], [1000, "peer", 0, 1]);
  } finally {
    console.log = log;
    globalThis.WebSocket = before;
    await rm(file, { force: true });
    server.close();
  }
});

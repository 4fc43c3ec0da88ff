/**
 * The checks in Node, with the WebSocket of `ws`: `node node/run.mjs http://127.0.0.1:PORT`, with the port of the chat's server
 * behind it. Prints
 * the result as JSON; exit code 0 only if all passed. With TIDEGATE_FULL: full counts; with TIDEGATE_ONLY: only the checks
 * whose names have that in them.
 */

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { WebSocket } from "ws";
import * as tidegate from "tidegate";
import * as streams from "tidegate/streams";
import * as channels from "tidegate/channels";
import init from "tidegate/core";
import { checks, run } from "../checks/all.js";
import { example } from "../checks/example.js";
// Of `examples/typescript`, as xtask has compiled it.
import { join } from "../examples/chat/client.js";
import { share } from "../examples/share.js";

// Checks may collect garbage.
setFlagsFromString("--expose-gc");
globalThis.gc = runInNewContext("gc");

const [, , base, chat] = process.argv;
if (!base || !chat) {
  console.error("usage: node run.mjs SERVER CHAT");
  process.exit(2);
}
const bytes = await readFile(new URL("tidegate_core_bg.wasm", import.meta.resolve("tidegate/core")));
const result = await run({ ...checks, ...example(share, join) }, {
  tidegate,
  streams,
  channels,
  base,
  chat: `ws://127.0.0.1:${chat}/live`,
  full: !!process.env.TIDEGATE_FULL,
  only: process.env.TIDEGATE_ONLY,
  host: "node",
  WebSocket,
  memory: async () => (await init(bytes)).memory,
});
console.log(JSON.stringify(result));
// Not waiting for `ws`, which gives a server that never closes 30 s.
process.exit(result.failed ? 1 : 0);

/** A server of `tidegate/server` in a thread of its own: tells its address. */

import { parentPort } from "node:worker_threads";
import { start } from "./serving.mjs";

parentPort.postMessage((await start()).url);

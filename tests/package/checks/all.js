/** Every check, in the order in which they run. */

import { channels } from "./channels.js";
import { closing } from "./closing.js";
import { connecting } from "./connecting.js";
import { memory } from "./memory.js";
import { messages } from "./messages.js";
import { overflow } from "./overflow.js";
import { slowReader } from "./slow_reader.js";
import { streams } from "./streams.js";

export { run, summary } from "./harness.js";

/** @type {Record<string, import("./harness.js").Check>} */
export const checks = { ...connecting, ...messages, ...overflow, ...closing, ...streams, ...channels, ...memory, ...slowReader };

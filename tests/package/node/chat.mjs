/** The chat's server of `examples/typescript`: `node chat.mjs ORIGIN`. Prints its port and ends when it is told to. */

import { listen } from "../examples/chat/server.js";

const { port, end } = await listen([process.argv[2]]);
process.once("SIGTERM", async () => {
  await end();
  process.exit();
});
console.log(port);

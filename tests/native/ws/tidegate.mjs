/**
 * A server of the npm package over ws, for tidegate's client on the host: `node tidegate.mjs PACKAGE`. Prints its port and
 * ends with its standard input.
 *
 * Messages go back, those of channels as well, but for these. Messages: `close` closes, `leave` shuts down. Channels:
 * `own` has this side open one of that name, on which messages go back; `refuse` is reset.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocketServer } from "ws";

const { handleProtocols, shutdown, upgrade } = await import(pathToFileURL(join(process.argv[2], "server.js")));
const sockets = new WebSocketServer({ noServer: true, handleProtocols: handleProtocols("chat.v2") });

async function messages(peer) {
  for await (const message of peer) {
    if (message === "close") await peer.close(4001, "enough");
    else if (message === "leave") void shutdown([peer], { drain: 30_000, reconnectAfter: 1_000, jitter: 500 });
    else await peer.send(message);
  }
}

async function serve(peer, channel) {
  if (channel.name === "refuse") {
    channel.reset(38, new TextEncoder().encode("no"));
    channel.stop(38, new TextEncoder().encode("no"));
    return;
  }
  const back = channel.name === "own" ? await peer.channel("own", { priority: "bulk" }) : channel;
  for await (const message of channel) await back.send(message);
  await back.close();
  if (back !== channel) await channel.close();
}

const server = createServer();
server.on("upgrade", async (request, socket, head) => {
  const peer = await upgrade(sockets, request, socket, head, { origins: [], withoutOrigin: "accept" });
  if (!peer) return;
  void messages(peer);
  for await (const channel of peer.channels) void serve(peer, channel);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(server.address().port);
process.stdin.resume().on("end", () => process.exit());

/** A chat, and bulk telemetry beside it on the same connections: the server, in Node. */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { Connections, handleProtocols, upgrade, type Channel } from "tidegate/server";
import { WebSocketServer } from "ws";

/** Listens for pages of these origins. Gives the port, and how to end. */
export async function listen(origins: readonly string[], port = 0): Promise<{ port: number; end(): Promise<void> }> {
  const connections = new Connections({ maxConnections: 1_000 });
  const chats = new Set<Channel>();

  /** Says to everybody what one of them says. */
  async function chat(channel: Channel): Promise<void> {
    chats.add(channel);
    void channel.stopped.then(() => chats.delete(channel));
    for await (const line of channel) {
      for (const other of chats) {
        try {
          other.trySend(line, { deadline: 5_000 }); // whoever does not read misses it
        } catch {
          chats.delete(other); // it has left
        }
      }
    }
    chats.delete(channel);
    await channel.close();
  }

  /** Takes what a client reports, and says at the end how much it was. What is not taken makes the client wait. */
  async function collect(channel: Channel): Promise<void> {
    let bytes = 0;
    for await (const sample of channel) bytes += typeof sample === "string" ? 0 : sample.byteLength;
    await channel.send(String(bytes));
    await channel.close();
  }

  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 20, handleProtocols: handleProtocols() });
  const server = createServer((_, response) => response.writeHead(426).end());
  const authenticate = ({ url }: IncomingMessage): true | number => url?.split("?")[0] === "/live" || 404;
  server.on("upgrade", async (request, socket, head) => {
    const peer = await upgrade(sockets, request, socket, head, { origins, withoutOrigin: "accept", connections, authenticate });
    if (!peer) return; // refused, or gone
    if (peer.mode === "plain") return void peer.close(1000, "speak tidegate.v1"); // or it waits here, read by nobody
    for await (const channel of peer.channels) {
      if (channel.name === "chat") void chat(channel);
      else if (channel.name === "telemetry") collect(channel).catch(() => {}); // gone before the end
      else channel.refuse();
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async end() {
      server.close();
      await connections.shutdown({ drain: 2_000, jitter: 5_000 }); // clients come back within 5 s
    },
  };
}

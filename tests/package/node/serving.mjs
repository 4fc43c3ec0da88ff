/** Servers of `tidegate/server` for the tests, and a peer that says what it likes. */

import { once } from "node:events";
import { createServer } from "node:http";
import { Connections, handleProtocols, upgrade } from "tidegate/server";
import { WebSocket, WebSocketServer } from "ws";

/**
 * A server over Node's `upgrade` event. `serve` gets each connection; without one messages and those of channels are sent
 * back, but on channels named `stall`, which nobody reads.
 */
export async function start(serve = echo, { options = {}, sockets = {}, own = ["chat.v2"] } = {}) {
  const connections = new Connections();
  const refusals = [];
  const wss = new WebSocketServer({ noServer: true, handleProtocols: handleProtocols(own), ...sockets });
  const http = createServer();
  http.on("upgrade", async (request, socket, head) => {
    const peer = await upgrade(wss, request, socket, head, {
      origins: ["https://example.com"],
      withoutOrigin: "accept",
      connections,
      onRefused: (error) => refusals.push(error),
      ...options,
    });
    if (peer) await serve(peer, request);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const url = `ws://127.0.0.1:${http.address().port}/`;
  const stop = async () => {
    await connections.shutdown({ drain: 1 });
    http.close();
  };
  return { url, connections, refusals, stop };
}

export async function echo(peer) {
  void back(peer);
  for await (const channel of peer.channels) if (channel.name !== "stall") void back(channel);
}

async function back(from) {
  try {
    for await (const message of from) await from.send(message);
    await from.close();
  } catch (error) {
    // The other end is gone.
    if (error.code !== "closed") throw error;
  }
}

/** A client of `ws` with nothing above it, open, in tidegate mode unless it offers something else. */
export async function raw(url, protocols = ["tidegate.v1"], options = {}) {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
  const closed = once(socket, "close").then(([code]) => code);
  socket.on("error", () => {});
  await once(socket, "open");
  return { socket, closed };
}

/** HELLO without settings. */
export const HELLO = Buffer.from([1, 3, 1, 1, 0]);

/** A varint of up to four bytes. */
export function varint(value) {
  if (value < 64) return [value];
  if (value < 16_384) return [0x40 | (value >> 8), value & 0xff];
  return [0x80 | (value >> 24), (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff];
}

/** A record; with `number` a sequenced one. */
export function record(type, body, number) {
  const seq16 = number === undefined ? [] : [number >> 8, number & 0xff];
  return Buffer.concat([Buffer.from([type, ...varint(body.length), ...seq16]), Buffer.from(body)]);
}

/** OPEN of a channel of items by this client, the class normal. */
export function open(number, channel, name = "") {
  return record(0x41, [...varint(channel), 0, 2, name.length, ...Buffer.from(name), 0], number);
}

/** DATA of which the flags are given. */
export function data(number, channel, flags, payload, total = []) {
  return record(0x45, Buffer.concat([Buffer.from([...varint(channel), flags, ...total]), payload]), number);
}

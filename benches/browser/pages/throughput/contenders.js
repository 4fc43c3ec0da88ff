/**
 * Who is compared: a name, and how it connects. Each gives `measure` and `close`; what it does between the two is in
 * `cells.js`, in the form that its API has, or in Rust.
 */

import { connect } from "tidegate";
import { connect as connectChannels } from "tidegate/channels";
import { connectCrate } from "../crates.js";
import { Events, Iterated } from "./cells.js";
import { RawSocket } from "./raw.js";

/** @typedef {{ measure(what: string, bytes: number, messages: number): Promise<number>, close(): unknown }} Contender */

/** Opens an object with the events of a WebSocket. */
async function events(socket) {
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error(`no connection to ${socket.url}`)), { once: true });
  });
  return new Events(socket);
}

/** A crate, whose loops run in its own wasm. */
async function crate(name, url) {
  const contender = await connectCrate(name, url);
  return { measure: (...cell) => contender.measure(...cell), close: () => contender.free() };
}

/** @type {Record<string, (url: string) => Promise<Contender>>} */
export const CONTENDERS = {
  raw: (url) => events(new WebSocket(url)),
  "raw, iterator": async (url) => {
    const socket = await RawSocket.connect(url);
    return new Iterated({ send: (data) => socket.send(data), next: () => socket.next(), close: () => socket.close() });
  },
  "gloo-net": (url) => crate("gloo-net", url),
  ws_stream_wasm: (url) => crate("ws_stream_wasm", url),
  partysocket: async (url) => {
    const { default: PartySocket } = await import("partysocket");
    // Not again, when the server has closed behind the last message.
    return events(new PartySocket(url, undefined, { maxRetries: 0 }));
  },
  tidegate: async (url) => {
    const unbounded = { maxSendBytes: 0, maxSendMessages: 0, maxReceiveBytes: 0, maxReceiveMessages: 0 };
    const socket = await connect(url, unbounded);
    const iterator = socket[Symbol.asyncIterator]();
    return new Iterated({ send: (data) => socket.trySend(data), next: () => iterator.next(), close: () => socket.close() });
  },
  "tidegate.v1": async (url) => {
    const socket = await connectChannels(url, { maxSendBytes: 0, maxSendMessages: 0 });
    const iterator = socket[Symbol.asyncIterator]();
    return new Iterated({ send: (data) => socket.trySend(data), next: () => iterator.next(), close: () => socket.close() });
  },
};

/**
 * Who is compared: a name, and how it connects. Each sends a piece of the upload by `bulk`, waiting for whatever its API
 * lets it wait for, and an urgent message by `urgent`, at once.
 */

import { connect } from "tidegate";
import { connect as connectChannels } from "tidegate/channels";
import { connectCrate } from "../crates.js";

/**
 * @typedef {{ bulk(piece: Uint8Array): unknown, urgent(message: Uint8Array): unknown, close(): unknown,
 *   budget?(): [number, number] }} Contender `budget` gives how many bytes may be under way, and how many the sender believes
 * to pass in a second
 */

/** The budget of the gate: what it lets lie in `bufferedAmount`. */
const GATE_BYTES = 65_536;

/** An object with the events of a WebSocket, as it is. */
async function plain(socket) {
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error(`no connection to ${socket.url}`)), { once: true });
  });
  const send = (data) => socket.send(data);
  return { socket, bulk: send, urgent: send, close: () => socket.close() };
}

/** What one writes by hand against a full `bufferedAmount`, which has no event. */
async function gate(url) {
  const { socket, ...contender } = await plain(new WebSocket(url));
  const bulk = async (piece) => {
    while (socket.bufferedAmount + piece.length > GATE_BYTES) {
      await new Promise((later) => setTimeout(later));
    }
    socket.send(piece);
  };
  return { ...contender, bulk };
}

async function crate(name, url) {
  const contender = await connectCrate(name, url);
  const send = (data) => contender.send(data);
  return { bulk: send, urgent: send, close: () => contender.free() };
}

/** @param {any} [bulk] options of a piece @param {any} [urgent] of an urgent message @param {any} [options] of the socket */
async function tidegate(url, bulk, urgent, options, by = connect) {
  const socket = await by(url, options);
  return {
    bulk: (piece) => socket.send(piece, bulk),
    urgent: (message) => socket.send(message, urgent),
    close: () => socket.close(),
    budget() {
      const { budgetBytes, bytesPerSecond } = socket.stats();
      return [budgetBytes, bytesPerSecond];
    },
  };
}

/** As {@link tidegate}, told by the server after each message what has arrived. */
async function acknowledged(url) {
  const socket = await connect(`${url}&acknowledge=1`);
  socket.acknowledged(0);
  void (async () => {
    for await (const received of socket) socket.acknowledged(Number(received));
  })();
  return {
    bulk: (piece) => socket.send(piece, { priority: "bulk" }),
    urgent: (message) => socket.send(message, { priority: "urgent" }),
    close: () => socket.close(),
  };
}

/** What of the link's rate a sender uses that knows it. */
const OF_THE_RATE = 0.95;

/**
 * Each gets an address, the bytes that its link takes in a second, and for how many milliseconds what is under way may queue,
 * where it can be told; by default as the library has it.
 * @type {Record<string, (url: string, rate: number, delay?: number) => Promise<Contender>>}
 */
export const CONTENDERS = {
  "raw WebSocket": (url) => plain(new WebSocket(url)),
  "gloo-net": (url) => crate("gloo-net", url),
  ws_stream_wasm: (url) => crate("ws_stream_wasm", url),
  partysocket: async (url) => {
    const { default: PartySocket } = await import("partysocket");
    return plain(new PartySocket(url, undefined, { maxRetries: 0 }));
  },
  "gate by hand": gate,
  tidegate: (url) => tidegate(url),
  "tidegate, priorities": (url) => tidegate(url, { priority: "bulk" }, { priority: "urgent" }),
  "tidegate, 0.95 of the rate": (url, rate) =>
    tidegate(url, { priority: "bulk" }, { priority: "urgent" }, { maxBytesPerSecond: OF_THE_RATE * rate }),
  "tidegate, acknowledged": acknowledged,
  "tidegate.v1": (url, _rate, delay) =>
    tidegate(url, { priority: "bulk" }, { priority: "urgent" }, { delay }, connectChannels),
};

/** @param {any} socket of tidegate @param {(data: ArrayBuffer) => void} take */
function received(socket, take) {
  void (async () => {
    for await (const message of socket) take(message);
  })();
  return { close: () => socket.close() };
}

/**
 * Who receives: a name, and how it connects. `priorities` says whether the server sends as the library behind it would, with
 * priorities. @type {Record<string, { priorities: boolean, open(url: string, take: (data: ArrayBuffer) => void): Promise<{ close(): unknown }> }>}
 */
export const RECEIVERS = {
  "raw WebSocket": {
    priorities: false,
    async open(url, take) {
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => take(data);
      const { close } = await plain(socket);
      return { close };
    },
  },
  "tidegate, priorities": { priorities: true, open: async (url, take) => received(await connect(url), take) },
  "tidegate.v1": { priorities: true, open: async (url, take) => received(await connectChannels(url), take) },
};

/**
 * tidegate against a raw WebSocket behind the same shape of API: a loop that sends without waiting,
 * an async iterator that receives. Rounds are interleaved, so that both see the same machine.
 */

import { costs } from "./cost.js";
import { quartiles } from "./quartiles.js";
import { RawSocket } from "./raw.js";

/** Messages a cell sends or receives, by size in bytes: long enough to measure, short enough for 15 rounds. */
const CELLS = [
  { what: "send", bytes: 32, messages: 20_000 },
  { what: "send", bytes: 65_536, messages: 400 },
  { what: "receive", bytes: 32, messages: 20_000 },
  { what: "receive", bytes: 65_536, messages: 400 },
  { what: "echo", bytes: 32, messages: 4_000 },
  { what: "echo", bytes: 65_536, messages: 200 },
];
/** Echoes under way at once. */
const WINDOW = 16;

/** @typedef {{ trySend(data: any): unknown, next(): Promise<any>, close(): Promise<unknown> }} Subject */

/** Sends without waiting, until the server has counted it all. */
async function send(socket, { bytes, messages }) {
  const data = new Uint8Array(bytes);
  const started = performance.now();
  for (let i = 0; i < messages; i++) socket.trySend(data);
  socket.trySend("report");
  const report = JSON.parse((await socket.next()).value);
  const ms = performance.now() - started;
  if (report.messages !== messages) throw new Error(`the server saw ${report.messages} of ${messages} messages`);
  return ms;
}

/** Takes a flood, from the first message to the last. */
async function receive(socket, { bytes, messages }) {
  await socket.next();
  const started = performance.now();
  for (let i = 1; i < messages; i++) {
    const { value } = await socket.next();
    if (value.byteLength !== bytes) throw new Error(`message ${i} has ${value.byteLength} bytes`);
  }
  return performance.now() - started;
}

/** Echoes with a fixed number under way. */
async function echo(socket, { bytes, messages }) {
  const data = new Uint8Array(bytes);
  const started = performance.now();
  for (let i = 0; i < WINDOW; i++) socket.trySend(data);
  for (let i = WINDOW; i < messages + WINDOW; i++) {
    await socket.next();
    if (i < messages) socket.trySend(data);
  }
  return performance.now() - started;
}

const CELL = { send, receive, echo };
const ROUTE = { send: () => "/sink", receive: ({ bytes, messages }) => `/flood?bytes=${bytes}&messages=${messages}`, echo: () => "/echo" };

/**
 * @param {typeof import("tidegate").connect} connect
 * @param {{ base: string, rounds: number, progress: (text: string) => void }} options
 */
export async function bench(connect, { base, rounds, progress }) {
  const unbounded = { maxSendBytes: 0, maxSendMessages: 0, maxReceiveBytes: 0, maxReceiveMessages: 0 };
  const subjects = {
    /** @param {string} url @returns {Promise<Subject>} */
    async tidegate(url) {
      const socket = await connect(url, unbounded);
      const iterator = socket[Symbol.asyncIterator]();
      return { trySend: (data) => socket.trySend(data), next: () => iterator.next(), close: () => socket.close() };
    },
    raw: (url) => RawSocket.connect(url),
  };
  const names = Object.keys(subjects);
  const times = CELLS.map(() => ({ tidegate: [], raw: [] }));
  // One round more, the first of which only warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [index, cell] of CELLS.entries()) {
      progress(`round ${round} of ${rounds}, ${cell.what} ${cell.bytes}`);
      // Who goes first changes from round to round.
      for (const name of round % 2 ? names : [...names].reverse()) {
        const url = new URL(ROUTE[cell.what](cell), base).href.replace(/^http/, "ws");
        const socket = await subjects[name](url);
        const ms = await CELL[cell.what](socket, cell);
        await socket.close();
        if (round) times[index][name].push(ms);
      }
    }
  }
  const cells = CELLS.map(({ what, bytes, messages }, index) => {
    const rate = (name) => {
      const perSecond = quartiles(times[index][name].map((ms) => (messages / ms) * 1000));
      const megabytes = quartiles(times[index][name].map((ms) => (messages * bytes) / ms / 1000));
      return { messagesPerSecond: perSecond, megabytesPerSecond: megabytes };
    };
    const ratio = quartiles(times[index].tidegate.map((ms, round) => times[index].raw[round] / ms));
    return { what, bytes, messages, tidegate: rate("tidegate"), raw: rate("raw"), ratio };
  });
  progress("cost per message");
  return { rounds, cells, cost: await costs(connect, rounds) };
}

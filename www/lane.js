// @ts-check
/** The three lanes: how each sends over the slow link, and what is noted of it. */

import { connect } from "tidegate";
import { connect as connectChannels } from "tidegate/channels";

/** Size of one message of the upload. */
export const PIECE_BYTES = 16_384;

/**
 * How a lane sends, once it is open.
 *
 * @typedef {object} Way
 * @property {(piece: Uint8Array) => unknown} bulk sends a piece of the upload; to be awaited before the next
 * @property {(text: string, latest?: string) => unknown} urgent sends a small message, of which only the newest
 *   counts if it has a key
 * @property {() => number} bufferedAmount bytes that the browser has and nothing can overtake
 * @property {() => number[]} queued bytes that wait in a queue of the lane's own, the highest priority first, over
 *   `tidegate.v1` until the server has said that it has them; empty if it has no queue
 * @property {() => unknown} close ends it, whatever is still under way
 *
 * @typedef {object} Settings
 * @property {import("tidegate").Priority} priority of what is urgent
 * @property {number} budgetBytes of plain mode, as the next two
 * @property {number} maxBytesPerSecond 0 for none
 * @property {boolean} acknowledges whether tidegate is told what the server says that it has
 *
 * @typedef {(url: string, settings: Settings, hear: (text: string) => void, end: (why: string) => void) => Promise<Way>} Open
 */

/** The browser's own WebSocket, as it is. @type {Open} */
async function openRaw(url, _, hear, end) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = () => reject(new Error(`no connection to ${url}`));
  });
  socket.onmessage = ({ data }) => hear(data);
  socket.onclose = ({ code }) => end(`the connection ended with code ${code}`);
  return {
    bulk: (piece) => socket.send(/** @type {any} */ (piece)),
    urgent: (text) => socket.send(text),
    bufferedAmount: () => socket.bufferedAmount,
    queued: () => [],
    close: () => socket.close(),
  };
}

/** tidegate with a server that knows nothing of it. @type {Open} */
async function openPlain(url, settings, hear, end) {
  const { priority, budgetBytes, maxBytesPerSecond, acknowledges } = settings;
  const socket = await connect(url, { budgetBytes, maxBytesPerSecond });
  if (acknowledges) socket.acknowledged(0);
  const told = (/** @type {string} */ text) => {
    if (acknowledges) socket.acknowledged(JSON.parse(text).received);
    hear(text);
  };
  return wayOf(socket, priority, told, end);
}

/** tidegate with a server that speaks `tidegate.v1`, which acknowledges by itself. @type {Open} */
async function openTidegate(url, { priority }, hear, end) {
  return wayOf(await connectChannels(url), priority, hear, end);
}

/**
 * Both modes: the upload is bulk, what is urgent has the priority that was chosen.
 *
 * @param {import("tidegate").Socket} socket
 * @param {import("tidegate").Priority} priority
 * @param {(text: string) => void} hear
 * @param {(why: string) => void} end
 * @returns {Way}
 */
function wayOf(socket, priority, hear, end) {
  void (async () => {
    for await (const message of socket) hear(String(message));
    end(`the connection ended with code ${(await socket.closed).code}`);
  })();
  const queued = () => Object.values(socket.stats().classes).map(({ queued }) => queued.bytes);
  return {
    bulk: (piece) => socket.send(/** @type {any} */ (piece), { priority: "bulk" }),
    urgent: (text, latest) => socket.send(text, { priority, latest }),
    // Its own is what stands in both places.
    bufferedAmount: () => queued().reduce((rest, bytes) => rest - bytes, socket.bufferedAmount),
    queued,
    close: () => socket.close(1000, "", { flush: false }),
  };
}

/** @typedef {{ sent: number, latency: number | undefined }} Ping times in milliseconds since the race began */

/** One lane of a race, from its connection to its end. */
export class Lane {
  /** @type {Way | undefined} */
  #way;
  #open;
  #now;
  /** @type {(text: string) => void} */
  #typed;
  #over = false;

  /** Every ping, in the order of sending. @type {Ping[]} */
  pings = [];
  /** When the upload began and when the server had all of it. @type {number | undefined} */
  began;
  /** @type {number | undefined} */
  arrived;
  /** Bytes of the upload: all of it, and what the server had at the last answer. */
  bytes = 0;
  arrivedBytes = 0;
  /** Of what has arrived. */
  sha256 = "";
  largestBufferedAmount = 0;
  /** The most that waited in each class of the lane's own queue, as in {@link Way}. @type {number[]} */
  mostQueued = [];
  /** Why it ended before its time. @type {string | undefined} */
  failure;

  /** @param {string} name @param {Open} open @param {() => number} now @param {(text: string) => void} typed */
  constructor(name, open, now, typed) {
    this.name = name;
    this.#open = open;
    this.#now = now;
    this.#typed = typed;
  }

  /** @param {string} url @param {Settings} settings */
  async connect(url, settings) {
    const end = (/** @type {string} */ why) => {
      if (!this.#over) this.failure ??= why;
    };
    this.#way = await this.#open(url, settings, (text) => this.#hear(text), end);
  }

  /** Begins the upload, and gives the browser as much as the lane is made to. @param {Uint8Array} data */
  async upload(data) {
    this.bytes = data.length;
    this.began = this.#now();
    try {
      for (let at = 0; at < data.length && this.#way && !this.#over; at += PIECE_BYTES) {
        await this.#way.bulk(data.subarray(at, at + PIECE_BYTES));
        this.look();
      }
    } catch (error) {
      if (!this.#over) this.failure ??= String(error);
    }
  }

  ping() {
    this.#send(`ping ${this.pings.length}`);
    this.pings.push({ sent: this.#now(), latency: undefined });
    this.look();
  }

  /** Sends what was typed, whole; only the newest is worth it. @param {string} text */
  type(text) {
    this.#send(`typed ${text}`, "typed");
  }

  /** @param {string} text @param {string} [latest] */
  #send(text, latest) {
    // A refusal is the end of the connection, which says so itself.
    void Promise.resolve(this.#way?.urgent(text, latest)).catch(() => {});
  }

  /** @param {string} answer */
  #hear(answer) {
    const { text, bytes, sha256 } = JSON.parse(answer);
    this.arrivedBytes = bytes;
    this.sha256 = sha256;
    if (this.bytes && bytes >= this.bytes) this.arrived ??= this.#now();
    if (text === null) return;
    const [kind, rest] = [text.slice(0, text.indexOf(" ")), text.slice(text.indexOf(" ") + 1)];
    const ping = kind === "ping" ? this.pings[Number(rest)] : undefined;
    if (ping) ping.latency ??= this.#now() - ping.sent;
    else this.#typed(rest);
  }

  /** What stands in the browser now, and what in the lane's own queue, as in {@link Way}. */
  look() {
    const [amount, queued] = [this.#way?.bufferedAmount() ?? 0, this.#way?.queued() ?? []];
    this.largestBufferedAmount = Math.max(this.largestBufferedAmount, amount);
    this.mostQueued = queued.map((bytes, level) => Math.max(bytes, this.mostQueued[level] ?? 0));
    return { amount, queued };
  }

  /** How long the oldest ping without an answer has waited; 0 if there is none. */
  get waiting() {
    const oldest = this.pings.find(({ latency }) => latency === undefined);
    return oldest ? this.#now() - oldest.sent : 0;
  }

  /** Latencies of the pings sent while the upload was under way, as far as they are known. */
  get latencies() {
    return this.#during.flatMap(({ latency }) => latency ?? []);
  }

  /** How long those of them have waited that have no answer yet. */
  get ages() {
    return this.#during.filter(({ latency }) => latency === undefined).map(({ sent }) => this.#now() - sent);
  }

  get #during() {
    const [from, to] = [this.began ?? Infinity, this.arrived ?? Infinity];
    return this.pings.filter(({ sent }) => sent >= from && sent <= to);
  }

  /** Whether the server has all, and every ping its answer. */
  get done() {
    return this.arrived !== undefined && this.waiting === 0;
  }

  close() {
    this.#over = true;
    void this.#way?.close();
  }
}

/** @param {() => number} now @param {(lane: number, text: string) => void} typed */
export function lanes(now, typed) {
  return [
    new Lane("Raw WebSocket", openRaw, now, (text) => typed(0, text)),
    new Lane("tidegate, plain mode", openPlain, now, (text) => typed(1, text)),
    new Lane("tidegate over tidegate.v1", openTidegate, now, (text) => typed(2, text)),
  ];
}

/** The value below which a share of the sorted values lies, by nearest rank. @param {number[]} values @param {number} share */
export function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** What the library itself costs per message: over a socket in the page, which does nothing. */

import { connect } from "tidegate";
import { RawSocket } from "./raw.js";

/** Messages a measurement takes, in batches, each in a task of its own. */
const MESSAGES = 50_000;
const BATCH = 500;

/** A WebSocket without a network: opens at once, forgets what is sent, delivers what it is told to. */
class InPageSocket {
  static last;
  binaryType = "blob";
  protocol = "";
  extensions = "";
  readyState = 0;
  bufferedAmount = 0;
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();

  constructor(url) {
    this.url = url;
    InPageSocket.last = this;
    queueMicrotask(() => {
      this.readyState = 1;
      this.#dispatch({ type: "open" });
    });
  }
  addEventListener(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
  }
  removeEventListener(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }
  send() {}
  close() {
    this.readyState = 3;
    queueMicrotask(() => this.#dispatch({ type: "close", code: 1000, reason: "", wasClean: true }));
  }
  deliver(data) {
    this.#dispatch({ type: "message", data });
  }
  #dispatch(event) {
    this[`on${event.type}`]?.(event);
    for (const listener of this.#listeners.get(event.type) ?? []) listener.handleEvent?.(event) ?? listener.call?.(this, event);
  }
}

/** A task of its own, without the 4 ms of a nested timer. */
function task() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve(undefined));
    port2.postMessage(0);
  });
}

/** Microseconds a message of `step(i)`, called `MESSAGES` times in batches; `after` ends each batch. */
async function measure(step, after = () => {}) {
  let ms = 0;
  for (let done = 0; done < MESSAGES; done += BATCH) {
    await task();
    const started = performance.now();
    for (let i = 0; i < BATCH; i++) step();
    await after();
    ms += performance.now() - started;
  }
  return (ms * 1000) / MESSAGES;
}

/** One socket of each, kept from round to round. */
const sockets = {
  async tidegate(url) {
    const socket = await connect(url, { WebSocket: InPageSocket, maxReceiveMessages: 0 });
    const iterator = socket[Symbol.asyncIterator]();
    return { below: InPageSocket.last, send: (data) => socket.trySend(data), next: () => iterator.next() };
  },
  async raw(url) {
    const raw = await RawSocket.connect(url, InPageSocket);
    return { below: raw.raw, send: (data) => raw.send(data), next: () => raw.next() };
  },
};
const opened = {};

/**
 * Microseconds per message of 32 bytes: tidegate, or the hand-written shape over the same socket.
 *
 * @param {"tidegate" | "raw"} name
 * @returns {Promise<{ send: number, receive: number }>}
 */
export async function cost(name) {
  const { below, send, next } = (opened[name] ??= await sockets[name]("ws://in-page.test/"));
  const data = new ArrayBuffer(32);
  return {
    send: await measure(() => send(data)),
    receive: await measure(
      () => below.deliver(data),
      async () => {
        for (let i = 0; i < BATCH; i++) await next();
      },
    ),
  };
}

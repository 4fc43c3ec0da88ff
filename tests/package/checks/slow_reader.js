/**
 * Checks of B17: a reader that is slower than its peer costs no more than the queue, in the wasm's memory, where
 * no message ever is, and in the JavaScript heap.
 */

const MEBIBYTE = 1 << 20;

/** The size of each message. */
const BYTES = MEBIBYTE / 16;

/** What the queue may hold. */
const BOUND = 8 * MEBIBYTE;

/** The reader takes one message for so many that arrive. */
const ARRIVALS = 8;

/** Lets everything else run once. */
const turn = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(0);
  });

/** A class of sockets that notes every message that arrives, without holding it. */
function watched(t, WebSocket) {
  const alive = new Set();
  const registry = new FinalizationRegistry((number) => alive.delete(number));
  return class Watched extends WebSocket {
    static seen = 0;
    /**
     * Called as each message comes, before it is in the queue: how fast that goes, and how often anything else has its turn
     * between, is the browser's choice. Where it is busy it may give hundreds in one go.
     */
    static onArrival = () => {};

    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        alive.add(++Watched.seen);
        registry.register(data, Watched.seen);
        Watched.onArrival();
      });
    }

    /**
     * How many bytes of those that have arrived by now somebody holds, once garbage was collected until they are
     * no more than `atMost`, or often.
     */
    static async held(atMost) {
      const { seen } = Watched;
      let held;
      for (let round = 0; round < 200; round++) {
        // In a worker, Firefox collects only if there is enough garbage, and WebKit knows no other way.
        const isAsked = globalThis.TestUtils || globalThis.gc;
        if (!isAsked || (globalThis.TestUtils && !globalThis.document)) {
          Array.from({ length: 4 }, () => new ArrayBuffer(32 * MEBIBYTE));
        }
        if (isAsked) await (globalThis.TestUtils ? TestUtils.gc() : gc());
        // What was found to be garbage is told in a later task.
        await turn();
        t.alive();
        held = [...alive].filter((number) => number <= seen).length * BYTES;
        if (held <= atMost) break;
      }
      return held;
    }
  };
}

/** Reads slowly what the server sends as fast as it can, 1 GiB or a tenth of it. */
async function readSlowly(t, receivePolicy, binaryType) {
  // What ends early need not be less; Firefox may have taken in a tenth of it, with the server's close, before
  // it gives the first hundred.
  const whole = t.environment.full || receivePolicy === "close";
  const messages = Math.floor((1024 * MEBIBYTE) / BYTES / (whole ? 1 : 10));
  const memory = await t.environment.memory();
  const before = memory.buffer.byteLength;
  const WebSocket = watched(t, t.WebSocket);
  const socket = await t.connect(`/flood?messages=${messages}&bytes=${BYTES}`, {
    WebSocket,
    binaryType,
    receivePolicy,
    maxReceiveBytes: BOUND,
  });
  /** Whether no more is held than that, and one message: Chromium may hold the last that it gave. */
  const bounded = async (bytes, when) => {
    const held = await WebSocket.held(bytes + BYTES);
    t.ok(held <= bytes + BYTES, `${held} bytes of messages are held, ${when}`);
  };
  let closed;
  void socket.closed.then((end) => (closed = end));

  let taken = 0;
  WebSocket.onArrival = () => {
    if (WebSocket.seen >= ARRIVALS * (taken + 1) && socket.tryRecv() !== undefined) taken++;
    t.alive();
  };
  let lookAt = messages / 5;
  while (!closed) {
    const { seen } = WebSocket;
    if (seen >= lookAt) {
      lookAt += messages / 5;
      await bounded(BOUND, `after ${seen}`);
    }
    await turn();
  }
  await bounded(BOUND, "at the end");

  let left = 0;
  while (socket.tryRecv() !== undefined) left++;
  t.ok(left <= BOUND / BYTES, `${left} messages were left`);
  const { dropped } = closed;
  if (receivePolicy === "close") {
    t.equal([closed.code, closed.cause, dropped.messages], [4009, "receiveOverflow", 0]);
    // What `ws` still gives after the close is not delivered.
    const received = taken + left;
    t.ok(received >= BOUND / BYTES && received < messages / 4, `closed after ${received} messages`);
  } else {
    t.equal([closed.code, closed.cause, WebSocket.seen], [1000, "peer", messages]);
    t.equal([taken + left + dropped.messages, dropped.bytes], [messages, dropped.messages * BYTES]);
    t.ok(taken > 0 && dropped.messages > messages / 2, `the reader was slow: it took ${taken}`);
  }
  await bounded(0, "though all were dropped or taken");
  // Only the places of what waits are in there, which may begin a page of it.
  const grown = memory.buffer.byteLength - before;
  t.ok(grown <= MEBIBYTE / 16, `the wasm's memory has grown by ${grown} bytes`);
}

/** @type {Record<string, import("./harness.js").Check>} */
export const slowReader = {
  async b17_a_slow_reader_costs_no_more_than_the_queue_when_the_oldest_are_dropped(t) {
    for (const binaryType of ["arraybuffer", "blob"]) await readSlowly(t, "dropOldest", binaryType);
  },

  async b17_a_slow_reader_costs_no_more_than_the_queue_when_the_newest_are_dropped(t) {
    for (const binaryType of ["arraybuffer", "blob"]) await readSlowly(t, "dropNewest", binaryType);
  },

  async b17_a_slow_reader_is_disconnected_long_before_the_end_by_default(t) {
    for (const binaryType of ["arraybuffer", "blob"]) await readSlowly(t, "close", binaryType);
  },
};

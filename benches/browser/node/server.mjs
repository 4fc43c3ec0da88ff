/**
 * What `cargo xtask bench hol` measures `tidegate.v1` against beside xtask's own server: `tidegate/server` over `ws`, in Node.
 * Listens on a free port of 127.0.0.1, prints it, and runs until it is ended.
 *
 * | Route | What it does |
 * |---|---|
 * | `/arrivals?run=NAME` | Takes everything and notes when it arrives. A binary message of 32 B is urgent, its first four bytes its number; all else is bulk. |
 * | `/watch?run=NAME` | Tells of it: `now` is answered by the milliseconds of the clock, `wait BYTES URGENT` by what has arrived once it is so much. |
 * | `/stream?messages=M&bytes=N` | Five urgent messages, then `M` of `N` bytes with an urgent one every 100 ms. With `priorities=1` as what they are; with `delay=MS` so long may what is under way queue. |
 *
 * The same as xtask's own routes, whose page (`xtask/src/server/mod.rs`) says what is in each message: `xtask/src/bench/node.rs`
 * compares the two.
 *
 * Not here: anything that a server for others would need.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { handleProtocols, upgrade } from "tidegate/server";
import { WebSocketServer } from "ws";

const URGENT_BYTES = 32;
/** How often `/stream` sends an urgent message, and before everything else, in milliseconds, and how many before it. */
const URGENT_EVERY = 100;
const IDLE_EVERY = 50;
const IDLE_MESSAGES = 5;

/** What has arrived under one name. */
class Run {
  #bulk = { messages: 0, bytes: 0, at: 0 };
  /** Number and time of each, in the order of arrival. */
  #urgent = [];
  #waiting = new Set();

  note(message) {
    const at = performance.now();
    if (message.byteLength === URGENT_BYTES) this.#urgent.push([new DataView(message).getUint32(0, true), at]);
    else {
      this.#bulk.messages++;
      this.#bulk.bytes += message.byteLength ?? Buffer.byteLength(message);
      this.#bulk.at = at;
    }
    for (const look of this.#waiting) look();
  }

  /** Once so many bytes of bulk and so many urgent messages have arrived, all that has. */
  enough(bytes, urgent) {
    return new Promise((resolve) => {
      const look = () => {
        if (this.#bulk.bytes < bytes || this.#urgent.length < urgent) return;
        this.#waiting.delete(look);
        resolve({ bulk: this.#bulk, urgent: this.#urgent });
      };
      this.#waiting.add(look);
      look();
    });
  }
}

const runs = new Map();

/** The run that is asked for, which begins with whoever asks first. */
function runOf(query) {
  const name = query.get("run");
  if (!runs.has(name)) runs.set(name, new Run());
  return runs.get(name);
}

async function arrivals(peer, query) {
  const run = runOf(query);
  for await (const message of peer) run.note(message);
}

/** With the connection the run is forgotten. */
async function watch(peer, query) {
  const run = runOf(query);
  try {
    for await (const question of peer) {
      const [word, bytes, urgent] = question.split(" ");
      if (word === "now") await peer.send(`${performance.now()}`);
      else if (word === "wait") {
        const seen = await Promise.race([run.enough(Number(bytes), Number(urgent)), peer.closed.then(() => undefined)]);
        if (!seen) return;
        await peer.send(JSON.stringify(seen));
      } else await peer.send("what is that?");
    }
  } finally {
    runs.delete(query.get("run"));
  }
}

async function stream(peer, query) {
  const [bulk, urgent] = query.get("priorities") === "1" ? [{ priority: "bulk" }, { priority: "urgent" }] : [];
  let number = 0;
  const sendUrgent = () => {
    const message = new DataView(new ArrayBuffer(URGENT_BYTES));
    const { budgetBytes, bytesPerSecond } = peer.stats();
    message.setUint32(0, number++, true);
    message.setFloat64(16, budgetBytes, true);
    message.setFloat64(24, bytesPerSecond, true);
    message.setFloat64(8, performance.now(), true);
    return peer.send(message, urgent);
  };
  // Until it is over, also if it waits for room for what nobody takes any more.
  let timer;
  const every = (milliseconds, step) => (timer = setInterval(() => void step().catch(() => clearInterval(timer)), milliseconds));
  const over = peer.closed.then(() => clearInterval(timer));
  try {
    await new Promise((resolve) => {
      void over.then(resolve);
      let left = IDLE_MESSAGES;
      const next = async () => (left-- ? await sendUrgent() : resolve());
      every(IDLE_EVERY, next);
      void next();
    });
    clearInterval(timer);
    await sendUrgent();
    every(URGENT_EVERY, sendUrgent);
    const piece = new Uint8Array(Number(query.get("bytes")));
    for (let left = Number(query.get("messages")); left > 0; left--) await peer.send(piece, bulk);
    await over;
  } finally {
    clearInterval(timer);
  }
}

const ROUTES = { "/arrivals": arrivals, "/watch": watch, "/stream": stream };
const sockets = new WebSocketServer({ noServer: true, handleProtocols: handleProtocols() });
const server = createServer();
server.on("upgrade", async (request, socket, head) => {
  const { pathname, searchParams } = new URL(request.url, "ws://127.0.0.1/");
  const route = ROUTES[pathname];
  if (!route) return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  const delay = searchParams.has("delay") ? Number(searchParams.get("delay")) : undefined;
  try {
    const peer = await upgrade(sockets, request, socket, head, { origins: "any", withoutOrigin: "accept", delay });
    if (peer) await route(peer, searchParams);
  } catch (error) {
    // A page may be left in the middle of all this.
    if (error.code !== "closed") throw error;
  }
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(server.address().port);

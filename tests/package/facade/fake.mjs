/**
 * Stand-ins for the unit tests of the facade: a socket that the test drives, and a small core that
 * keeps to the interface of the wasm. Whatever the two of them say about real sockets is said by the
 * browser tests.
 */

/** A WebSocket without a network. `sockets` has every one made, in order. */
export class FakeSocket extends EventTarget {
  static sockets = [];
  binaryType = "blob";
  protocol = "";
  extensions = "";
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  closeCalls = [];
  #listeners = new Set();
  /** While true, the core keeps what it is given in its queue. */
  gated = false;

  constructor(url, protocols) {
    super();
    this.url = url;
    this.protocols = protocols;
    FakeSocket.sockets.push(this);
  }
  addEventListener(type, listener) {
    this.#listeners.add(listener);
    super.addEventListener(type, listener);
  }
  removeEventListener(type, listener) {
    this.#listeners.delete(listener);
    super.removeEventListener(type, listener);
  }
  /** How many different listeners there are. */
  get listeners() {
    return this.#listeners.size;
  }
  send(data) {
    this.sent.push(data);
  }
  close(code, reason) {
    this.closeCalls.push([code, reason]);
    this.readyState = 2;
  }
  accept(protocol = "") {
    this.protocol = protocol;
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }
  deliver(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  finish(code, reason = "", wasClean = true) {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason, wasClean }));
  }
}

const TYPES = ["open", "message", "error", "close"];

/** The options beside the deadline, in their order. */
const BOUNDS = ["guaranteedShare", "budgetBytes", "maxBytesPerSecond"];

/** The interface of the wasm, over a {@link FakeSocket}. `cores` has every one made, in order. */
export class FakeCore {
  static cores = [];
  queue = [];
  freed = false;
  stopped = false;
  cause = 0;
  next = 1;

  constructor(socket, early, sink, options) {
    const [connectMs, ...bounds] = options;
    Object.assign(this, { socket, early: early.map((event) => event.type), sink, connectMs });
    this.bounds = Object.fromEntries(BOUNDS.map((name, index) => [name, bounds[index]]));
    this.listener = (event) => this.handle(event);
    for (const type of TYPES) socket.addEventListener(type, this.listener);
    FakeCore.cores.push(this);
    for (const event of early) this.handle(event);
  }
  handle(event) {
    if (event.type === "open") this.sink.opened();
    if (event.type === "close") this.finish(event.code, event.reason, event.wasClean, this.cause);
    if (event.type === "message") {
      const { data } = event;
      this.overflow = this.sink.received(data, data.length ?? data.byteLength ?? 0);
    }
  }
  finish(code, reason, wasClean, cause) {
    for (const type of TYPES) this.socket.removeEventListener(type, this.listener);
    const unsent = this.queue.splice(0);
    for (const { number } of unsent) this.sink.outcome(number, 2);
    const bytes = unsent.reduce((sum, message) => sum + message.bytes, 0);
    this.sink.closed(code, reason, wasClean, cause, unsent.length, bytes, 0, 0);
  }
  send({ data, kind, bytes, owned }, priority, flow, deadlineMs, replaces) {
    this.way = { priority, flow, deadlineMs, replaces };
    const old = this.queue.find((message) => message.number === replaces);
    if (this.stopped || this.socket.readyState > 1) return -2;
    if (!this.socket.gated) {
      this.last = { data, kind, bytes, owned };
      this.socket.send(data);
      return 0;
    }
    const kept = kind === 1 && !owned ? new Uint8Array(new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, bytes)) : data;
    const number = this.next++;
    if (old) {
      Object.assign(old, { number, data: kept, bytes });
      this.sink.outcome(replaces, 6);
    } else {
      this.queue.push({ number, flow, data: kept, bytes });
    }
    return number;
  }
  /** Lets `count` queued messages out. */
  drain(count = this.queue.length) {
    for (const { number, data } of this.queue.splice(0, count)) {
      this.socket.send(data);
      this.sink.outcome(number, 0);
    }
  }
  acknowledged(bytes) {
    this.peerHas = bytes;
  }
  cancel(number) {
    const index = this.queue.findIndex((message) => message.number === number);
    if (index < 0) return;
    this.queue.splice(index, 1);
    this.sink.outcome(number, 1);
  }
  close(code, reason, withinMs, flush) {
    if (this.stopped) return;
    this.stopped = true;
    this.cause = 3;
    this.closeArgs = { code, reason, withinMs, flush };
    if (flush) this.drain();
    this.socket.close(code || undefined, reason);
  }
  end(withinMs) {
    this.stopped = true;
    this.endArgs = { withinMs };
  }
  abort() {
    this.socket.close();
    this.finish(1006, "", false, 1);
  }
  stat(index) {
    return [7, 65_536, 1000][index];
  }
  free() {
    this.freed = true;
  }
}

/** A promise to be settled from outside. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}

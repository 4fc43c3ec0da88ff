/**
 * A client and a server of tidegate mode over sockets that have no network below them: each tells of a message from inside of
 * the other's `send`.
 */

import { connect } from "tidegate/channels";
import { accept } from "tidegate/server";

/** The client's end, in the shape of a browser's socket. */
export class Here extends EventTarget {
  /** The one that was made last. */
  static made;
  url = "ws://in.memory/";
  protocol = "";
  extensions = "";
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  peer = new There(this);

  constructor() {
    super();
    Here.made = this;
  }
  open() {
    [this.protocol, this.readyState] = ["tidegate.v1", 1];
    this.dispatchEvent(new Event("open"));
  }
  send(data) {
    this.peer.tell("message", { data: Buffer.from(data) });
  }
  hear(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: new Uint8Array(data).buffer }));
  }
  close(code = 1005, reason = "") {
    if (this.readyState > 1) return;
    this.readyState = 3;
    const closed = { code, reason, wasClean: true };
    this.peer.tell("close", closed);
    this.dispatchEvent(Object.assign(new Event("close"), closed));
  }
}

/** The server's end, in the shape of one of `ws`. */
class There {
  protocol = "tidegate.v1";
  extensions = "";
  readyState = 1;
  bufferedAmount = 0;
  binaryType = "nodebuffer";
  #here;
  #listeners = [];

  constructor(here) {
    this.#here = here;
  }
  addEventListener(type, listener) {
    this.#listeners.push([type, listener]);
  }
  removeEventListener(type, listener) {
    this.#listeners = this.#listeners.filter((known) => known[0] !== type || known[1] !== listener);
  }
  on() {}
  ping() {}
  pause() {}
  resume() {}
  tell(type, told) {
    if (type === "close") this.readyState = 3;
    for (const [name, listener] of this.#listeners) if (name === type) listener({ type, ...told });
  }
  send(data, done) {
    this.#here.hear(data);
    done();
  }
  close(code, reason) {
    this.#here.close(code, reason);
  }
  terminate() {
    this.#here.close(1006);
  }
}

/** A client, on a socket of this class, and a server with these options. */
export async function pair(WebSocket = Here, options = {}) {
  const connecting = connect("ws://in.memory/", { WebSocket });
  const accepting = accept(Here.made.peer, options);
  Here.made.open();
  return Promise.all([connecting, accepting]);
}

/** The content of a message. */
export const content = (seed, size) => Uint8Array.from({ length: size }, (_, i) => (i * seed + (i >> 8)) & 0xff);

/**
 * What is measured by the message, for the two forms that APIs in JavaScript have: events, and an async iterator. The
 * crates have the same in Rust (`contenders/src/cells.rs`).
 *
 * - `send`: without waiting for anybody, until the server has counted it all.
 * - `receive`: a flood, from the first message to the last.
 * - `echo`: always with so many under way.
 */

/** Echoes under way at once. */
const WINDOW = 16;

function check(condition, what) {
  if (!condition) throw new Error(what);
}

function checkReport(text, messages) {
  check(JSON.parse(text).messages === messages, `${messages} messages were sent, and the server says ${text}`);
}

/** By the events of a WebSocket, or of what has the same. */
export class Events {
  #socket;
  constructor(socket) {
    this.#socket = socket;
  }

  measure(what, bytes, messages) {
    return this[what](bytes, messages);
  }

  close() {
    this.#socket.close();
  }

  /** Calls `handle` with each message until it gives milliseconds; `begin` is called once listening. */
  #listen(handle, begin = () => {}) {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const onMessage = ({ data }) => {
        try {
          const took = handle(data);
          if (took !== undefined) end(resolve, took);
        } catch (error) {
          end(reject, error);
        }
      };
      const onClose = () => end(reject, new Error("the connection has ended"));
      const end = (settle, value) => {
        socket.removeEventListener("message", onMessage);
        socket.removeEventListener("close", onClose);
        settle(value);
      };
      socket.addEventListener("message", onMessage);
      socket.addEventListener("close", onClose);
      begin();
    });
  }

  async send(bytes, messages) {
    const socket = this.#socket;
    const data = new Uint8Array(bytes);
    let started;
    return this.#listen(
      (report) => {
        const took = performance.now() - started;
        checkReport(report, messages);
        return took;
      },
      () => {
        started = performance.now();
        for (let i = 0; i < messages; i++) socket.send(data);
        socket.send("report");
      },
    );
  }

  async receive(bytes, messages) {
    let started;
    let received = 0;
    return this.#listen((data) => {
      check(data.byteLength === bytes, `message ${received} has ${data.byteLength} bytes`);
      if (++received === 1) started = performance.now();
      if (received === messages) return performance.now() - started;
    });
  }

  async echo(bytes, messages) {
    const socket = this.#socket;
    const data = new Uint8Array(bytes);
    let started;
    let sent = Math.min(WINDOW, messages);
    let received = 0;
    return this.#listen(
      ({ byteLength }) => {
        check(byteLength === bytes, `message ${received} has ${byteLength} bytes`);
        if (++received === messages) return performance.now() - started;
        if (sent < messages) {
          socket.send(data);
          sent++;
        }
      },
      () => {
        started = performance.now();
        for (let i = 0; i < sent; i++) socket.send(data);
      },
    );
  }
}

/** By a `send` and the `next` of an async iterator. */
export class Iterated {
  #socket;
  /** @param {{ send(data: any): unknown, next(): Promise<{ value: any }>, close(): unknown }} socket */
  constructor(socket) {
    this.#socket = socket;
  }

  measure(what, bytes, messages) {
    return this[what](bytes, messages);
  }

  close() {
    return this.#socket.close();
  }

  async #take(bytes, number) {
    const { value } = await this.#socket.next();
    check(value.byteLength === bytes, `message ${number} has ${value.byteLength} bytes`);
  }

  async send(bytes, messages) {
    const socket = this.#socket;
    const data = new Uint8Array(bytes);
    const started = performance.now();
    for (let i = 0; i < messages; i++) socket.send(data);
    socket.send("report");
    const { value } = await socket.next();
    const took = performance.now() - started;
    checkReport(value, messages);
    return took;
  }

  async receive(bytes, messages) {
    await this.#take(bytes, 0);
    const started = performance.now();
    for (let i = 1; i < messages; i++) await this.#take(bytes, i);
    return performance.now() - started;
  }

  async echo(bytes, messages) {
    const socket = this.#socket;
    const data = new Uint8Array(bytes);
    const started = performance.now();
    for (let i = 0; i < Math.min(WINDOW, messages); i++) socket.send(data);
    for (let i = 0; i < messages; i++) {
      await this.#take(bytes, i);
      if (i + WINDOW < messages) socket.send(data);
    }
    return performance.now() - started;
  }
}

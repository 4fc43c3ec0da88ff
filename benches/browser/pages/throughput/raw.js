/** A raw WebSocket behind the shape that tidegate has: what one would write by hand in twenty lines. */
export class RawSocket {
  #queue = [];
  #waiting;
  #ended = false;

  /** @param {string} url @param {any} [WebSocket] @returns {Promise<RawSocket>} resolves when open */
  static connect(url, WebSocket = globalThis.WebSocket) {
    return new Promise((resolve, reject) => {
      const socket = new RawSocket(new WebSocket(url));
      socket.raw.onopen = () => resolve(socket);
      socket.raw.onerror = () => reject(new Error(`no connection to ${url}`));
    });
  }

  constructor(raw) {
    this.raw = raw;
    raw.binaryType = "arraybuffer";
    raw.onmessage = ({ data }) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting) waiting({ done: false, value: data });
      else this.#queue.push(data);
    };
    raw.onclose = () => {
      this.#ended = true;
      this.#waiting?.({ done: true, value: undefined });
    };
  }

  send(data) {
    this.raw.send(data);
  }

  next() {
    if (this.#queue.length) return Promise.resolve({ done: false, value: this.#queue.shift() });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  close() {
    return new Promise((resolve) => {
      this.raw.addEventListener("close", resolve);
      this.raw.close();
    });
  }
}

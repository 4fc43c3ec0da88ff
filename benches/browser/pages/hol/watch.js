/** The server's account of what arrives, over a socket of its own that takes the short way. */

/** How many questions it takes to compare two clocks; the one with the shortest way counts. */
const QUESTIONS = 40;

export class Watch {
  #socket;
  #answers = [];
  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#answers.shift()?.resolve(data);
    socket.onclose = () => {
      for (const { reject } of this.#answers.splice(0)) reject(new Error("the server tells nothing any more"));
    };
  }

  /** @param {WebSocket} socket @returns {Promise<Watch>} resolves when open */
  static open(socket) {
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(new Watch(socket));
      socket.onerror = () => reject(new Error(`no connection to ${socket.url}`));
    });
  }

  #ask(question) {
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
      this.#socket.send(question);
    });
  }

  /** What has arrived, once it is so much. */
  async wait(bytes, urgent) {
    return JSON.parse(await this.#ask(`wait ${bytes} ${urgent}`));
  }

  /** How far the server's clock is ahead of `performance.now()`, by the question with the shortest round trip. */
  async compareClocks() {
    let best = { offset: 0, roundTrip: Infinity };
    for (let i = 0; i < QUESTIONS; i++) {
      const asked = performance.now();
      const now = Number(await this.#ask("now"));
      const answered = performance.now();
      const roundTrip = answered - asked;
      if (roundTrip < best.roundTrip) best = { offset: now - (asked + answered) / 2, roundTrip };
    }
    return best;
  }

  close() {
    this.#socket.close();
  }
}

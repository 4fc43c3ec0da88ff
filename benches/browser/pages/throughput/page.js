/**
 * What `cargo xtask bench browser` calls: one measurement at a time. The order, and what becomes of the figures,
 * are xtask's (`xtask/src/bench/browser.rs`), so that nobody looks at the page while it measures.
 */

import { CONTENDERS } from "./contenders.js";
import { cost } from "./cost.js";

globalThis.bench = {
  /** The names of all contenders; the first is what the others are compared with. */
  contenders: Object.keys(CONTENDERS),

  /**
   * @param {string} name of the contender
   * @param {"send" | "receive" | "echo"} what
   * @param {number} bytes of a message
   * @param {number} messages
   * @param {string} server where the WebSockets are, as `ws://127.0.0.1:1234`
   * @returns {Promise<number>} milliseconds
   */
  async measure(name, what, bytes, messages, server) {
    const path = { send: "/sink", receive: `/flood?messages=${messages}&bytes=${bytes}`, echo: "/echo" }[what];
    const contender = await CONTENDERS[name](server + path);
    const took = await contender.measure(what, bytes, messages);
    await contender.close();
    return took;
  },

  cost,
};

/**
 * The npm package in a page that came through a proxy, as its connections do. The proxy named by `?short=` cuts
 * connections that are idle for a second; where there is none, nothing is idle.
 */

import * as tidegate from "tidegate";
import { run } from "/checks/harness.js";

const parameters = new URLSearchParams(location.search);
const short = parameters.get("short");
const protocols = parameters.get("protocols").split(",");

/** What a message that is large for a proxy weighs. */
const LARGE = 16 << 20;

/** Bytes that no part of the way can mistake for others. @param {number} length */
function pattern(length) {
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** @type {Record<string, import("../package/checks/harness.js").Check>} */
const checks = {
  async b10_the_subprotocols_and_the_origin_of_the_page_pass_through(t) {
    const socket = await t.connect("/subprotocols", { protocols });
    t.equal(socket.protocol, protocols[0]);
    t.equal(JSON.parse(await socket.recv()), { offered: protocols, origin: location.origin });
  },

  async b09_what_the_server_says_at_once_arrives_in_order(t) {
    const socket = await t.connect("/burst");
    t.equal([await socket.recv(), await socket.recv(), await socket.recv()], ["one", new Uint8Array([1, 2, 3]).buffer, "three"]);
    const { code, reason, wasClean } = await socket.closed;
    t.equal([code, reason, wasClean], [4001, "done", true]);
  },

  async b25_many_small_messages_keep_their_order(t) {
    const socket = await t.connect("/subprotocol", { protocols });
    const count = 2_000;
    const sending = (async () => {
      for (let number = 0; number < count; number++) await socket.send(`${number} ${"\u{1f30a}".repeat(number % 50)}`);
    })();
    for (let number = 0; number < count; number++) {
      t.equal(await socket.recv(), `${number} ${"\u{1f30a}".repeat(number % 50)}`);
    }
    await sending;
  },

  async b29_large_messages_pass_whole_both_ways(t) {
    const socket = await t.connect("/subprotocol?digest=1", { protocols });
    for (const message of [pattern(LARGE), "tide \u{1f30a} ".repeat(LARGE >> 4)]) {
      const digest = await t.sha256(message);
      const { received, report } = await t.echo(socket, message);
      t.equal([report.sha256, await t.sha256(received)], [digest, digest]);
      t.equal(typeof received === "string", typeof message === "string", "its kind");
    }
  },

  async b29_compressed_messages_pass_if_both_ends_agree(t) {
    const socket = await t.connect("/subprotocol?deflate=1", { protocols });
    t.ok(socket.extensions.startsWith("permessage-deflate"), `compressed: ${socket.extensions}`);
    for (const message of ["", "tide ".repeat(200_000)]) {
      await socket.send(message);
      t.ok((await socket.recv()) === message, `${message.length} characters came back`);
    }
    t.equal((await t.connect("/echo")).extensions, "", "what a server agrees on that does not compress");
  },

  async b31_close_codes_and_reasons_pass_both_ways(t) {
    for (const code of [1000, 3000, 4999]) {
      const socket = await t.connect("/echo");
      const closed = await socket.close(code, "Gr\u{fc}\u{df}e");
      t.equal([closed.code, closed.wasClean, closed.cause], [code, true, "local"]);
    }
    for (const wanted of [1000, 1001, 1011, 3000, 4999]) {
      const { code, reason, wasClean } = await (await t.connect(`/close?code=${wanted}&reason=why`)).closed;
      t.equal([code, reason, wasClean], [wanted, "why", true]);
    }
  },

};

/** @type {Record<string, import("../package/checks/harness.js").Check>} */
const idle = {
  async b11_an_idle_connection_is_cut_and_pings_of_the_server_keep_it_open(t) {
    const pinged = await t.connect(`${short}/subprotocol?ping=300`, { protocols });
    // When the second has gone, the one that is pinged is older than twice the limit.
    for (let round = 0; round < 2; round++) {
      const { code, wasClean, cause } = await (await t.connect(`${short}/echo`)).closed;
      t.equal([code, wasClean, cause], [1006, false, "peer"]);
    }
    await pinged.send("still here");
    t.equal(await pinged.recv(), "still here");
  },
};

const environment = { tidegate, base: location.origin, full: false, host: "page" };
const result = await run({ ...checks, ...(short ? idle : {}) }, /** @type {any} */ (environment));
document.title = result.failed ? `${result.failed} failed` : `${result.passed} passed`;
document.body.appendChild(document.createElement("pre")).textContent = result.checks
  .map(({ name, status, message, ms }) => `${status} ${name} (${ms} ms) ${message}`)
  .join("\n");
Object.assign(globalThis, { result });

/** Checks of B31 to B36 and B39: how a connection ends. */

import { pattern } from "./messages.js";

/** @type {Record<string, import("./harness.js").Check>} */
export const closing = {
  async the_close_of_the_peer_is_told_with_code_and_reason(t) {
    const socket = await t.connect("/close?code=4001&reason=bye");
    const { code, reason, wasClean, cause, unsent } = await socket.closed;
    t.equal([code, reason, wasClean, cause, unsent], [4001, "bye", true, "peer", { messages: 0, bytes: 0 }]);
  },

  async b31_close_has_its_own_deadline(t) {
    const socket = await t.connect("/stall", { maxSendBytes: 0 });
    for (let i = 0; i < 16; i++) socket.trySend(new Uint8Array(1 << 20));
    const started = performance.now();
    const { cause, wasClean, unsent, unknown } = await socket.close(1000, "", { within: 500 });
    const took = performance.now() - started;
    t.equal([cause, wasClean], ["unconfirmed", false]);
    t.ok(took >= 490 && took < 5000, `closed after ${took} ms`);
    t.equal(unsent.messages + unknown.messages, 16, "messages accounted for");
    t.equal(unsent.bytes + unknown.bytes, 16 << 20, "bytes accounted for");
  },

  async b32_what_is_queued_is_flushed_at_close(t) {
    const socket = await t.connect("/echo");
    const tickets = [socket.trySend(new Blob([pattern(500_000)])), socket.trySend("behind")];
    const { unsent, cause } = await socket.close(4000, "flushed");
    t.equal([cause, unsent], ["local", { messages: 0, bytes: 0 }]);
    for (const ticket of tickets) t.equal(await ticket.outcome, "handedOver");
  },

  async b32_b39_what_is_queued_is_dropped_and_counted_by_option(t) {
    const socket = await t.connect("/echo");
    const tickets = [socket.trySend(new Blob([pattern(500_000)])), socket.trySend("behü")];
    const { unsent } = await socket.close(4000, "", { flush: false });
    t.equal(unsent, { messages: 2, bytes: 500_005 });
    for (const ticket of tickets) t.equal(await ticket.outcome, "unsent");
  },

  async b33_codes_that_may_not_be_sent_leave_the_socket_open(t) {
    const socket = await t.connect("/echo");
    for (const code of [0, 999, 1001, 1005, 1006, 1015, 2999, 5000, 3000.5]) await t.fails(socket.close(code), "closeCode");
    await socket.send("still open");
    t.equal(await socket.recv(), "still open");
    t.equal((await socket.close(3000)).code, 3000);
  },

  async b34_reasons_are_counted_in_bytes_and_need_no_code(t) {
    const socket = await t.connect("/echo");
    await t.fails(socket.close(1000, "€".repeat(42)), "closeReason");
    t.equal(socket.readyState, 1);
    const { code, reason } = await socket.close(undefined, "€".repeat(41));
    t.equal(code, 1000);
    // What the server puts into its own close frame is up to it.
    t.ok(reason === "" || reason === "€".repeat(41), `reason ${reason}`);
  },

  async b36_every_closer_gets_the_same_result(t) {
    const socket = await t.connect("/echo");
    const results = await Promise.all([socket.close(4001, "first"), socket.close(4002, "second"), socket.closed]);
    results.push(await socket.close(4003));
    for (const result of results) t.ok(result === results[0], "the same object");
    t.equal([results[0].code, results[0].cause], [4001, "local"]);
  },

  async await_using_closes_the_connection(t) {
    const socket = await t.connect("/echo");
    if (Symbol.asyncDispose) await socket[Symbol.asyncDispose]();
    else await socket.close();
    t.equal((await socket.closed).cause, "local");
  },
};

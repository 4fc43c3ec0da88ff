/** Checks of B13 to B15, B19, B28 to B30 and B41: what is sent and received. */

/** Bytes that differ from each other, so that a wrong offset shows. @param {number} length */
export function pattern(length) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff;
  return bytes;
}

/** A Blob has to be read before it goes out, so what is sent in the same task waits behind it. */
const ahead = () => new Blob(["ahead"]);

/** @type {Record<string, import("./harness.js").Check>} */
export const messages = {
  async b13_blobs_and_text_keep_their_order(t) {
    const socket = await t.connect("/echo", { binaryType: "blob" });
    for (let i = 0; i < 20; i++) {
      socket.trySend(pattern(1000 + i));
      socket.trySend(`text ${i}`);
    }
    for (let i = 0; i < 20; i++) {
      const blob = await socket.recv();
      t.equal(blob.size, 1000 + i);
      t.equal(await socket.recv(), `text ${i}`);
      t.equal(new Uint8Array(await blob.arrayBuffer()), pattern(1000 + i));
    }
  },

  async b24_nothing_is_in_front_of_an_urgent_message_but_what_is_not_acknowledged(t) {
    const socket = await t.connect("/echo");
    socket.acknowledged(0);
    for (let i = 0; i < 50; i++) t.ok(socket.trySend(pattern(16_000), { priority: "bulk" }), "queued");
    t.ok(socket.trySend("urgent", { priority: "urgent" }), "queued");
    let acknowledged = 0;
    let before = -1;
    for (let received = 0; received <= 50; received++) {
      const message = await socket.recv();
      if (message === "urgent") before = received;
      acknowledged += message === "urgent" ? 6 : message.byteLength;
      socket.acknowledged(acknowledged);
    }
    t.equal(acknowledged, 50 * 16_000 + 6);
    t.ok(before === 0 || before === 1, `${before} messages came before it`);
    t.ok(socket.stats().bytesPerSecond > 0, "the rate is known");
  },

  async b14_a_blob_stays_a_blob_and_does_not_enter_the_wasm(t) {
    const socket = await t.connect("/echo", { binaryType: "blob" });
    const memory = await t.environment.memory();
    const before = memory.buffer.byteLength;
    await socket.send(pattern(8 << 20));
    const blob = await socket.recv();
    t.ok(blob instanceof Blob, "received as a Blob");
    t.equal(blob.size, 8 << 20);
    t.equal(memory.buffer.byteLength, before, "the wasm's memory");
  },

  async b15_end_stops_sending_and_goes_on_receiving(t) {
    const socket = await t.connect("/feed");
    const ending = socket.end({ within: 20_000 });
    await t.fails(socket.send("no more"), "closed");
    const rows = [];
    for await (const row of socket) rows.push(row);
    const { code, reason } = await ending;
    t.ok(rows.length >= 10_000, `${rows.length} rows`);
    t.equal([code, reason], [1000, await t.sha256(rows.join("\n"))]);
  },

  async b15_end_closes_with_1000_when_its_deadline_has_passed(t) {
    const socket = await t.connect("/echo");
    const { code, cause } = await socket.end({ within: 200 });
    t.equal([code, cause], [1000, "local"]);
  },

  async b19_send_after_close_fails_and_gives_the_message_back(t) {
    const socket = await t.connect("/echo");
    const closing = socket.close(1000);
    t.equal((await t.fails(socket.send("a"), "closed")).data, "a");
    await closing;
    t.equal((await t.fails(() => socket.trySend("b"), "closed")).data, "b");
    t.equal(socket.readyState, 3);
  },

  async b28_a_full_queue_makes_send_wait_and_try_send_say_so(t) {
    const socket = await t.connect("/echo", { maxSendMessages: 1 });
    t.ok(socket.trySend(ahead()) !== undefined, "an empty queue takes a message");
    t.equal(socket.trySend("full"), undefined);
    const waiting = [socket.send("second"), socket.send("third")];
    await Promise.all(waiting);
    await socket.recv();
    t.equal([await socket.recv(), await socket.recv()], ["second", "third"]);
  },

  async b28_ten_thousand_senders_each_get_their_turn(t) {
    const socket = await t.connect("/echo", { maxSendMessages: 10 });
    socket.trySend(ahead());
    const priorities = ["urgent", "normal", "bulk", "background"];
    const sends = Array.from({ length: 10_000 }, (_, i) => socket.send(String(i), { priority: priorities[i % 4] }));
    const next = [0, 1, 2, 3];
    for (let i = 0; i < 10_001; i++) {
      const data = await socket.recv();
      // What was ahead, in binary, may be overtaken.
      if (typeof data !== "string") continue;
      const number = Number(data);
      t.equal(number, next[number % 4], "the next of its priority");
      next[number % 4] += 4;
    }
    const outcomes = await Promise.all((await Promise.all(sends)).map((ticket) => ticket.outcome));
    t.ok(outcomes.every((outcome) => outcome === "handedOver"), "all were handed over");
  },

  async b27_a_send_from_inside_a_handler_a_signal_or_an_option_is_taken(t) {
    const socket = await t.connect("/echo");
    const controller = new AbortController();
    controller.signal.addEventListener("abort", () => socket.trySend("from a signal"));
    socket.bufferedAmountLowThreshold = 1;
    socket.onbufferedamountlow = () => {
      socket.onbufferedamountlow = null;
      socket.trySend("from a handler");
    };
    socket.trySend(ahead());
    const taken = socket.trySend("taken back", { signal: controller.signal });
    socket.trySend("outer", {
      get priority() {
        socket.trySend("from an option");
        return "normal";
      },
    });
    controller.abort();
    t.equal(await taken.outcome, "cancelled");
    const received = [];
    for (let i = 0; i < 5; i++) {
      const data = await socket.recv();
      received.push(typeof data === "string" ? data : "ahead");
    }
    // The handler comes when the amount has fallen, which is when all of them have gone.
    t.equal(received, ["ahead", "from an option", "outer", "from a signal", "from a handler"]);
  },

  async b26_a_key_of_a_megabyte_is_a_key_like_others(t) {
    const socket = await t.connect("/echo");
    const key = (letter) => "k".repeat(1 << 20) + letter;
    socket.trySend(ahead());
    const first = socket.trySend("first", { latest: key("a") });
    const other = socket.trySend("other", { latest: key("b"), flow: key("c") });
    const second = socket.trySend("second", { latest: key("a") });
    t.equal(await Promise.all([first, other, second].map((ticket) => ticket.outcome)), ["superseded", "handedOver", "handedOver"]);
    const received = new Set([await socket.recv(), await socket.recv(), await socket.recv()]);
    t.ok(received.has("other") && received.has("second"), "both have arrived");
  },

  async b28_an_aborted_wait_sends_nothing(t) {
    const socket = await t.connect("/echo", { maxSendMessages: 1 });
    const controller = new AbortController();
    socket.trySend(ahead());
    const waiting = socket.send("given up", { signal: controller.signal });
    const other = socket.send("other");
    controller.abort();
    await t.fails(waiting, "aborted");
    await other;
    await socket.recv();
    t.equal(await socket.recv(), "other");
  },

  async b29_each_kind_of_data_arrives_whole(t) {
    const socket = await t.connect("/echo?digest=1");
    const some = pattern(1000);
    const kinds = {
      empty: new ArrayBuffer(0),
      "one byte": new Uint8Array([7]),
      view: some.subarray(3, 503),
      "wide view": new Float64Array(some.buffer, 8, 20),
      DataView: new DataView(some.buffer, 10, 30),
      Blob: new Blob([some]),
      "empty Blob": new Blob([]),
      "Blob above 1 MiB": new Blob([pattern(3 << 20)]),
      "16 MiB": pattern(16 << 20),
    };
    if (ArrayBuffer.prototype.resize) {
      const resizable = new ArrayBuffer(100, { maxByteLength: 200 });
      new Uint8Array(resizable).set(some.subarray(0, 100));
      Object.assign(kinds, { resizable, "view of it": new Uint8Array(resizable, 50) });
    }
    if (globalThis.SharedArrayBuffer) {
      const shared = new Uint8Array(new SharedArrayBuffer(64));
      shared.set(some.subarray(0, 64));
      kinds.shared = shared.subarray(1);
    }
    for (const [name, data] of Object.entries(kinds)) {
      const bytes = data instanceof Blob ? new Uint8Array(await data.arrayBuffer()) : new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
      const sha256 = await t.sha256(bytes.slice());
      const { received, report } = await t.echo(socket, data);
      t.equal(report, { bytes: bytes.length, sha256 }, name);
      t.equal(await t.sha256(received), sha256, `${name}, received`);
    }
  },

  async b29_each_text_arrives_whole(t) {
    const socket = await t.connect("/echo?digest=1");
    const long = "grüße €100 😀 ".repeat(50_000);
    for (const text of ["", "a", "ünïcödé", "𝒳𝓎𝓏 😀 👩‍👩‍👧", "\0", long]) {
      const { received, report } = await t.echo(socket, text);
      t.ok(received === text, `text of ${text.length} units`);
      t.equal(report, { bytes: new TextEncoder().encode(text).length, sha256: await t.sha256(text) });
    }
    t.equal((await t.echo(socket, "x\ud800y")).received, "x\ufffdy");
  },

  async b29_what_cannot_be_sent_is_a_typed_error_and_the_socket_goes_on(t) {
    const socket = await t.connect("/echo");
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    await t.fails(socket.send(detached), "detached");
    await t.fails(socket.send(detached.buffer), "detached");
    for (const data of [undefined, null, 42, {}]) await t.fails(socket.send(data), "unsupported");
    await socket.send("fine");
    t.equal(await socket.recv(), "fine");
  },

  async b30_a_buffer_may_be_changed_after_send(t) {
    const socket = await t.connect("/echo");
    const direct = pattern(100_000);
    await socket.send(direct);
    direct.fill(0);
    const queued = pattern(5000);
    socket.trySend(ahead());
    socket.trySend(queued.subarray(1000));
    queued.fill(0);
    t.equal(await t.sha256(await socket.recv()), await t.sha256(pattern(100_000)));
    await socket.recv();
    t.equal(await t.sha256(await socket.recv()), await t.sha256(pattern(5000).subarray(1000)));
  },

  async b30_transfer_detaches_the_buffer(t) {
    const socket = await t.connect("/echo");
    const direct = pattern(1000);
    await socket.send(direct, { transfer: true });
    socket.trySend(ahead());
    const queued = pattern(2000);
    await socket.send(queued.subarray(500), { transfer: true });
    t.equal([direct.length, queued.length], [0, 0]);
    t.equal(await socket.recv(), pattern(1000));
    await socket.recv();
    t.equal(await socket.recv(), pattern(2000).subarray(500));
  },

  async b41_a_socket_without_buffered_amount_counts_as_empty(t) {
    class Bare extends t.WebSocket {
      get bufferedAmount() {
        return undefined;
      }
    }
    const socket = await t.connect("/echo", { WebSocket: Bare });
    t.equal(socket.bufferedAmount, 0);
    await socket.send("fine");
    t.equal([await socket.recv(), socket.bufferedAmount], ["fine", 0]);
  },

  async json_messages_travel_by_the_codec(t) {
    const socket = await t.connect("/echo", { codec: t.environment.tidegate.json });
    await socket.send({ kind: "hello", list: [1, null, "ü"] });
    t.equal(await socket.recv(), { kind: "hello", list: [1, null, "ü"] });
    await t.fails(socket.send(undefined), "encode");
  },

  async a_ticket_cancels_what_is_still_queued(t) {
    const socket = await t.connect("/echo");
    socket.trySend(ahead());
    const ticket = socket.trySend("cancelled");
    const kept = socket.trySend("kept");
    t.equal(ticket.cancel(), true);
    t.equal([await ticket.outcome, await kept.outcome], ["cancelled", "handedOver"]);
    t.equal(kept.cancel(), false);
    await socket.recv();
    t.equal(await socket.recv(), "kept");
  },
};

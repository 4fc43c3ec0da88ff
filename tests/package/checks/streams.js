/**
 * Checks of `tidegate/streams`: a socket as a pair of WHATWG streams, over each transport that there is here, and what
 * only the one over `WebSocketStream` can do (B45).
 */

import { closing } from "./closing.js";
import { connecting } from "./connecting.js";
import { messages } from "./messages.js";

const here = "WebSocketStream" in globalThis;
const KIBIBYTE = 1024;
const PIECE = 64 * KIBIBYTE;

/** Lets what is ready happen, other tasks included. */
const turn = () =>
  new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), done());
    port2.postMessage(0);
  });

/** Waits until a figure stays as it is while many turns pass. */
async function standing(figure) {
  let last;
  for (let same = 0; same < 300; same++) {
    const now = await figure();
    if (now !== last) same = 0;
    last = now;
    await turn();
  }
  return last;
}

/** The same check with sockets that have streams, once for each transport. */
function overEach(check) {
  return async (t) => {
    const { tidegate } = t.environment;
    t.environment = { ...t.environment, tidegate: { ...tidegate, ...t.environment.streams } };
    const { defaults } = t;
    await check(t);
    if (!here) return;
    t.defaults = { transport: "stream" };
    await check(t);
    t.defaults = defaults;
  };
}

/** A check that is written for any socket, over `WebSocketStream`. */
function overStream(check) {
  return async (t) => {
    t.environment = { ...t.environment, tidegate: { ...t.environment.tidegate, ...t.environment.streams } };
    t.defaults = { transport: "stream" };
    await check(t);
  };
}

/** Both connect with a class of their own. */
const NOT_OVER_STREAM = ["b37_foreign_listeners_are_left_alone", "b41_a_socket_without_buffered_amount_counts_as_empty"];

/** B45: the same list. */
const sameList = Object.entries({ ...connecting, ...messages, ...closing })
  .filter(([name]) => here && !NOT_OVER_STREAM.includes(name))
  .map(([name, check]) => [`b45_${name}`, overStream(check)]);

/** All chunks up to the end, and what it failed with. */
async function all(readable) {
  const chunks = [];
  const reader = readable.getReader();
  try {
    for (let next; !(next = await reader.read()).done; ) chunks.push(next.value);
  } catch (error) {
    return { chunks, error };
  }
  return { chunks };
}

/** A source of that many pieces, which counts how many were pulled, and tells that before it gives the next. */
function pieces(messages, tell = () => {}) {
  let pulled = 0;
  const readable = new ReadableStream(
    {
      pull(controller) {
        if (pulled === messages) return controller.close();
        tell(pulled);
        controller.enqueue(new Uint8Array(PIECE).fill(pulled++));
      },
    },
    { highWaterMark: 0 },
  );
  return { readable, pulled: () => pulled };
}

const streamed = {
  async b29_a_chunk_is_a_message_both_ways(t) {
    const socket = await t.connect("/echo");
    const source = new ReadableStream({
      start(controller) {
        for (const chunk of ["text", "", new Uint8Array([1, 2, 3]), new Blob(["blob"]), new ArrayBuffer(0)]) {
          controller.enqueue(chunk);
        }
        controller.close();
      },
    });
    await source.pipeTo(socket.writable, { preventClose: true });
    const closed = socket.end();
    // Behind an `end` the server closes only when it is asked to.
    const reader = socket.readable.getReader();
    const received = [];
    while (received.length < 5) received.push((await reader.read()).value);
    t.equal(received, ["text", "", new Uint8Array([1, 2, 3]), new TextEncoder().encode("blob"), new Uint8Array(0)]);
    reader.releaseLock();
    await socket.close();
    t.equal((await closed).cause, "local");
    t.equal(await all(socket.readable), { chunks: [] });
  },

  async b29_values_go_through_the_codec(t) {
    const socket = await t.connect("/echo", { codec: t.environment.tidegate.json });
    const writer = socket.writable.getWriter();
    const reader = socket.readable.getReader();
    await writer.write({ value: [1, 2] });
    t.equal((await reader.read()).value, { value: [1, 2] });
    await t.fails(writer.write(undefined), "encode");
    await t.fails(writer.closed, "encode");
    t.equal(socket.readyState, 1, "the state after a value that has no form");
    await socket.send(1);
    t.equal((await reader.read()).value, 1);
  },

  async b14_what_the_codec_refuses_ends_the_readable_and_leaves_the_rest(t) {
    const codec = { encode: String, decode: (text) => JSON.parse(text) };
    const socket = await t.connect("/echo", { codec });
    for (const text of ["1", "{", "2"]) await socket.send(text);
    const { chunks, error } = await all(socket.readable);
    t.equal([chunks, error.code], [[1], "decode"]);
    t.equal(await socket.recv(), 2);
  },

  async b28_a_stream_is_pulled_no_faster_than_the_link_takes_it(t) {
    const socket = await t.connect("/stall");
    if (t.isWebkit) {
      // It takes whatever it is given, and its network process keeps that: with no end to it, all of the machine's memory.
      const { readable, pulled } = pieces(512);
      await readable.pipeTo(socket.writable, { preventClose: true });
      await socket.drained();
      t.equal([pulled(), socket.bufferedAmount], [512, 0]);
      const { cause, unknown } = await socket.close(undefined, "", { within: 100 });
      return t.equal([cause, unknown.messages], ["unconfirmed", 512]);
    }
    const { readable, pulled } = pieces(Infinity);
    const piping = readable.pipeTo(socket.writable, { preventAbort: true }).catch((error) => error);
    // 8 MiB is more than any browser and kernel keep for a peer that reads nothing.
    t.ok((await standing(pulled)) * PIECE < 8 << 20, `${pulled()} pieces were pulled`);
    const { queued } = socket.stats().classes.normal;
    t.ok(queued.messages <= 1, `${queued.messages} wait in the queue`);
    const closed = await socket.close(undefined, "", { within: 100, flush: false });
    t.equal(closed.cause, "unconfirmed");
    const error = await piping;
    t.equal([error.code, error.closed], ["closed", closed]);
  },

  async b24_an_urgent_message_passes_what_is_piped(t) {
    const socket = await t.connect("/upload");
    const { readable } = pieces(100, (pulled) => pulled === 10 && t.ok(socket.trySend("urgent", { priority: "urgent" }), "taken"));
    await readable.pipeTo(socket.writable, { preventClose: true });
    await socket.send("report");
    const [urgent, report] = [JSON.parse(await socket.recv()), JSON.parse(await socket.recv())];
    t.ok(urgent.text === "urgent" && urgent.messages <= 10, `${urgent.messages} had arrived before it`);
    t.equal([report.messages, report.bytes], [100, 100 * PIECE]);
  },

  async b24_what_is_piped_goes_as_the_options_say(t) {
    for (const sendOptions of [{ priority: "low" }, "bulk", ""]) await t.fails(t.connect("/sink", { sendOptions }), "option");
    const socket = await t.connect("/sink", { sendOptions: { priority: "bulk", flow: "file" } });
    await pieces(20).readable.pipeTo(socket.writable, { preventClose: true });
    const { bulk, normal } = socket.stats().classes;
    t.equal([bulk.handedOver, normal.handedOver.messages], [{ messages: 20, bytes: 20 * PIECE }, 0]);
  },

  async b11_the_readable_closes_behind_everything_when_the_end_is_clean(t) {
    const socket = await t.connect("/burst");
    const { chunks, error } = await all(socket.readable);
    t.equal([chunks, error], [["one", new Uint8Array([1, 2, 3]), "three"], undefined]);
    t.equal((await socket.closed).code, 4001);
  },

  async b11_the_readable_fails_when_it_is_not(t) {
    const socket = await t.connect("/reset?after=100");
    await socket.send(new Uint8Array(100));
    const { chunks, error } = await all(socket.readable);
    t.equal([chunks, error.code, error.closed.code, error.closed.wasClean], [[], "closed", 1006, false]);
    await t.fails(socket.writable.getWriter().write("late"), "closed");
  },

  async b16_the_readable_fails_behind_an_overflow(t) {
    if (t.defaults.transport) return;
    const socket = await t.connect("/flood?messages=100&bytes=1000", { maxReceiveMessages: 10 });
    await socket.closed;
    const { chunks, error } = await all(socket.readable);
    t.equal([chunks.length, error.code, error.closed.cause], [10, "closed", "receiveOverflow"]);
  },

  async b31_closing_the_writable_sends_what_was_written_and_closes(t) {
    const socket = await t.connect("/echo");
    const writer = socket.writable.getWriter();
    void writer.write("one");
    await writer.close();
    const { code, cause, unsent } = await socket.closed;
    t.equal([code, cause, unsent.messages], [1005, "local", 0]);
    await writer.closed;
    t.equal((await all(socket.readable)).error, undefined);
  },

  async b31_closing_the_writable_fails_when_nothing_confirms_it(t) {
    const socket = await t.connect("/stall");
    void socket.close(undefined, "", { within: 100 });
    const error = await t.fails(socket.writable.close(), "closed");
    t.equal(error.closed.cause, "unconfirmed");
  },

  async b35_cancelling_and_aborting_close_with_the_code_of_their_reason(t) {
    const why = { closeCode: 4321, reason: "enough" };
    for (const [reason, code] of [[why, 4321], [{ closeCode: 1001 }, 1005], [{ closeCode: 4000, reason: "x".repeat(124) }, 1005], [new Error("no"), 1005], [undefined, 1005]]) {
      for (const leave of [(socket) => socket.readable.cancel(reason), (socket) => socket.writable.abort(reason)]) {
        const socket = await t.connect("/echo");
        const reading = leave(socket);
        await reading;
        const closed = await socket.closed;
        t.equal([closed.code, closed.cause], [code, "local"], String(reason));
      }
    }
  },

  async b35_cancelling_ends_a_read_that_waits(t) {
    const socket = await t.connect("/echo");
    const reader = socket.readable.getReader();
    const reading = reader.read();
    await reader.cancel();
    t.equal((await reading).done, true);
    t.equal((await socket.closed).cause, "local");
  },

  async b27_aborting_takes_back_the_chunk_that_waits(t) {
    const socket = await t.connect("/stall");
    const writer = socket.writable.getWriter();
    writer.closed.catch(() => {});
    let written = 0;
    for (let i = 0; i < 1000; i++) void writer.write(new Uint8Array(PIECE)).then(() => written++, () => {});
    await standing(() => written);
    const { queued } = socket.stats().classes.normal;
    // WebKit has taken all of it, so that nothing waits.
    if (t.isWebkit) return t.equal([written, queued.messages], [1000, 0]);
    const aborting = writer.abort();
    t.equal([queued, socket.stats().classes.normal.cancelled], [{ messages: 1, bytes: PIECE }, { messages: 1, bytes: PIECE }]);
    // Aborting closes as well, with the longer deadline.
    void socket.close(undefined, "", { within: 100, flush: false });
    await aborting;
    const { cause, unsent } = await socket.closed;
    t.equal([cause, unsent.messages], ["unconfirmed", 0]);
  },

  async b19_the_writable_fails_when_the_peer_has_closed(t) {
    const socket = await t.connect("/close?code=4000");
    const writer = socket.writable.getWriter();
    const error = await t.fails(writer.closed, "closed");
    t.equal(error.closed.code, 4000);
    await t.fails(writer.write("late"), "closed");
  },

  async b29_a_blob_that_cannot_be_read_fails_the_writable_and_not_the_connection(t) {
    const socket = await t.connect("/echo");
    const gone = new Blob(["gone"]);
    gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
    await t.fails(socket.writable.getWriter().write(gone), "unreadable");
    await socket.send("still open");
    t.equal(await socket.recv(), "still open");
  },

  async b37_each_stream_is_one_and_is_locked_by_whoever_uses_it(t) {
    const socket = await t.connect("/echo");
    const { readable, writable } = socket;
    t.ok(readable === socket.readable && writable === socket.writable, "they are the same each time");
    const reader = readable.getReader();
    t.equal([readable.locked, writable.locked], [true, false]);
    const reading = reader.read();
    // A stream asks in a microtask.
    await turn();
    await t.fails(socket.recv(), "busy");
    await socket.send("for the reader");
    t.equal((await reading).value, "for the reader");
    // Nothing is taken ahead.
    await socket.send("for whoever asks");
    t.equal(await socket.recv(), "for whoever asks");
  },
};

const withTransport = {
  async b45_without_web_socket_stream_a_typed_error_comes_before_anything_is_tried(t) {
    const { connect } = t.environment.streams;
    const url = t.url("/echo");
    await t.fails(connect(url, { transport: "stream", WebSocket: t.WebSocket }), "option");
    await t.fails(connect(url, { transport: "quic" }), "option");
    const Native = globalThis.WebSocketStream;
    delete globalThis.WebSocketStream;
    try {
      await t.fails(connect(url, { transport: "stream" }), "noWebSocketStream");
    } finally {
      if (here) globalThis.WebSocketStream = Native;
    }
    if (here) await (await connect(url, { transport: "stream" })).close();
  },

  async b16_a_full_queue_makes_the_peer_wait_over_web_socket_stream(t) {
    if (!here) return;
    const BOUND = 16 * PIECE;
    const messages = t.environment.full ? 4096 : 512;
    const run = crypto.randomUUID();
    const watch = await t.connect(`/watch?run=${run}`);
    const gone = async (bytes = 0) => {
      await watch.send(`wait ${bytes} 0`);
      return JSON.parse(await watch.recv()).bulk.bytes;
    };
    const { connect } = t.environment.streams;
    for (const binaryType of ["arraybuffer", "blob"]) {
      const before = await gone();
      const options = { transport: "stream", binaryType, maxReceiveBytes: BOUND };
      const socket = await connect(t.url(`/push?run=${run}&messages=${messages}&bytes=${PIECE}`), options);
      const stands = (await standing(gone)) - before;
      // What the queue takes, and what browser and kernels hold on the way.
      t.ok(stands >= BOUND / 2 && stands <= BOUND + (12 << 20), `${stands} bytes have gone out`);
      const held = () => socket.stats().received.bytes;
      t.ok(held() >= BOUND / 2 && held() <= BOUND / 2 + PIECE, `${held()} bytes are held`);
      const reader = socket.readable.getReader();
      for (let number = 0; number < messages; number++) {
        const { value } = await reader.read();
        const bytes = new Uint8Array(binaryType === "blob" ? await value.arrayBuffer() : value);
        t.equal([bytes.length, bytes[0]], [PIECE, number % 256]);
        t.ok(held() <= BOUND / 2 + PIECE, `${held()} bytes are held`);
      }
      t.equal(await gone(messages * PIECE), before + messages * PIECE);
      const { cause, wasClean, dropped } = await socket.close();
      t.equal([cause, wasClean, dropped.messages], ["local", true, 0]);
    }
  },

  async b41_the_amount_is_one_of_bytes_over_web_socket_stream(t) {
    if (!here) return;
    const { connect } = t.environment.streams;
    const socket = await connect(t.url("/echo"), { transport: "stream" });
    t.ok(socket.trySend("ü".repeat(10)), "taken");
    t.equal([socket.bufferedAmount, socket.stats().bufferedAmount], [20, 20]);
    t.ok(socket.trySend("€"), "queued behind it");
    t.equal(socket.bufferedAmount, 23);
    await socket.drained();
    t.ok(socket.trySend(""), "taken");
    t.equal(socket.bufferedAmount, 0, "the amount of an empty message");
    t.ok(socket.trySend("x"), "queued");
    t.equal([socket.bufferedAmount, socket.stats().classes.normal.queued.messages], [1, 1], "an empty one takes the room");
    for (const text of ["ü".repeat(10), "€", "", "x"]) t.equal(await socket.recv(), text);
  },

  async b31_a_close_is_confirmed_though_the_peer_waits_over_web_socket_stream(t) {
    if (!here) return;
    const run = crypto.randomUUID();
    const { connect } = t.environment.streams;
    const route = `/push?run=${run}&messages=4096&bytes=${PIECE}`;
    const socket = await connect(t.url(route), { transport: "stream", maxReceiveMessages: 4 });
    while (socket.stats().received.messages < 2) await turn();
    const { code, cause, wasClean } = await socket.close(4001, "enough");
    t.equal([code, cause, wasClean], [4001, "local", true]);
    let left = 0;
    while ((await socket.recv()) !== undefined) left++;
    t.ok(left <= 3, `${left} were left`);
  },

  async b32_a_close_goes_behind_a_blob_that_is_being_read_over_web_socket_stream(t) {
    if (!here) return;
    const run = crypto.randomUUID();
    const watch = await t.connect(`/watch?run=${run}`);
    const { connect } = t.environment.streams;
    const socket = await connect(t.url(`/arrivals?run=${run}`), { transport: "stream" });
    // Above 1 MiB it is read when it is handed over.
    const ticket = await socket.send(new Blob([new Uint8Array(3 << 20)]));
    const { code, cause, wasClean, unknown } = await socket.close(4001, "enough");
    t.equal([code, cause, wasClean, unknown.bytes, await ticket.outcome], [4001, "local", true, 0, "handedOver"]);
    // The server had read everything before it confirmed.
    await watch.send("wait 0 0");
    t.equal(JSON.parse(await watch.recv()).bulk.bytes, 3 << 20);
  },

  async b32_a_close_that_waits_for_a_blob_ends_with_it_when_it_cannot_be_read_over_web_socket_stream(t) {
    if (!here) return;
    const { connect } = t.environment.streams;
    const socket = await connect(t.url("/sink"), { transport: "stream" });
    const blob = new Blob([new Uint8Array(3 << 20)]);
    let fail;
    blob.arrayBuffer = () => new Promise((_, reject) => (fail = reject));
    const ticket = await socket.send(blob);
    t.equal(await ticket.outcome, "handedOver");
    const closing = socket.close(4001, "enough");
    fail(new DOMException("gone", "NotFoundError"));
    const { code, cause, wasClean, unknown } = await closing;
    t.equal([code, cause, wasClean, unknown.bytes], [1006, "unconfirmed", false, 3 << 20]);
  },

  async b16_a_peer_that_closes_while_it_should_wait_is_no_clean_end_over_web_socket_stream(t) {
    if (!here) return;
    const { connect } = t.environment.streams;
    const options = { transport: "stream", maxReceiveMessages: 4 };
    const socket = await connect(t.url("/flood?messages=1000&bytes=10"), options);
    const { code, wasClean, cause } = await socket.closed;
    const { chunks, error } = await all(socket.readable);
    t.equal(chunks.map((chunk) => new Uint8Array(chunk)[0]), chunks.map((_, number) => number), "what came, without a gap");
    t.equal([code, wasClean, cause, chunks.length < 1000, error.code], [1000, false, "peer", true, "closed"]);
  },

  async b38_a_hundred_peers_that_reset_leave_the_page_alone_over_web_socket_stream(t) {
    if (!here) return;
    const { connect } = t.environment.streams;
    for (let i = 0; i < 100; i++) {
      const socket = await connect(t.url("/reset?after=100"), { transport: "stream" });
      const ticket = await socket.send(new Uint8Array(100));
      const { code, cause, wasClean, unknown } = await socket.closed;
      t.equal([code, cause, wasClean, unknown.messages, await ticket.outcome], [1006, "peer", false, 1, "handedOver"]);
    }
  },

  async b19_a_chunk_that_the_browser_refuses_ends_the_connection_over_web_socket_stream(t) {
    if (!here) return;
    const { connect } = t.environment.streams;
    const socket = await connect(t.url("/echo"), { transport: "stream" });
    const { prototype } = WritableStreamDefaultWriter;
    const { write } = prototype;
    prototype.write = function () {
      prototype.write = write;
      return write.call(this, Symbol("no text can be made of it"));
    };
    const tickets = [await socket.send("first"), await socket.send("behind")];
    const { code, wasClean } = await socket.closed;
    const outcomes = await Promise.all(tickets.map((ticket) => ticket.outcome));
    t.equal([code, wasClean, outcomes], [1006, false, ["handedOver", "unsent"]]);
  },
};

/** @type {Record<string, import("./harness.js").Check>} */
export const streams = {
  ...Object.fromEntries(Object.entries(streamed).map(([name, check]) => [name, overEach(check)])),
  ...withTransport,
  ...Object.fromEntries(sameList),
};

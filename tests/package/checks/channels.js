/** Checks of `tidegate/channels`: connections to a server that speaks `tidegate.v1`, and to one that does not. */

import { pattern } from "./messages.js";

/** The same check with sockets that have channels. */
function withChannels(checks) {
  return Object.fromEntries(
    Object.entries(checks).map(([name, check]) => [
      name,
      (t) => {
        t.environment = { ...t.environment, tidegate: { ...t.environment.tidegate, ...t.environment.channels } };
        return check(t);
      },
    ]),
  );
}

/** @type {Record<string, import("./harness.js").Check>} */
export const channels = withChannels({
  async v1_messages_of_each_kind_and_size_come_back_and_are_delivered(t) {
    const socket = await t.connect("/echo");
    t.equal([socket.mode, socket.protocol], ["tidegate", "tidegate.v1"]);
    const tickets = [];
    const sizes = [0, 1, 100, 65_536, 3_000_000];
    for (const size of sizes) {
      tickets.push(await socket.send(pattern(size)));
      tickets.push(await socket.send("€".repeat(size / 3)));
    }
    for (const size of sizes) {
      t.equal(new Uint8Array(await socket.recv()), pattern(size), `${size} bytes`);
      t.ok((await socket.recv()) === "€".repeat(size / 3), `${size} bytes of text`);
    }
    for (const ticket of tickets) t.equal(await ticket.outcome, "delivered");
    await socket.flushed();
    const { code, wasClean, cause, unsent, unknown } = await socket.close(1000, "bye");
    t.equal([code, wasClean, cause, unsent.messages, unknown.messages], [1000, true, "local", 0, 0]);
  },

  async v1_views_and_blobs_go_in_chunks_and_may_change_once_they_are_sent(t) {
    const socket = await t.connect("/echo");
    const bytes = pattern(700_000);
    const view = bytes.slice().subarray(1, 600_000);
    const blob = await socket.send(new Blob([bytes]));
    const ticket = await socket.send(view);
    view.fill(0);
    const moved = bytes.slice();
    await socket.send(moved, { transfer: true });
    t.equal(moved.length, 0, "the buffer is detached");
    t.equal(new Uint8Array(await socket.recv()), bytes, "the Blob");
    t.equal(new Uint8Array(await socket.recv()), bytes.subarray(1, 600_000), "the view");
    t.equal(new Uint8Array(await socket.recv()), bytes, "what was transferred");
    t.equal([await blob.outcome, await ticket.outcome], ["delivered", "delivered"]);
  },

  async v1_large_messages_of_every_memory_come_back_and_nobody_sees_them_change(t) {
    const socket = await t.connect("/echo");
    const bytes = pattern(700_000);
    const kinds = [
      new ArrayBuffer(bytes.length),
      new Uint8Array(new ArrayBuffer(bytes.length + 1_000), 500, bytes.length),
      new ArrayBuffer(bytes.length, { maxByteLength: 1 << 20 }),
    ];
    // A page has none unless it is isolated.
    if (globalThis.SharedArrayBuffer) {
      const shared = new SharedArrayBuffer(bytes.length + 1_000);
      kinds.push(shared, new Uint8Array(shared, 500, bytes.length));
    }
    for (const data of kinds) {
      const memory = new Uint8Array(data.buffer ?? data).fill(0xa5);
      const view = ArrayBuffer.isView(data) ? data : memory;
      view.set(bytes.subarray(0, view.length));
      const sent = view.slice();
      const before = memory.slice();
      // The same memory several times at once, and then it is another message.
      const tickets = [await socket.send(data), await socket.send(data), socket.trySend(data)];
      t.equal(memory, before, "behind the calls");
      memory.fill(1);
      for (const ticket of tickets) {
        t.equal(new Uint8Array(await socket.recv()), sent);
        t.equal(await ticket.outcome, "delivered");
      }
      t.ok(memory.every((byte) => byte === 1), "and ever after");
    }
  },

  async v1_a_send_that_a_page_has_put_around_the_hosts_is_given_what_it_may_keep(t) {
    class Late extends t.WebSocket {
      send(...given) {
        void Promise.resolve().then(() => super.send(...given));
      }
    }
    const socket = await t.connect("/echo", { WebSocket: Late });
    const sizes = [0, 100, 5_000, 16_384, 65_504, 65_536, 300_000, 1 << 20, 3_000_000];
    for (const size of sizes) await socket.send(pattern(size));
    for (const size of sizes) t.equal(new Uint8Array(await socket.recv()), pattern(size), `${size} bytes`);
  },

  async v1_channels_are_opened_used_and_closed(t) {
    const socket = await t.connect("/echo");
    const chat = await socket.channel("chat");
    await chat.send("one");
    t.equal(await chat.accepted, undefined);
    t.equal(await chat.recv(), "one");
    const sink = await socket.channel("sink", { priority: "bulk" });
    t.equal([sink.name, sink.priority], ["sink", "bulk"]);
    for (let i = 0; i < 100; i++) await sink.send(pattern(100_000));
    await chat.send("two");
    t.equal(await chat.recv(), "two");
    await sink.close();
    t.equal(await sink.recv(), "100 10000000");
    t.equal(await sink.recv(), undefined);
    t.equal(await sink.ended, { kind: "closed" });
    await t.fails(sink.send("more"), "closed");
    const refused = await socket.channel("refuse");
    t.equal(await refused.recv(), undefined);
    const { kind, code, detail } = await refused.ended;
    t.equal([kind, code, new TextDecoder().decode(detail)], ["reset", 38, "no"]);
    t.equal((await refused.stopped).code, 38);
    await t.fails(refused.send("x"), "closed");
  },

  async v1_a_channel_is_a_pair_of_streams(t) {
    const socket = await t.connect("/echo");
    const channel = await socket.channel("streams");
    const sent = Array.from({ length: 20 }, (_, i) => `chunk ${i}`);
    const source = new ReadableStream({
      pull(controller) {
        const next = sent[this.at ?? 0];
        this.at = (this.at ?? 0) + 1;
        if (next) controller.enqueue(next);
        else controller.close();
      },
    });
    const piped = source.pipeTo(channel.writable);
    const received = [];
    const reader = channel.readable.getReader();
    for (let next; !(next = await reader.read()).done; ) received.push(next.value);
    await piped;
    t.equal(received, sent);
  },

  async v1_a_codec_makes_values_of_messages(t) {
    const socket = await t.connect("/echo");
    const { json } = t.environment.tidegate;
    const channel = await socket.channel("values", { codec: json });
    await channel.send({ hello: ["world", 1] });
    t.equal(await channel.recv(), { hello: ["world", 1] });
    await socket.send("as it is");
    t.equal(await socket.recv(), "as it is");
  },

  async b55_a_stalled_channel_holds_nobody_up(t) {
    const socket = await t.connect("/echo");
    const stalled = await socket.channel("stall", { maxSendBytes: 64 << 20 });
    for (let i = 0; i < 40; i++) t.ok(stalled.trySend(new Uint8Array(1 << 20)), "queued");
    for (let i = 0; i < 100; i++) {
      await socket.send(`${i}`);
      t.equal(await socket.recv(), `${i}`);
    }
    // A window of 16 MiB was taken.
    t.ok(stalled.bufferedAmount >= 24 << 20, `${stalled.bufferedAmount} bytes wait`);
  },

  async b22_an_urgent_message_overtakes_what_is_queued(t) {
    const socket = await t.connect("/echo");
    for (let i = 0; i < 12; i++) t.ok(socket.trySend(new Uint8Array(1 << 20), { priority: "bulk" }), "queued");
    t.ok(socket.trySend("now", { priority: "urgent" }), "queued");
    let before = 0;
    while ((await socket.recv()) !== "now") before++;
    t.ok(before < 12, "it came last");
  },

  async b26_the_newest_value_and_the_deadline_count_on_a_channel_too(t) {
    const socket = await t.connect("/echo");
    const channel = await socket.channel("values");
    // In front of the others, and not more than may come back.
    channel.trySend(new Uint8Array(900_000));
    const old = channel.trySend("old", { latest: "cursor" });
    const late = channel.trySend("late", { deadline: 0 });
    const newer = channel.trySend("new", { latest: "cursor" });
    t.equal([await old.outcome, await late.outcome], ["superseded", "expired"]);
    t.equal((await channel.recv()).byteLength, 900_000);
    t.equal(await channel.recv(), "new");
    t.equal(await newer.outcome, "delivered");
  },

  async v1_auto_is_content_with_a_plain_server(t) {
    const socket = await t.connect("/echo", { mode: "auto" });
    t.equal(socket.mode, "tidegate");
    for (let i = 0; i < 2; i++) {
      const plain = await t.connect("/no-subprotocol", { mode: "auto", binaryType: "arraybuffer" });
      t.equal(plain.mode, "plain");
      await plain.send("x");
      t.equal(await plain.recv(), "x");
      await t.fails(plain.channel("x"), "plain");
    }
    await t.fails(t.connect("/no-subprotocol"), "connect");
    await t.fails(t.connect("/subprotocol", { protocols: ["chat.v2"], mode: "neither" }), "option");
    await t.fails(socket.channel(""), "option");
    await t.fails(socket.channel("x".repeat(129)), "option");
  },

  async v1_everything_ends_with_the_connection(t) {
    const socket = await t.connect("/echo");
    const channel = await socket.channel("chat");
    await channel.send("x");
    t.equal(await channel.recv(), "x");
    const offered = (async () => {
      for await (const each of socket.channels) return each;
      return "none";
    })();
    await socket.close();
    t.equal(await channel.recv(), undefined);
    t.equal([(await channel.ended).kind, (await channel.stopped).kind], ["connectionOver", "connectionOver"]);
    t.equal(await offered, "none");
    await t.fails(socket.channel("other"), "closed");
  },
});

/** Checks of B16: more than the receive queue has room for. `/flood` numbers its messages by their first byte. */

/** A socket to which a hundred messages of 1000 bytes have come that nobody has taken, and the peer's close. */
async function flooded(t, options) {
  const socket = await t.connect("/flood?messages=100&bytes=1000", options);
  await socket.closed;
  return socket;
}

/** The numbers of the messages that are left, up to the end. */
async function left(socket) {
  const numbers = [];
  for await (const message of socket) {
    const bytes = new Uint8Array(message instanceof ArrayBuffer ? message : await message.arrayBuffer());
    numbers.push(bytes.length === 1000 && bytes[0]);
  }
  return numbers;
}

/** Waits until so many messages were dropped. */
async function untilDropped(socket, messages) {
  while (socket.dropped.messages < messages) await new Promise((done) => setTimeout(done));
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const FORMS = ["arraybuffer", "blob"];
const NOTHING = { messages: 0, bytes: 0 };

/** @type {Record<string, import("./harness.js").Check>} */
export const overflow = {
  async b16_an_overflow_closes_with_its_code(t) {
    const socket = await flooded(t, { maxReceiveMessages: 10, overflowCode: 4321 });
    const { cause, dropped } = await socket.closed;
    t.equal([cause, dropped], ["receiveOverflow", NOTHING]);
    t.equal(await left(socket), numbers(0, 10), "messages that fitted");
  },

  async b16_the_oldest_are_dropped_and_counted(t) {
    for (const binaryType of FORMS) {
      for (const bound of [{ maxReceiveBytes: 10_999 }, { maxReceiveMessages: 10 }]) {
        const socket = await flooded(t, { ...bound, binaryType, receivePolicy: "dropOldest" });
        const { code, cause, dropped } = await socket.closed;
        t.equal([code, cause, dropped], [1000, "peer", { messages: 90, bytes: 90_000 }]);
        t.equal([await left(socket), socket.dropped], [numbers(90, 100), dropped]);
      }
    }
  },

  async b16_the_newest_are_dropped_and_counted(t) {
    for (const binaryType of FORMS) {
      for (const bound of [{ maxReceiveBytes: 10_999 }, { maxReceiveMessages: 10 }]) {
        const socket = await flooded(t, { ...bound, binaryType, receivePolicy: "dropNewest" });
        const { code, cause, dropped } = await socket.closed;
        t.equal([code, cause, dropped], [1000, "peer", { messages: 90, bytes: 90_000 }]);
        t.equal([await left(socket), socket.dropped], [numbers(0, 10), dropped]);
      }
    }
  },

  async b16_text_counts_by_its_utf16_units_and_a_large_message_displaces_all(t) {
    const socket = await t.connect("/echo", { maxReceiveBytes: 10, receivePolicy: "dropOldest" });
    for (const text of ["€€", "€".repeat(8), "€".repeat(5000)]) await socket.send(text);
    await untilDropped(socket, 2);
    t.equal([socket.dropped, socket.tryRecv()], [{ messages: 2, bytes: 10 }, "€".repeat(5000)]);
  },

  async b16_a_reader_that_keeps_up_loses_nothing(t) {
    // A browser gives each message in a task of its own, `ws` as many in one as have arrived.
    const maxReceiveMessages = t.host === "node" ? 200 : 1;
    for (const receivePolicy of ["close", "dropOldest", "dropNewest"]) {
      const socket = await t.connect("/echo", { maxReceiveMessages, receivePolicy });
      const reading = (async () => {
        for (let i = 0; i < 200; i++) t.equal(await socket.recv(), String(i));
      })();
      for (let i = 0; i < 200; i++) await socket.send(String(i));
      await reading;
      t.equal(socket.dropped, NOTHING);
    }
  },

  async b16_what_comes_after_a_local_close_is_not_counted(t) {
    const options = { maxReceiveMessages: 1, receivePolicy: "dropNewest" };
    const socket = await t.connect("/flood?messages=20000&bytes=1000", options);
    await untilDropped(socket, 1);
    const before = socket.dropped;
    t.ok(before.messages < 19_000, "there are messages that arrive after the close");
    const { dropped } = await socket.close(4001, "", { within: 1000 });
    t.equal([dropped, socket.dropped], [before, before]);
  },
};

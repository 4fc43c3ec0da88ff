/** Proofs that payload stays on the JavaScript side: queued megabytes leave the wasm's memory as it is. */

const MEBIBYTE = 1 << 20;
const NO_BOUNDS = { maxSendBytes: 0, maxSendMessages: 0 };

/** @type {Record<string, import("./harness.js").Check>} */
export const memory = {
  async queued_256_mib_of_buffers_leave_the_wasm_memory_unchanged(t) {
    const memory = await t.environment.memory();
    const socket = await t.connect("/sink", NO_BOUNDS);
    const before = memory.buffer.byteLength;
    // The Blob has to be read first, and so holds back what is sent in this task.
    socket.trySend(new Blob(["ahead"]));
    for (let i = 0; i < 16; i++) socket.trySend(new ArrayBuffer(16 * MEBIBYTE));
    t.equal(socket.bufferedAmount, 256 * MEBIBYTE + 5, "queued bytes");
    t.equal(memory.buffer.byteLength, before, "the wasm's memory");
    const { unsent } = await socket.close(1000, "", { flush: false });
    t.equal(unsent, { messages: 17, bytes: 256 * MEBIBYTE + 5 });
    t.equal(memory.buffer.byteLength, before, "the wasm's memory after the close");
  },

  async a_queued_blob_of_1_gib_leaves_the_wasm_memory_unchanged(t) {
    const memory = await t.environment.memory();
    const socket = await t.connect("/sink", NO_BOUNDS);
    const before = memory.buffer.byteLength;
    // Parts are shared: this takes 1 MiB, of which 1 GiB would be read.
    const part = new Blob([new Uint8Array(MEBIBYTE)]);
    socket.trySend(new Blob(["ahead"]));
    socket.trySend(new Blob(Array(1024).fill(part)));
    t.equal(socket.bufferedAmount, 1024 * MEBIBYTE + 5, "queued bytes");
    t.equal(memory.buffer.byteLength, before, "the wasm's memory");
    const { unsent } = await socket.close(1000, "", { flush: false });
    t.equal(unsent, { messages: 2, bytes: 1024 * MEBIBYTE + 5 });
    t.equal(memory.buffer.byteLength, before, "the wasm's memory after the close");
  },

  async sent_64_mib_leave_the_wasm_memory_unchanged(t) {
    const memory = await t.environment.memory();
    const socket = await t.connect("/sink", NO_BOUNDS);
    const before = memory.buffer.byteLength;
    const bytes = new Uint8Array(4 * MEBIBYTE);
    for (let i = 0; i < 8; i++) {
      bytes.fill(i);
      await socket.send(bytes);
      await socket.send(new Blob([bytes]));
    }
    await socket.send("report");
    const { messages, bytes: seen } = JSON.parse(await socket.recv());
    t.equal([messages, seen], [16, 64 * MEBIBYTE]);
    t.equal(memory.buffer.byteLength, before, "the wasm's memory");
  },
};

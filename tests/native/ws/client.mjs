/**
 * What the package ws makes of a server of tidegate's: `node client.mjs CASE URL`.
 *
 * Prints `done` at its end: a script whose event loop runs dry ends well in the eyes of Node.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket } from "ws";

const [, , name, base] = process.argv;

/** An open socket to a route, and its messages in their order. */
async function open(route, protocols = []) {
  const ca = process.env.TIDEGATE_ROOT;
  const socket = new WebSocket(base + route, protocols, { perMessageDeflate: false, maxPayload: 2 ** 30, ca });
  const waiting = [], come = [];
  socket.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    const next = waiting.shift();
    next ? next(message) : come.push(message);
  });
  const closed = once(socket, "close").then(([code, reason]) => [code, reason.toString()]);
  const message = () =>
    new Promise((resolve) => (come.length > 0 ? resolve(come.shift()) : waiting.push(resolve)));
  await once(socket, "open");
  return { socket, message, closed };
}

const cases = {
  async messages() {
    const { socket, message, closed } = await open("/echo");
    const large = Buffer.alloc(10 << 20, "large ");
    for (const sent of ["text \u{1f30a}", "", Buffer.alloc(0), Buffer.from([0, 255]), "x".repeat(3_000_000), large]) {
      socket.send(sent);
      assert.deepEqual(await message(), sent);
    }
    // One message in fragments, with a ping between them.
    socket.send("one", { fin: false });
    socket.ping("are you there");
    assert.equal((await once(socket, "pong"))[0].toString(), "are you there");
    socket.send(" two", { fin: false });
    socket.send(" three");
    assert.equal(await message(), "one two three");
    socket.close(4001, "bye");
    assert.deepEqual(await closed, [4001, ""]);
  },

  async many() {
    const { socket, message, closed } = await open("/echo");
    for (let number = 0; number < 5_000; number += 1) {
      socket.send(`message ${number}`);
    }
    for (let number = 0; number < 5_000; number += 1) {
      assert.equal(await message(), `message ${number}`);
    }
    socket.close();
    assert.deepEqual(await closed, [1005, ""]);
  },

  async closed() {
    for (const [code, reason] of [[1000, ""], [3000, "three"], [4999, "x".repeat(123)]]) {
      const { closed } = await open(`/close?code=${code}&reason=${reason}`);
      assert.deepEqual(await closed, [code, reason]);
    }
  },

  async burst() {
    const { message, closed } = await open("/burst");
    assert.deepEqual([await message(), await message(), await message()], ["one", Buffer.from([1, 2, 3]), "three"]);
    assert.deepEqual(await closed, [4001, "done"]);
  },

  async subprotocol() {
    const { socket, closed } = await open("/subprotocol", ["chat.v2", "chat.v1"]);
    assert.equal(socket.protocol, "chat.v2");
    socket.close(1000);
    assert.deepEqual(await closed, [1000, ""]);
  },

  /** A server that pings soon, until it has been answered twice. */
  async pinged() {
    const { socket, closed } = await open("/");
    await once(socket, "ping");
    await once(socket, "ping");
    socket.close(4002);
    assert.deepEqual(await closed, [4002, ""]);
  },

  /** A client that goes without a word. */
  async terminated() {
    const { socket, closed } = await open("/");
    socket.terminate();
    assert.deepEqual(await closed, [1006, ""]);
  },
};

await cases[name]();
console.log("done");

/** Clients of `tidegate/channels` against servers that do not do as they should: each is cut off, others notice nothing. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect } from "tidegate/channels";
import { WebSocket, WebSocketServer } from "ws";
import { attacks, Hostile, listen, sayAll } from "./attacks.mjs";
import { echo, record, start } from "./serving.mjs";

const bytes = (size) => Buffer.alloc(size);
const token = [32, ...bytes(32)];

/** What a server says instead of WELCOME, or too much in it, and the close code that it gets. */
const greetings = {
  b58_text_instead_of_an_answer: [4201, "welcome"],
  b58_nothing_instead_of_an_answer: [4201, bytes(0)],
  b58_garbage_instead_of_an_answer: [4201, bytes(100).fill(0x7e)],
  b58_another_record_before_the_answer: [4201, record(0x07, [1])],
  b58_padding_before_the_answer: [4201, record(0x80, [])],
  b58_resuming_what_was_never_there: [4201, record(0x04, [1, 0, 1, 1])],
  b58_a_token_without_a_time: [4201, record(0x02, [1, 0, 0, ...token, 0])],
  b58_a_time_without_a_token: [4201, record(0x02, [1, 0, 9, 0, 0])],
  b58_a_feature_that_was_never_offered: [4201, record(0x02, [1, 1, 0, 0, 0])],
  b58_a_limit_below_its_constant: [4201, record(0x02, [1, 0, 0, 0, 0, 2, 15])],
  b58_an_answer_of_another_version: [4202, record(0x02, [2, 0, 0, 0, 0])],
};

/** A server that has `talk` say what it likes to whoever connects. */
async function hostile(talk) {
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const http = createServer();
  http.on("upgrade", (request, socket, head) => wss.handleUpgrade(request, socket, head, talk));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const stop = () => {
    // Also of a test that has failed nothing is to stay, or the process would not end.
    wss.clients.forEach((socket) => socket.terminate());
    http.close();
  };
  return { url: `ws://127.0.0.1:${http.address().port}/`, stop };
}

/** How a client fares that gets these messages, and what the server hears of it. */
async function fares(messages) {
  let heard;
  const { url, stop } = await hostile((socket) => {
    heard = listen(socket);
    void sayAll(socket, messages);
  });
  const fate = await connect(url, { WebSocket }).then(
    async (socket) => ({ closed: await socket.closed, wasOpen: true }),
    ({ closed, message }) => ({ closed, wasOpen: false, message }),
  );
  stop();
  return { ...fate, heard };
}

test("b58_each_attack_of_a_server_is_answered_by_its_code_and_other_sessions_notice_nothing", async (t) => {
  const { url, stop } = await start(echo);
  const honest = await connect(url, { WebSocket });
  const goesOn = async () => {
    await honest.send("x");
    assert.equal(await honest.recv(), "x");
  };
  const all = Object.entries(attacks).map(([name, [code, attack]]) => {
    const peer = new Hostile(true);
    peer.say(peer.greeting);
    attack(peer);
    return [name, [code, peer.messages, true]];
  });
  const answers = Object.entries(greetings).map(([name, [code, message]]) => [name, [code, [message], false]]);
  for (const [name, [code, messages, opens]] of [...answers, ...all]) {
    await t.test(name, async () => {
      const faring = fares(messages);
      await goesOn();
      const { closed, wasOpen, heard, message } = await faring;
      await heard.cutOff(code);
      assert.equal(wasOpen, opens);
      if (!opens) assert.match(message, new RegExp(`^ws://\\S+ chose tidegate\\.v1 and then broke it \\(close code ${code}`));
      assert.deepEqual([closed.code, closed.cause, closed.wasClean], [code, "peerFault", true]);
      await goesOn();
    });
  }
  await honest.close();
  await stop();
});

test("b58_silence_instead_of_an_answer_is_given_up_when_connecting_has_taken_long_enough", async () => {
  for (const mode of ["tidegate", "auto"]) {
    const all = [];
    const { url, stop } = await hostile((socket) => all.push(listen(socket)));
    try {
      const isRight = ({ code, closed }) => code === "timeout" && closed.code === 1006 && closed.cause === "connectTimeout";
      await assert.rejects(connect(url, { WebSocket, mode, within: 100 }), isRight);
      // It was told why, and not asked again: it has chosen `tidegate.v1`.
      assert.equal(await all[0].closed, 4207);
      assert.equal(all.length, 1);
    } finally {
      stop();
    }
  }
});

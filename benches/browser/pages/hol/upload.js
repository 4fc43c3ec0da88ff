/** One upload over the slow link, with urgent messages meanwhile. */

import { Watch } from "./watch.js";
import { CONTENDERS } from "./contenders.js";

/** An urgent message: so many bytes, the first four of them its number. The server knows it by its size. */
const URGENT_BYTES = 32;
/** How often one is sent during the upload, and before it, in milliseconds. */
const URGENT_EVERY = 100;
const IDLE_EVERY = 50;
/** How many are sent over the idle link. */
const IDLE_MESSAGES = 5;

/** The browser's socket of whoever connected last: some contenders do not show theirs. */
let below;
const BrowsersOwn = globalThis.WebSocket;
globalThis.WebSocket = class extends BrowsersOwn {
  constructor(...parameters) {
    super(...parameters);
    below = this;
  }
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {object} options
 * @param {string} options.contender its name
 * @param {number} options.bytes of the upload
 * @param {number} options.pieceBytes of one message of it
 * @param {number} options.bytesPerSecond what the link takes
 * @param {number} [options.delay] for how many milliseconds what is under way may queue, where the contender can be told
 * @param {string} options.link where the slow link listens, as `ws://127.0.0.1:1234`
 * @param {string} options.server the same of the server behind it
 * @param {string} options.run a name for this upload that no other has had
 * @returns milliseconds, and bytes: `idle` has the latency of each message over the idle link; `urgent` of each during the
 * upload, with the time of its `send` since the upload began; `budgets` what the sender could tell at each of those, as
 * `budget` of a contender has it, if it has; `took` is until the server had all of the upload; `drift` how far the clocks
 * went apart; `nearest` the round trip by which they were compared
 */
export async function upload({ contender: name, bytes, pieceBytes, bytesPerSecond, delay, link, server, run }) {
  const query = `?run=${encodeURIComponent(run)}`;
  const watch = await Watch.open(new BrowsersOwn(`${server}/watch${query}`));
  const before = await watch.compareClocks();
  const contender = await CONTENDERS[name](`${link}/arrivals${query}`, bytesPerSecond, delay ?? undefined);
  const socket = below;

  /** When each urgent message was sent, by its number. */
  const sent = [];
  const sendUrgent = () => {
    const message = new Uint8Array(URGENT_BYTES);
    new DataView(message.buffer).setUint32(0, sent.length, true);
    sent.push(performance.now());
    contender.urgent(message);
  };
  for (let i = 0; i < IDLE_MESSAGES; i++) {
    sendUrgent();
    await pause(IDLE_EVERY);
  }
  await watch.wait(0, IDLE_MESSAGES);

  let largestBufferedAmount = 0;
  const look = () => (largestBufferedAmount = Math.max(largestBufferedAmount, socket.bufferedAmount));
  const piece = new Uint8Array(pieceBytes);
  const budgets = [];
  const began = performance.now();
  const timer = setInterval(() => {
    if (contender.budget) budgets.push(contender.budget());
    sendUrgent();
    look();
  }, URGENT_EVERY);
  let over = false;
  const arrived = watch.wait(bytes, 0).finally(() => {
    over = true;
    clearInterval(timer);
  });
  const sending = (async () => {
    for (let left = bytes; left > 0 && !over; left -= pieceBytes) {
      await contender.bulk(left < pieceBytes ? piece.subarray(0, left) : piece);
      look();
    }
  })();
  // Whatever fails first: a server that waits for the rest would wait for ever.
  await Promise.race([arrived, sending.then(() => arrived)]);
  const { bulk, urgent } = await watch.wait(bytes, sent.length);
  const after = await watch.compareClocks();
  await contender.close();
  watch.close();

  if (bulk.bytes !== bytes) throw new Error(`the server has ${bulk.bytes} of ${bytes} bytes`);
  const offset = (before.offset + after.offset) / 2;
  const latency = ([number, at]) => at - offset - sent[number];
  const inOrder = urgent.toSorted(([a], [b]) => a - b);
  return {
    idle: inOrder.slice(0, IDLE_MESSAGES).map(latency),
    urgent: inOrder.slice(IDLE_MESSAGES).map((one) => [sent[one[0]] - began, latency(one)]),
    budgets,
    took: bulk.at - offset - began,
    largestBufferedAmount,
    drift: after.offset - before.offset,
    nearest: Math.max(before.roundTrip, after.roundTrip),
  };
}

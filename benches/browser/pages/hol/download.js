/** One download over the slow link, with urgent messages meanwhile: {@link upload} the other way. */

import { Watch } from "./watch.js";
import { RECEIVERS } from "./contenders.js";

/**
 * An urgent message, known by its size: its number at 0, when it was sent by the server's clock at 8, and what its sender
 * could tell of its budget at 16 and 24.
 */
const URGENT_BYTES = 32;
/** How many come before the download. */
const IDLE_MESSAGES = 5;

/** @param {Parameters<typeof import("./upload.js").upload>[0]} options the same @returns the same */
export async function download({ contender: name, bytes, pieceBytes, delay, link, server, run }) {
  const watch = await Watch.open(new WebSocket(`${server}/watch?run=${encodeURIComponent(run)}`));
  const before = await watch.compareClocks();
  const { priorities, open } = RECEIVERS[name];
  const messages = Math.ceil(bytes / pieceBytes);
  const query = `?messages=${messages}&bytes=${pieceBytes}${priorities ? "&priorities=1" : ""}${delay ? `&delay=${delay}` : ""}`;
  /** When each urgent message was sent, by the server's clock, and arrived, by the page's. */
  const urgent = [];
  const budgets = [];
  let arrived = 0;
  let all;
  const over = new Promise((resolve) => (all = resolve));
  const socket = await open(`${link}/stream${query}`, (data) => {
    const now = performance.now();
    if (data.byteLength === URGENT_BYTES) {
      const told = new DataView(data);
      urgent.push([told.getFloat64(8, true), now]);
      budgets.push([told.getFloat64(16, true), told.getFloat64(24, true)]);
      return;
    }
    arrived += data.byteLength;
    if (arrived === messages * pieceBytes) all(now);
  });
  const ended = await over;
  const after = await watch.compareClocks();
  await socket.close();
  watch.close();
  const offset = (before.offset + after.offset) / 2;
  const sent = urgent.map(([at, arrived]) => [at - offset, arrived - (at - offset)]);
  // It begins with the first urgent message behind those.
  const began = sent[IDLE_MESSAGES][0];
  return {
    idle: sent.slice(0, IDLE_MESSAGES).map(([, latency]) => latency),
    urgent: sent.slice(IDLE_MESSAGES).map(([at, latency]) => [at - began, latency]),
    budgets: budgets.slice(IDLE_MESSAGES),
    took: ((ended - began) * bytes) / (messages * pieceBytes),
    largestBufferedAmount: 0,
    drift: after.offset - before.offset,
    nearest: Math.max(before.roundTrip, after.roundTrip),
  };
}

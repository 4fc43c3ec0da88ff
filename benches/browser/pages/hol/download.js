/** One download over the slow link, with urgent messages meanwhile: {@link upload} the other way. */

import { Watch } from "./watch.js";
import { RECEIVERS } from "./contenders.js";

/** An urgent message, known by its size: its number at 0, and when it was sent by the server's clock at 8. */
const URGENT_BYTES = 32;
/** How many come before the download. */
const IDLE_MESSAGES = 5;

/** @param {Parameters<typeof import("./upload.js").upload>[0]} options the same @returns the same */
export async function download({ contender: name, bytes, pieceBytes, link, server, run }) {
  const watch = await Watch.open(new WebSocket(`${server}/watch?run=${encodeURIComponent(run)}`));
  const before = await watch.compareClocks();
  const { priorities, open } = RECEIVERS[name];
  const messages = Math.ceil(bytes / pieceBytes);
  const query = `?messages=${messages}&bytes=${pieceBytes}${priorities ? "&priorities=1" : ""}`;
  /** When each urgent message was sent, by the server's clock, and arrived, by the page's. */
  const urgent = [];
  let arrived = 0;
  let all;
  const over = new Promise((resolve) => (all = resolve));
  const socket = await open(`${link}/stream${query}`, (data) => {
    const now = performance.now();
    if (data.byteLength === URGENT_BYTES) {
      urgent.push([new DataView(data).getFloat64(8, true), now]);
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
  // It begins as the last of those before it is sent, or a moment later.
  const began = sent[IDLE_MESSAGES - 1][0];
  return {
    idle: sent.slice(0, IDLE_MESSAGES).map(([, latency]) => latency),
    urgent: sent.slice(IDLE_MESSAGES).map(([at, latency]) => [at - began, latency]),
    took: ((ended - began) * bytes) / (messages * pieceBytes),
    largestBufferedAmount: 0,
    drift: after.offset - before.offset,
    nearest: Math.max(before.roundTrip, after.roundTrip),
  };
}

/** An upload in a page that is hidden, which nobody can look at without showing it. */

import { upload } from "./upload.js";

/** What a timer of so many milliseconds is seen to take. */
const TIMER = 10;
const TIMERS = 2;

const turned = () => new Promise((turn) => document.addEventListener("visibilitychange", turn, { once: true }));

/** @returns {Promise<number>} the shortest time that a timer of 10 ms took, in milliseconds */
async function shortestTimer() {
  // Those that are held up come together, once a second: the first has only a part of it to wait.
  await new Promise((resolve) => setTimeout(resolve, TIMER));
  let shortest = Infinity;
  for (let i = 0; i < TIMERS; i++) {
    const set = performance.now();
    await new Promise((resolve) => setTimeout(resolve, TIMER));
    shortest = Math.min(shortest, performance.now() - set);
  }
  return shortest;
}

/** An upload as {@link upload} does it, with what timers of this page took and whether it was hidden all the time. */
export async function observed(options) {
  const hidden = [document.hidden];
  const note = () => hidden.push(document.hidden);
  document.addEventListener("visibilitychange", note);
  const timer = await shortestTimer();
  const { took } = await upload(options);
  document.removeEventListener("visibilitychange", note);
  return { took, timer, wasHidden: hidden.every(Boolean), wasSeen: !hidden.some(Boolean) };
}

/** The same once the page is hidden. What came of it is left under `key`, where a page in front finds it, as JSON. */
export async function whenHidden(key, options) {
  try {
    while (!document.hidden) await turned();
    localStorage.setItem(key, JSON.stringify(await observed(options)));
  } catch (error) {
    localStorage.setItem(key, JSON.stringify({ error: String(error) }));
  }
}

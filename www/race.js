// @ts-check
/** The first part of the page: the same upload and the same pings in three lanes over the same slow link. */

import { amount, duration, rate, sha256, size } from "./format.js";
import { PIECE_BYTES, lanes, percentile } from "./lane.js";
import { draw } from "./plot.js";

/** How often a ping is sent in each lane, and how long before the upload begins, in milliseconds. */
const PING_EVERY = 100;
const IDLE_FOR = 1_000;

/** How often numbers change, in milliseconds: faster nobody can read. */
const NUMBERS_EVERY = 150;

/** What the link takes on the way to the server beside its rate, in milliseconds. */
const DELAY = 20;

/** After how much of the upload the server says so. */
const PROGRESS_BYTES = PIECE_BYTES;

const CLASSES = ["urgent", "normal", "bulk", "background"];

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const [button, rateField, sizeField, priorityField, budgetField, capField, acknowledgeField, typing] =
  ["race-start", "race-rate", "race-size", "race-priority", "race-budget", "race-cap", "race-acknowledge", "race-typing"].map(byId);
const plot = /** @type {SVGSVGElement} */ (byId("plot"));

/**
 * What the headless driver reads.
 *
 * @typedef {object} Result
 * @property {string} name
 * @property {number} pings answered, of those sent during the upload
 * @property {number} p50 of their latency, in milliseconds
 * @property {number} p99
 * @property {number} bytes that the server has
 * @property {string} sha256 of them
 * @property {string} sentSha256 of the upload
 * @property {number} ms until the server had all
 * @property {number} largestBufferedAmount
 */

/** @type {{ state: "idle" | "running" | "done" | "failed", error: string | null, results: Result[] }} */
const race = { state: "idle", error: null, results: [] };
Object.assign(globalThis, { race });

/** The race that is shown, and how it is ended. @type {{ lanes: import("./lane.js").Lane[], now: () => number, stop: () => void, reshape: () => void } | undefined} */
let current;

const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A slow link of this page's own, which lasts until it is closed. @param {number} bytesPerSecond */
async function openLink(bytesPerSecond) {
  const base = location.origin.replace(/^http/, "ws");
  const socket = new WebSocket(`${base}/link?rate=${bytesPerSecond}&delay=${DELAY}`);
  /** @type {string} */
  const told = await new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onclose = () => reject(new Error("This page's server offers no slow link"));
  });
  return {
    url: `ws://${location.hostname}:${JSON.parse(told).port}/upload?every=${PROGRESS_BYTES}`,
    reshape: (/** @type {number} */ rate) => socket.readyState === 1 && socket.send(`${rate} ${DELAY}`),
    close: () => socket.close(),
  };
}

/** Bytes without a pattern. @param {number} bytes */
function generate(bytes) {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += PIECE_BYTES) crypto.getRandomValues(data.subarray(at, at + PIECE_BYTES));
  return data;
}

// ---- the race ---------------------------------------------------------------------------------

async function run() {
  const bytesPerSecond = Number(rateField.value);
  const data = generate(Number(sizeField.value));
  const settings = {
    priority: priorityField.value,
    budgetBytes: Number(budgetField.value),
    maxBytesPerSecond: capField.checked ? bytesPerSecond * 0.95 : 0,
    acknowledges: acknowledgeField.checked,
  };
  const started = performance.now();
  const now = () => performance.now() - started;
  const all = lanes(now, (lane, text) => (byId(`typed-${lane}`).textContent = text));
  let stopped = false;
  /** @type {Awaited<ReturnType<typeof openLink>> | undefined} */
  let link;
  current = { lanes: all, now, stop: () => (stopped = true), reshape: () => link?.reshape(Number(rateField.value)) };
  show();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  try {
    const sent = await sha256(data.buffer);
    link = await openLink(bytesPerSecond);
    const { url } = link;
    await Promise.all(all.map((lane) => lane.connect(url, settings)));
    // Nothing that took its time before this is on the plot.
    const zero = now();
    const isOver = () => stopped || all.some(({ failure }) => failure);
    timer = setInterval(() => all.forEach((lane) => lane.arrived === undefined && lane.ping()), PING_EVERY);
    while (!isOver() && now() < zero + IDLE_FOR) await pause(PING_EVERY);
    if (!isOver()) all.forEach((lane) => void lane.upload(data));
    while (!isOver() && !all.every(({ done }) => done)) await pause(PING_EVERY / 2);
    const failed = all.find(({ failure }) => failure);
    if (failed) throw new Error(`${failed.name}: ${failed.failure}`);
    if (stopped) return "idle";
    race.results = all.map((lane) => result(lane, sent));
    return "done";
  } finally {
    clearInterval(timer);
    all.forEach((lane) => lane.close());
    link?.close();
  }
}

/** @param {import("./lane.js").Lane} lane @param {string} sentSha256 @returns {Result} */
function result(lane, sentSha256) {
  const { name, latencies, arrivedBytes: bytes, sha256, largestBufferedAmount } = lane;
  const [p50, p99] = [percentile(latencies, 0.5) ?? 0, percentile(latencies, 0.99) ?? 0];
  const ms = (lane.arrived ?? 0) - (lane.began ?? 0);
  return { name, pings: latencies.length, p50, p99, bytes, sha256, sentSha256, ms, largestBufferedAmount };
}

async function start() {
  if (race.state === "running") return current?.stop();
  Object.assign(race, { state: "running", error: null, results: [] });
  byId("race-error").textContent = "";
  byId("race-words").textContent = "";
  button.textContent = "Stop";
  button.classList.remove("primary");
  for (const field of [sizeField, priorityField, budgetField, capField, acknowledgeField]) field.disabled = true;
  try {
    race.state = /** @type {typeof race.state} */ (await run());
    if (race.state === "done") byId("race-words").textContent = conclusion();
  } catch (error) {
    race.state = "failed";
    race.error = `${error instanceof Error ? error.message : error}.`;
    byId("race-error").textContent = `${race.error} Start again.`;
  }
  button.textContent = "Start again";
  button.classList.add("primary");
  for (const field of [sizeField, priorityField, budgetField, capField, acknowledgeField]) field.disabled = false;
  show();
}

/** What came of it, in two sentences. */
function conclusion() {
  const [raw, plain, tidegate] = race.results.map(({ p50 }) => duration(p50));
  const equal = race.results.every(({ sha256, sentSha256 }) => sha256 === sentSha256);
  const whole = equal ? "All uploads arrived whole" : "An upload did not arrive whole";
  return `Half of the pings were back within ${raw} over the raw WebSocket, ${plain} in plain mode, ${tidegate} over tidegate.v1. ${whole}.`;
}

// ---- what is shown ----------------------------------------------------------------------------

let shownAt = 0;

/** Draws what is, and goes on with the next frame while the race does. */
function show() {
  const { lanes: all = [], now = () => 0 } = current ?? {};
  const isRunning = race.state === "running";
  const time = performance.now();
  const series = all.map(({ name, pings }) => ({
    name,
    known: pings.flatMap(({ sent, latency }) => (latency === undefined ? [] : [/** @type {[number, number]} */ ([sent, latency])])),
    waiting: pings.flatMap(({ sent, latency }) => (latency === undefined ? [/** @type {[number, number]} */ ([sent, now() - sent])] : [])),
  }));
  const lastAt = Math.max(0, ...all.map(({ arrived }) => arrived ?? 0));
  const expected = IDLE_FOR + (Number(sizeField.value) / Number(rateField.value)) * 1_050;
  const until = isRunning ? Math.max(expected, now()) : lastAt || expected;
  draw(plot, series, { until, mark: all[0]?.began });
  if (!isRunning || time - shownAt > NUMBERS_EVERY) {
    shownAt = time;
    all.forEach(showLane);
  }
  if (isRunning) requestAnimationFrame(show);
}

/** @param {import("./lane.js").Lane} lane @param {number} index */
function showLane(lane, index) {
  const set = (/** @type {string} */ name, /** @type {string} */ text) => (byId(`${name}-${index}`).textContent = text);
  const bar = (/** @type {string} */ id, /** @type {number} */ now, /** @type {number} */ most = now) => {
    for (const [name, amount] of /** @type {const} */ ([["--share", now], ["--most", most]])) {
      byId(id).style.setProperty(name, String(bytes ? Math.min(1, amount / bytes) : 0));
    }
  };
  const { latencies, ages, bytes, arrivedBytes, began, arrived, waiting } = lane;
  const latest = lane.pings.findLast(({ latency }) => latency !== undefined)?.latency;
  for (const [name, share] of /** @type {const} */ ([["p50", 0.5], ["p99", 0.99]])) {
    // Those without an answer will have taken longer than they have waited.
    const least = percentile([...latencies, ...ages], share);
    const isKnown = !ages.some((age) => age >= (least ?? 0));
    set(name, least === undefined ? "–" : `${isKnown || race.state !== "running" ? "" : "> "}${duration(least)}`);
  }
  const isLate = waiting > (latest ?? 0);
  set("now", latest === undefined && !waiting ? "–" : duration(isLate ? waiting : (latest ?? 0)));
  set("now-word", isLate && race.state === "running" ? "oldest waits" : "last ping");
  const took = ((arrived ?? performance.now()) - (began ?? 0)) / 1_000;
  const speed = arrived !== undefined && took > 0 ? `, ${rate(bytes / took)}` : "";
  set("upload", bytes ? `${size(arrivedBytes)} of ${size(bytes)}${speed}` : "–");
  bar(`upload-bar-${index}`, arrivedBytes);
  const { amount, queued } = lane.look();
  set("buffered", nowOrMost(amount, lane.largestBufferedAmount));
  bar(`buffered-bar-${index}`, amount, lane.largestBufferedAmount);
  queued.forEach((waits, level) => {
    const most = lane.mostQueued[level] ?? waits;
    set(`queued-${CLASSES[level]}`, nowOrMost(waits, most));
    bar(`queued-${CLASSES[level]}-bar-${index}`, waits, most);
  });
}

/** What there is while a race goes on, and then the most there was. @param {number} now @param {number} most both in bytes */
function nowOrMost(now, most) {
  return race.state === "running" || !most ? size(now) : `at most ${size(most)}`;
}

// ---- the page ---------------------------------------------------------------------------------

byId("race-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  void start();
});
// Until now a click would have sent the form away.
button.disabled = false;
rateField.addEventListener("change", () => (current && race.state === "running" ? current.reshape() : show()));
sizeField.addEventListener("change", () => show());
typing.addEventListener("input", () => {
  if (race.state === "running") current?.lanes.forEach((lane) => lane.type(typing.value));
});
new ResizeObserver(() => race.state !== "running" && show()).observe(plot);
byId("race-pings").textContent = amount(1_000 / PING_EVERY, "ping");

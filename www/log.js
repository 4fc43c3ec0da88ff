// @ts-check
/** The rows of the log: what each message was, and what came of it. */

import { amount, duration, size } from "./format.js";

/**
 * One line of the log. The fields are a contract with the headless driver, which reads
 * `globalThis.demo.rows`.
 *
 * @typedef {object} Row
 * @property {"text" | "file" | "feed" | "close"} kind
 * @property {string} label the text, the file's name, or the close code and reason
 * @property {"arraybuffer" | "blob" | null} binaryType form in which binary is received
 * @property {number} sentBytes
 * @property {number} receivedBytes
 * @property {string | null} sentSha256 of what left here
 * @property {string | null} serverSha256 as the server reports it
 * @property {string | null} receivedSha256 of what came back
 * @property {boolean | null} equal whether all digests that there should be are the same; of a close,
 *   whether the peer confirmed the code; null if there is nothing to compare
 * @property {number} ms from the call to the answer
 * @property {string | null} error what went wrong, for a human
 * @property {boolean} done
 */

const KINDS = { text: "Text", file: "File", feed: "Feed", close: "Close" };
const list = /** @type {HTMLOListElement} */ (document.getElementById("log"));
const totals = /** @type {HTMLElement} */ (document.getElementById("totals"));
const announce = /** @type {HTMLElement} */ (document.getElementById("announce"));

/** All rows, oldest first. @type {Row[]} */
export const rows = [];
/** @type {Map<Row, HTMLLIElement>} */
const entries = new Map();
/** Of all rows that have ended, in bytes. */
const sum = { sent: 0, received: 0 };
/** How many rows are shown; a server that floods the page does not fill it. */
const SHOWN = 500;

/**
 * Adds a row and shows it above the others.
 *
 * @param {Pick<Row, "kind" | "label"> & Partial<Row>} given
 * @returns {Row}
 */
export function addRow(given) {
  /** @type {Row} */
  const row = {
    binaryType: null,
    sentBytes: 0,
    receivedBytes: 0,
    sentSha256: null,
    serverSha256: null,
    receivedSha256: null,
    equal: null,
    ms: 0,
    error: null,
    done: false,
    ...given,
  };
  rows.push(row);
  const entry = document.createElement("li");
  entry.className = "entry";
  entries.set(row, entry);
  list.prepend(entry);
  if (list.childElementCount > SHOWN) list.lastElementChild?.remove();
  showRow(row);
  return row;
}

/** Ends a row and says so to those who listen. @param {Row} row @param {Partial<Row>} result */
export function finishRow(row, result) {
  Object.assign(row, result, { done: true });
  showRow(row);
  sum.sent += row.sentBytes;
  sum.received += row.receivedBytes;
  totals.textContent = `${size(sum.sent)} sent, ${size(sum.received)} received`;
  announce.textContent = `${KINDS[row.kind]} ${row.label}: ${verdict(row).text}`;
}

/** @param {Row} row @returns {{ name: string, text: string }} */
function verdict({ done, error, equal, kind, binaryType }) {
  if (error) return { name: "failed", text: "failed" };
  if (!done) return { name: "waiting", text: kind === "feed" ? "following" : kind === "close" ? "closing" : "under way" };
  if (kind === "close") return equal ? { name: "equal", text: "confirmed" } : { name: "none", text: "ended" };
  if (equal === null) return { name: "none", text: binaryType ? "done" : "received" };
  return equal ? { name: "equal", text: "equal" } : { name: "differs", text: "differs" };
}

/** Brings the entry of a row up to date. @param {Row} row */
export function showRow(row) {
  const entry = /** @type {HTMLLIElement} */ (entries.get(row));
  const { name, text } = verdict(row);
  entry.dataset.verdict = name;
  const label = element("span", "entry-label", "");
  // `bdi`: a label in a right-to-left script does not turn the line around.
  label.append(element("span", "entry-kind", `${KINDS[row.kind]} `), element("bdi", "", row.label || "(empty)"));
  label.title = row.label;
  entry.replaceChildren(
    label,
    element("span", "verdict", text),
    element("span", "entry-facts", facts(row)),
    element("span", "entry-time", row.done ? duration(row.ms) : ""),
  );
  const digests = element("dl", "digests", "");
  for (const [term, digest] of Object.entries({ sent: row.sentSha256, server: row.serverSha256, received: row.receivedSha256 })) {
    if (!digest) continue;
    const pair = element("div", "", "");
    const value = element("dd", "", digest.slice(0, 8));
    value.title = digest;
    pair.append(element("dt", "", term), value);
    digests.append(pair);
  }
  entry.append(digests);
  if (row.error) entry.append(element("p", "error", row.error));
}

/** @param {Row} row */
function facts({ kind, sentBytes, receivedBytes, binaryType, done }) {
  if (kind === "close") return "";
  const form = binaryType && { arraybuffer: "ArrayBuffer", blob: "Blob" }[binaryType];
  const parts = kind === "feed" || (!form && !sentBytes && receivedBytes) ? [] : [`${size(sentBytes)} sent`];
  if (receivedBytes || done) parts.push(`${size(receivedBytes)} received`);
  if (form && kind === "file") parts.push(form);
  return parts.join(" · ");
}

/** What a feed is called while it runs. @param {number} n */
export function feedLabel(n) {
  return amount(n, "row");
}

/** @param {string} name @param {string} className @param {string} text */
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

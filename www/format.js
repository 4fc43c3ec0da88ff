// @ts-check
/** Numbers and digests, as the page shows them. */

const count = new Intl.NumberFormat("en");
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Between a number and its unit, where no line ends. */
const GAP = "\u00a0";

/** `12 B`, `3.4 KiB`, `64 MiB`. @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${one.format(bytes)}${GAP}${units[unit]}`;
}

/** `2 MB/s`, of bytes a second. @param {number} bytes */
export function rate(bytes) {
  return `${one.format(bytes / 1e6)}${GAP}MB/s`;
}

/** `1 row`, `12,000 rows`. @param {number} n @param {string} noun */
export function amount(n, noun) {
  return `${count.format(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** `8.4 ms`, `1.3 s`. @param {number} ms */
export function duration(ms) {
  if (ms >= 1000) return `${one.format(ms / 1000)}${GAP}s`;
  return `${ms < 10 ? one.format(ms) : Math.round(ms)}${GAP}ms`;
}

/** Bytes of a string in UTF-8. @param {string} text */
export function utf8Length(text) {
  return new TextEncoder().encode(text).length;
}

/** SHA-256 in hex, of the UTF-8 form for text. @param {string | ArrayBuffer | Blob} data */
export async function sha256(data) {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data instanceof Blob ? await data.arrayBuffer() : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Checks of what is given to the `WebSocket` constructor and to `close`, made before it is called:
 * browsers report these as different exceptions, or not at all.
 */

import { byteLength } from "./data.js";
import { TidegateError, invalid } from "./errors.js";

/** RFC 9110 section 5.6.2: a token, which a subprotocol name has to be (RFC 6455 section 4.1). */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** What relative addresses resolve against: the document's base, or a worker's own address. */
function hostBase(): string | undefined {
  return globalThis.document?.baseURI ?? globalThis.location?.href;
}

/** A whole address as errors show it: without its query, in which a token may be, and without user and password. */
export function shown(address: string): string {
  return address.replace(/^(wss?:..)[^/]*@|\?.*/g, "$1");
}

/**
 * The absolute `ws:` or `wss:` address that `url` means.
 *
 * `/path`, `//host/path` and `http(s):` addresses resolve as in the WHATWG WebSockets standard,
 * against `base` (default: the page's or worker's).
 *
 * @throws {@link TidegateError} with the code `url`: not an address, another scheme, a fragment
 * (an empty one as well), or relative where there is no base: in Node, and in a worker made from
 * a `blob:` address.
 */
export function resolveAddress(url: string | URL, base = hostBase()): string {
  let address: URL;
  try {
    address = new URL(url, base);
  } catch {
    // Without the cause, in which Node has the address once more.
    throw new TidegateError(
      "url",
      // Where a password ends nobody knows who cannot read the rest; or there may be one in what looks like a query.
      `"${String(url).replace(/.*[?#].*@.*|.*@|[?#].*/gs, "")}" is not a WebSocket address; give a full ws:// or wss:// address` +
        // A `blob:` base is opaque: nothing is relative to it. Firefox would take the page's instead.
        (/^\w+:/.test(String(url)) || (base && !base.startsWith("blob:")) ? "" : ", since there is no page to resolve it against"),
    );
  }
  // WHATWG WebSockets, "get a URL record": http and https stand for ws and wss.
  address.protocol = address.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(address.protocol)) {
    throw new TidegateError("url", `the address has the scheme ${address.protocol} instead of ws: or wss:`);
  }
  // `hash` is empty for a lone "#", which is a fragment none the less.
  if (address.href.includes("#")) {
    throw new TidegateError("url", 'the address has a fragment; remove it');
  }
  return address.href;
}

/**
 * The subprotocols to offer, always as an array: a string with a comma would be one invalid name.
 *
 * @throws {@link TidegateError} with the code `protocols`: a name that is empty, repeated or not a
 * token, so one with a space, comma or slash.
 *
 * Specification: RFC 6455 section 4.1, item 10.
 */
export function checkProtocols(protocols: string | readonly string[] | null | undefined): string[] {
  const given = protocols ?? [];
  const names: string[] = Array.isArray(given) ? [...given] : [given as string];
  names.forEach((name, index) => {
    if (typeof name !== "string" || !TOKEN.test(name) || names.indexOf(name) !== index) {
      throw new TidegateError(
        "protocols",
        `subprotocol "${String(name)}" is repeated or not a name; use letters, digits and !#$%&'*+-.^_\`|~`,
      );
    }
  });
  return names;
}

/**
 * A close code that an application may send.
 *
 * @throws {@link TidegateError} with the code `closeCode`.
 *
 * Specification: WHATWG WebSockets, `close(code, reason)`, step 1.
 */
export function checkCloseCode(code: number): number {
  if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999)) {
    throw new TidegateError("closeCode", `close code ${String(code)} may not be sent; use 1000 or 3000 to 4999`);
  }
  return code;
}

/**
 * A close reason that fits into its frame, of which the code takes 2 of 125 bytes.
 *
 * @throws {@link TidegateError} with the code `closeReason`: longer than 123 bytes of UTF-8, or no string.
 *
 * Specification: RFC 6455 section 5.5.
 */
export function checkCloseReason(reason: string): string {
  if (typeof reason !== "string") throw new TidegateError("closeReason", "the close reason is no string; give one");
  const bytes = byteLength(reason);
  if (bytes > 123) {
    throw new TidegateError("closeReason", `the close reason has ${bytes} bytes of UTF-8; shorten it to 123`);
  }
  return reason;
}

/**
 * Options as they are given, none if that is null or undefined; `wanted` is what an error asks for.
 *
 * @throws {@link TidegateError} with the code `option`: no object, or an array.
 */
export function checkOptions<T extends object>(given: T | null | undefined, wanted = "an object"): T {
  const options = given ?? ({} as T);
  if (typeof options !== "object" || Array.isArray(options)) {
    throw invalid("options", given, wanted);
  }
  return options;
}

/**
 * A number from `least` to `most`, by default one of bytes, of which 0 are not none; `fallback` if not given.
 *
 * @throws {@link TidegateError} with the code `option`: another number, or none.
 */
export function checkNumber(
  name: string,
  given: number | null | undefined,
  fallback: number,
  wanted = "0 to 2^53",
  most = 2 ** 53,
  least = 0,
): number {
  const number = given ?? fallback;
  if (typeof number === "number" && number >= least && number <= most) return number;
  throw invalid(name, given, wanted);
}

/**
 * A bound or a duration as the wasm takes it: `fallback` if not given, 0 (none) for 0 and Infinity.
 *
 * @throws {@link TidegateError} with the code `option`: negative, or not a number.
 */
export function checkAmount(name: string, value: number | undefined, fallback: number): number {
  const amount = checkNumber(name, value, fallback, "a number, 0 for none", Infinity);
  // Rounded up, or a duration below a millisecond would switch its deadline off.
  return amount === Infinity ? 0 : Math.ceil(amount);
}

/**
 * Which of `choices` it is, by its index.
 *
 * @throws {@link TidegateError} with the code `option`: none of them.
 */
export function checkChoice(name: string, value: string, choices: readonly string[]): number {
  const index = choices.indexOf(value);
  if (index < 0) throw invalid(name, value, choices.join(" or "));
  return index;
}

/**
 * A duration in milliseconds, 0 for none. As {@link checkAmount}, and at most 2^31 - 1 (24.8 days):
 * a longer timer would fire at once.
 */
export function checkMilliseconds(name: string, value: number | undefined, fallback: number): number {
  return Math.min(checkAmount(name, value, fallback), 0x7fffffff);
}

/**
 * A signal, of whichever realm or library.
 *
 * @throws {@link TidegateError} with the code `option`: anything else, such as a controller.
 */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  if (signal != undefined && !signal.addEventListener) throw invalid("signal", signal, "an AbortSignal");
}

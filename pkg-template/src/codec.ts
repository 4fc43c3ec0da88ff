/** Typed messages: how values become messages and messages become values. */

import type { Message, Sendable } from "./data.js";

/**
 * How the values of an application travel.
 *
 * Both functions are synchronous. What they throw becomes the `cause` of a `TidegateError` with the
 * code `encode` (`send` rejects, `trySend` throws; nothing is sent) or `decode` (the one `recv`,
 * `tryRecv` or `next` fails; the following go on).
 */
export interface Codec<In, Out> {
  /** The message that carries `value`. */
  encode(value: Out): Sendable;
  /** The value that `message` carries; never `undefined`, which `recv` gives at the end. */
  decode(message: Message): In;
}

/**
 * JSON in text messages, by the platform's `JSON`. Used only when given as `codec`; it checks
 * that what arrives is JSON, not that it has the type named.
 *
 * @example
 * ```ts
 * const socket = await connect<FromServer, ToServer>(url, { codec: json });
 * ```
 */
// `any`: this one codec serves every pair of types, which the caller names.
export const json: Codec<any, any> = {
  encode(value: unknown): string {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new TypeError(`JSON has no form for ${typeof value}`);
    return text;
  },
  decode(message: Message): unknown {
    if (typeof message !== "string") throw new TypeError("a binary message where JSON text was expected");
    return JSON.parse(message);
  },
};

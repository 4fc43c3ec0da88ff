/** How a message is sent, and what is kept of those who wait. */

import { checkChoice, checkNumber, checkOptions, checkSignal } from "./address.js";
import { now } from "./clock.js";
import { TidegateError, invalid } from "./errors.js";
import { PRIORITIES, type Count, type Priority } from "./stats.js";
import type { Closed, Ticket } from "./ticket.js";

/** Options of `Socket.trySend`. */
export interface TrySendOptions {
  /**
   * `"urgent"` goes before everything else, `"bulk"` is for large and patient messages such as uploads,
   * `"background"` goes when nothing else wants to. Default `"normal"`. Each lower one that has something to
   * send gets a sixteenth of what goes out none the less. What the browser has been given already nothing
   * overtakes.
   */
  priority?: Priority | undefined;
  /**
   * A name. Messages of one flow and priority keep their order; the flows of a priority share it evenly, by
   * bytes. The server does not see them. Default: the one without a name, which is another than that named `""`.
   */
  flow?: string | undefined;
  /**
   * A key, of which this is the newest value: a queued message of the same key is dropped (`superseded`), and
   * this one takes its place in the queue. With another priority or flow it goes to the end of its own. A value
   * is the newest from the moment on at which there is room for it: one that waits for room in another line may
   * replace a newer one, so that a key is best kept to one priority and flow.
   */
  latest?: string | undefined;
  /**
   * Milliseconds that the message is worth sending: if it has not left the queue by then, it never does
   * (`expired`), nor does it wait for room any longer. 0 or less has passed at once, so that `due - Date.now()` will
   * do. Default none, as `Infinity`.
   *
   * What has left the queue is beyond it: browser and kernel may hold that back for longer.
   */
  deadline?: number | undefined;
  /**
   * Detaches the buffer that is sent (for a view: the one below it) instead of keeping a copy
   * while it is queued. Default false. Without effect on text, Blobs and shared memory.
   */
  transfer?: boolean | undefined;
}

/** Options of `Socket.send`. */
export interface SendOptions extends TrySendOptions {
  /** Ends the wait for room, or takes the message out of the queue while it is there. */
  signal?: AbortSignal | undefined;
}

/** How a message is sent, checked. */
export interface Way {
  /** An index into `PRIORITIES`. */
  readonly priority: number;
  readonly flow: string | undefined;
  readonly latest: string | undefined;
  /** When its deadline is, by `clock.ts`. */
  readonly due: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** That of a plain `send`. */
const PLAIN: Way = { priority: 1, flow: undefined, latest: undefined, due: undefined, signal: undefined };

/** A flow that has something queued. */
export interface Flow {
  readonly number: number;
  readonly queued: Count;
}

/** A message that is queued. */
export interface Queued {
  readonly ticket: Ticket;
  readonly way: Way;
  /** Which of the calls of `send` and `trySend` it came by. */
  readonly came: number;
  readonly flow: Flow;
  readonly bytes: number;
  /** By `clock.ts`. */
  readonly since: number;
  /** The number of the mark that is set behind it next. */
  readonly mark: number;
  readonly cancel: () => void;
}

/** A read that waits for a message. */
export interface Reader {
  /** Tries again to settle it. */
  attempt(): void;
  /** Settles it as at the end, for an iterator that is left. */
  leave(): void;
  readonly owner: object | undefined;
}

/** A name that is given, or not. */
function named(what: string, name: unknown): string | undefined {
  if (typeof (name ?? "") === "string") return (name as string | null) ?? undefined;
  throw invalid(what, name, "a string");
}

/**
 * The options of a message, checked. What is null is not given.
 *
 * @throws {@link TidegateError} with the code `option`.
 */
export function chosen(options: SendOptions | null | undefined): Way {
  if (options == undefined) return PLAIN;
  const { priority, flow, latest, deadline, signal } = checkOptions(options);
  const within = checkNumber("deadline", deadline, Infinity, "milliseconds", Infinity, -Infinity);
  checkSignal(signal);
  return {
    priority: checkChoice("priority", priority ?? "normal", PRIORITIES),
    flow: named("flow", flow),
    latest: named("latest", latest),
    due: within < Infinity ? now() + Math.max(0, within) : undefined,
    signal: signal ?? undefined,
  };
}

/** For those who wait for what was never sent, or may not have been. */
export function notSent(closed: Closed | undefined): TidegateError {
  return new TidegateError("closed", "not everything is known to have been sent before the end; see `closed`", { closed });
}

/** For a message that was not taken. */
export function refused(data: unknown): TidegateError {
  return new TidegateError("closed", "the connection is closed or closing; nothing was sent", { data });
}

/** The numbers of a connection. */

import type { Core } from "./core.js";
import type { Amount } from "./ticket.js";

/** How urgent a message is. */
export type Priority = (typeof PRIORITIES)[number];

/** The highest first, in the order of the wasm's numbers. */
export const PRIORITIES = ["urgent", "normal", "bulk", "background"] as const;

/** What became of the messages of one priority, since the connection was made. */
export interface ClassStats {
  /** Queued now. */
  readonly queued: Amount;
  /** Given to the socket. */
  readonly handedOver: Amount;
  /** Dropped because their deadline had passed. */
  readonly expired: Amount;
  /** Dropped for a newer value of their key. */
  readonly superseded: Amount;
  /** Taken back. */
  readonly cancelled: Amount;
  /**
   * How long those that were given to the socket had been queued, in 32 classes of time: the first counts those
   * that have not waited, class `i` those from 2^(i-1) to 2^i microseconds, the last all from 2^30 on.
   */
  readonly waits: readonly number[];
}

/** Numbers of one connection. */
export interface Stats {
  /** By priority. */
  readonly classes: Readonly<Record<Priority, ClassStats>>;
  /**
   * Bytes that stand in the socket's own buffer: as it was seen last, and what it was given since; it is looked at only
   * when a message has to wait. What is under way instead, if the server acknowledges and that is less.
   */
  readonly bufferedAmount: number;
  /** How many may stand there, or be under way: see `budgetBytes` of `ConnectOptions` for how it begins and grows. */
  readonly budgetBytes: number;
  /**
   * What has left it in a second, over the last quarter of a second or more in which messages had to wait; 0 if none had.
   * If the server acknowledges, the fastest that it has received of late, over the time of one message there and back:
   * more than the link's rate where answers come in lumps.
   */
  readonly bytesPerSecond: number;
  /** Received, and not taken by the application. */
  readonly received: Amount;
}

/** An amount that grows and falls. */
export interface Count {
  messages: number;
  bytes: number;
}

/** {@link ClassStats} as they are counted. */
export interface ClassCounts {
  readonly queued: Count;
  readonly handedOver: Count;
  readonly expired: Count;
  readonly superseded: Count;
  readonly cancelled: Count;
  readonly waits: number[];
}

/** Nothing yet. */
export const count = (): Count => ({ messages: 0, bytes: 0 });

/** Nothing has been sent yet. */
export function newCounts(): ClassCounts[] {
  return PRIORITIES.map(() => ({
    queued: count(),
    handedOver: count(),
    expired: count(),
    superseded: count(),
    cancelled: count(),
    waits: new Array<number>(32).fill(0),
  }));
}

/** Counts `bytes` more, or with `messages` -1 less. */
export function add(to: Count, bytes: number, messages = 1): void {
  to.messages += messages;
  to.bytes += messages * bytes;
}

/** Whether `bytes` more are within these bounds, 0 for none. A message that is larger than them may be alone. */
export function hasRoom({ messages, bytes: sum }: Count, bytes: number, maxBytes: number, maxMessages: number): boolean {
  return !messages || ((!maxMessages || messages < maxMessages) && (!maxBytes || sum + bytes <= maxBytes));
}

/** Counts a message that was given to the socket after so many milliseconds in the queue. */
export function addSent({ handedOver, waits }: ClassCounts, bytes: number, milliseconds: number): void {
  add(handedOver, bytes);
  waits[Math.min(31, 32 - Math.clz32(Math.min(milliseconds * 1000, 2 ** 31)))]!++;
}

/**
 * The numbers of a connection, of which the socket counts `counts` and what was `received`, and the wasm the rest, if
 * it is still there.
 */
export function readStats(counts: readonly ClassCounts[], received: Amount, core: Core | undefined): Stats {
  const read = (index: number): number => core?.stat(index) ?? 0;
  const classes = {} as Record<Priority, ClassStats>;
  PRIORITIES.forEach((name, index) => (classes[name] = structuredClone(counts[index]!)));
  return {
    classes,
    bufferedAmount: read(0),
    budgetBytes: read(1),
    bytesPerSecond: read(2),
    received: { ...received },
  };
}

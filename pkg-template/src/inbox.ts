/**
 * The queue of messages that the application has not taken yet, bounded: for Rust the same is `proto/recv.rs` in the
 * crate. It stays with the facade, where the values are, so that a message taken costs no call of the wasm.
 *
 * Not here: who waits for a message.
 */

import { add, count, hasRoom, type Count } from "./stats.js";
import type { Amount } from "./ticket.js";

/** What becomes of a message for which there is no room; any other number is the code to close with. */
const DROP_OLDEST = 1;
const DROP_NEWEST = 2;

interface Item {
  readonly value: unknown;
  readonly bytes: number;
}

/** Messages in the order of their arrival. */
export class Inbox {
  /** 0 for none, as both become where the peer waits for credit. */
  protected maxBytes: number;
  protected maxMessages: number;
  readonly #policy: number;
  /** Those that came last, the newest last. */
  #newer: Item[] = [];
  /** Those before them, the oldest last: so none is moved more than once. */
  #older: Item[] = [];
  /** What waits. */
  readonly queued: Count = count();
  /** What was dropped so far. */
  dropped: Amount = count();

  /**
   * Bounds in bytes and messages, 0 for none. `policy` is what becomes of a message that does not fit: 1 drops the
   * oldest until it does, 2 drops it, a close code is told.
   */
  constructor(maxBytes: number, maxMessages: number, policy: number) {
    this.maxBytes = maxBytes;
    this.maxMessages = maxMessages;
    this.#policy = policy;
  }

  /**
   * Appends a message, or deals with it as the policy has it; the code to close with, if that is to be, else 0. One
   * that is larger than the bound is taken when nothing waits, and a drop leaves at least one message.
   */
  put(value: unknown, bytes: number): number {
    while (!hasRoom(this.queued, bytes, this.maxBytes, this.maxMessages)) {
      if (this.#policy > DROP_NEWEST) return this.#policy;
      const dropped = this.#policy === DROP_OLDEST ? this.#shift()! : { bytes };
      this.dropped = { messages: this.dropped.messages + 1, bytes: this.dropped.bytes + dropped.bytes };
      if (this.#policy === DROP_NEWEST) return 0;
    }
    this.#newer.push({ value, bytes });
    add(this.queued, bytes);
    return 0;
  }

  /** The oldest message, or undefined. */
  take(): unknown {
    return this.#shift()?.value;
  }

  #shift(): Item | undefined {
    if (!this.#older.length) [this.#newer, this.#older] = [this.#older, this.#newer.reverse()];
    const item = this.#older.pop();
    if (item) add(this.queued, item.bytes, -1);
    return item;
  }
}

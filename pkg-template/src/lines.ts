/** Those who wait for room to send. */

import { now } from "./clock.js";
import { snapshot, type Parcel } from "./data.js";
import { aborted } from "./errors.js";
import type { Ticket } from "./ticket.js";
import { refused, type Way } from "./way.js";

/** One who waits. */
interface Waiting {
  readonly message: Parcel;
  readonly way: Way;
  /** Which of the calls of `send` and `trySend` it is. */
  readonly came: number;
  /** Takes it out of its line. */
  leave(): void;
  readonly resolve: (ticket: Ticket) => void;
  readonly reject: (error: unknown) => void;
}

/** Gives a message to the queue, and calls `leave` first; `undefined` if there is no room; throws if closed. */
type Offer = (message: Parcel, way: Way, came: number, leave: () => void) => Ticket | undefined;

/** Which line a message waits in. */
function lane({ priority, flow }: Way): number | string {
  return flow === undefined ? priority : priority + flow;
}

/** A line for each priority and flow, so that an upload that waits keeps nobody else waiting. */
export class Lines {
  readonly #lines = new Map<number | string, Set<Waiting>>();
  readonly #offer: Offer;
  /** Whether those who wait are to be offered, or are being. */
  #isAdmitting = false;

  constructor(offer: Offer) {
    this.#offer = offer;
  }

  /** Whether somebody waits for the same room already. */
  hasSome(way: Way): boolean {
    return this.#lines.size > 0 && this.#lines.has(lane(way));
  }

  /** Waits for room. */
  join(message: Parcel, way: Way, came: number): Promise<Ticket> {
    snapshot(message);
    const { signal, due } = way;
    const key = lane(way);
    return new Promise((resolve, reject) => {
      const line = this.#lines.get(key) ?? new Set<Waiting>();
      const leave = (): void => {
        // It may have left already, and another line have come of it.
        if (line.delete(waiting) && !line.size) this.#lines.delete(key);
        signal?.removeEventListener("abort", onAbort);
        clearTimeout(timer);
      };
      const waiting: Waiting = {
        message,
        way,
        came,
        leave,
        resolve: (ticket) => (leave(), resolve(ticket)),
        reject: (error) => (leave(), reject(error)),
      };
      const onAbort = (): void => {
        waiting.reject(aborted(signal, { data: message.data }));
        // Whoever is next may fit.
        this.admit();
      };
      signal?.addEventListener("abort", onAbort);
      let timer: ReturnType<typeof setTimeout> | undefined;
      // It may be early: by a part of a millisecond, where the clock has gone back, and in 24 days.
      const arm = (): void => {
        timer = setTimeout(() => {
          if (this.#admitted(waiting)) this.admit();
          else if (line.has(waiting)) arm();
        }, Math.min(Math.ceil(due! - now()) + 1, 0x7fffffff));
      };
      if (due !== undefined) arm();
      this.#lines.set(key, line.add(waiting));
    });
  }

  /**
   * Has those who wait offered until there is no room for them. Not from here, which may be inside the wasm, or in the
   * midst of another offer.
   */
  admit(): void {
    if (this.#isAdmitting || !this.#lines.size) return;
    this.#isAdmitting = true;
    queueMicrotask(() => {
      while (this.#firsts().some((first) => this.#admitted(first)));
      this.#isAdmitting = false;
    });
  }

  /** Nobody gets room any more. */
  refuse(): void {
    for (const line of this.#lines.values()) {
      for (const { message, reject } of line) reject(refused(message.data));
    }
  }

  /** The first of each line. Who waits longest goes first, whichever the line. */
  #firsts(): Waiting[] {
    return Array.from(this.#lines.values(), (line) => line.values().next().value!).sort((a, b) => a.came - b.came);
  }

  /** Whether one who waits does so no more. */
  #admitted({ message, way, came, leave, resolve, reject }: Waiting): boolean {
    try {
      const ticket = this.#offer(message, way, came, leave);
      if (!ticket) return false;
      resolve(ticket);
    } catch (error) {
      reject(error);
    }
    return true;
  }
}

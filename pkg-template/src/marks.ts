/** Marks in the order of queueing, for those who wait until all that was queued before has ended. */

import type { Outcome } from "./ticket.js";

interface Mark {
  /** How many messages before it, and behind the mark before it, have not ended. */
  open: number;
  readonly resolve: (isLost: boolean) => void;
}

/** Marks that are not passed yet. They are known by how many were set. */
export class Marks {
  readonly #ahead: Mark[] = [];
  #passed = 0;
  /** How many messages are before one of them. */
  #open = 0;
  /** The number of the first mark before which a message was lost with the connection, or will have been. */
  #lost = Infinity;

  /** The number of the mark that is set next: that of every message queued until then. */
  get next(): number {
    return this.#passed + this.#ahead.length;
  }

  /**
   * Sets a mark when `queued` messages have not ended. When it is passed, tells whether one before it was lost with the
   * connection, also if that was before it was set.
   */
  set(queued: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.#ahead.push({ open: queued - this.#open, resolve });
      this.#open = queued;
      this.#pass();
    });
  }

  /** A message has ended that was queued before the mark of that number. */
  end(number: number, outcome: Outcome): void {
    if (number < this.#lost && (outcome === "unsent" || outcome === "unknown")) this.#lost = number;
    const mark = this.#ahead[number - this.#passed];
    if (!mark) return;
    mark.open--;
    this.#open--;
    this.#pass();
  }

  #pass(): void {
    while (this.#ahead[0]?.open === 0) {
      this.#ahead.shift()!.resolve(this.#passed++ >= this.#lost);
    }
  }
}

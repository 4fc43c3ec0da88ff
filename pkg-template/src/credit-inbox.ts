/**
 * What waits for the application in tidegate mode, where there is no bound but the credit: of that an item costs 64 beside its
 * bytes, so that it may not cost much more of memory. Which a buffer of few bytes does in any JavaScript, by hundreds.
 */

import { Inbox } from "./inbox.js";

/** Where an item came from, for the credit that is due when it is taken. */
export interface Origin {
  readonly key: number;
  readonly serial: number;
  readonly cost: number;
}

/** As long as no more messages than these wait, somebody seems to take them, and nothing is packed. */
const FEW = 64;
/** Bytes up to which a buffer is packed; above, what it costs beside them is less than they are. */
const SMALL = 512;
/** How many numbers go with each value: its bytes, or -1 less than them if it is packed; key, serial and cost. */
const NUMBERS = 4;

/** A receive queue whose peer waits for credit, once it is known to. */
export class CreditInbox extends Inbox {
  #values: unknown[] = [];
  #numbers: number[] = [];
  /** How many of them were taken. */
  #from = 0;
  #origin: Origin | undefined;
  /** Told of what was taken, and whether nothing else waits. */
  took: ((origin: Origin, isLast: boolean) => void) | undefined;

  /** It is in tidegate mode. Nothing waits yet. */
  unbind(took: (origin: Origin, isLast: boolean) => void): void {
    this.took = took;
  }

  /** Where the next item that is put in comes from. */
  note(origin: Origin): void {
    this.#origin = origin;
  }

  override put(value: unknown, bytes: number): number {
    if (!this.took) return super.put(value, bytes);
    const { key, serial, cost } = this.#origin!;
    const isPacked = bytes <= SMALL && this.queued.messages > FEW && value instanceof ArrayBuffer;
    this.#values.push(isPacked ? packed(value) : value);
    this.#numbers.push(isPacked ? -1 - bytes : bytes, key, serial, cost);
    this.queued.messages++;
    this.queued.bytes += bytes;
    return 0;
  }

  override take(): unknown {
    if (!this.took) return super.take();
    if (!this.queued.messages) return undefined;
    const at = this.#from++;
    const numbers = this.#numbers;
    const size = numbers[at * NUMBERS]!;
    const origin = { key: numbers[at * NUMBERS + 1]!, serial: numbers[at * NUMBERS + 2]!, cost: numbers[at * NUMBERS + 3]! };
    const held = this.#values[at];
    const value = size < 0 ? unpacked(held as string) : held;
    this.queued.messages--;
    this.queued.bytes -= size < 0 ? -1 - size : size;
    // Or it would be kept.
    this.#values[at] = undefined;
    // Most readers take what is there in one go. Who never does keeps twice what is there.
    if (this.#from === this.#values.length) {
      this.#values.length = numbers.length = this.#from = 0;
    } else if (this.#from > 1000 && this.#from * 2 > this.#values.length) {
      this.#values.splice(0, this.#from);
      numbers.splice(0, this.#from * NUMBERS);
      this.#from = 0;
    }
    this.took(origin, !this.queued.messages);
    return value;
  }
}

/** Bytes as a text of as many characters. */
function packed(buffer: ArrayBuffer): string {
  return String.fromCharCode(...new Uint8Array(buffer));
}

function unpacked(text: string): ArrayBuffer {
  return Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer;
}

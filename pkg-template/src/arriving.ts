/** An item that arrives in parts. */

/** Room for an item is made when a fourth of it has arrived: never as much as a peer only says. */
const AHEAD = 4;

/** An item of which a part has arrived. Parts are copied as they come: the memory in which they stand is somebody else's. */
export class Arriving {
  readonly isText: boolean;
  /** Its size, below 0 if that is not known. */
  readonly #total: number;
  #filled = 0;
  #parts: Uint8Array[] = [];
  /** All of it, once there is room for that. */
  #whole: Uint8Array<ArrayBuffer> | undefined;

  constructor(isText: boolean, total: number) {
    this.isText = isText;
    this.#total = total;
  }

  /** The next part. */
  add(part: Uint8Array): void {
    const from = this.#filled;
    this.#filled += part.length;
    if (this.#whole) this.#whole.set(part, from);
    // Most items have one part.
    else if (part.length === this.#total) this.#whole = new Uint8Array(part);
    else if (this.#total < 0 || this.#filled * AHEAD < this.#total) this.#parts.push(part.slice());
    else {
      this.#whole = joined([...this.#parts, part], this.#total);
      this.#parts = [];
    }
  }

  /** What has arrived, if that is all of it. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#whole ?? joined(this.#parts);
  }
}

/** The bytes of all parts, one behind the other, and room for those that follow, up to `size`. */
export function joined(
  parts: readonly Uint8Array[],
  size = parts.reduce((sum, { length }) => sum + length, 0),
): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The connections of a server: how many there are, and how they end when it goes away. */

import { checkMilliseconds, checkNumber, checkOptions } from "./address.js";
import type { ChannelSocket } from "./channels-api.js";
import type { TidegateBacked } from "./channels-host.js";
import { now } from "./clock.js";
import { invalid } from "./errors.js";
import type { PeerSocket } from "./peer-socket.js";

/** How many connections are served at the same time. */
export interface ConnectionLimits {
  /** In all, those that are being accepted included. Default 10,000; `Infinity`: no bound. */
  maxConnections?: number | undefined;
  /**
   * From one address of IPv4, or from one network of 64 bits of IPv6, which is what one customer has. Those of whom no
   * address is known count as one. Default `Infinity`, as behind a proxy all come from the same.
   */
  maxPerAddress?: number | undefined;
}

/** How many connections there are and were. */
export interface ConnectionCounts {
  /** Those that are open or closing. */
  readonly open: number;
  /** Those that are being accepted. */
  readonly pending: number;
  /** All that were ever accepted. */
  readonly accepted: number;
  /** All that found no place. */
  readonly refused: number;
}

/** Options of {@link shutdown}; all in milliseconds. */
export interface ShutdownOptions {
  /** For how long what has begun may go on. Default 10,000; 0: no deadline. */
  drain?: number | undefined;
  /** After how much time clients are to come back, which they are told in tidegate mode. Default 0. */
  reconnectAfter?: number | undefined;
  /** Up to how much later, at random, so that not all come at once. Default 5,000. */
  jitter?: number | undefined;
}

type AnySocket = ChannelSocket<any, any>;

/** What a socket of `accept` is made of. */
interface Parts {
  readonly backed: TidegateBacked;
  readonly raw: PeerSocket;
}

const parts = new WeakMap<AnySocket, Parts>();

/** A place for one connection. Not exported from the package. */
export interface Place {
  /** A connection has it, until that ends. */
  hold(socket: AnySocket): void;
  leave(): void;
}

/** Keeps what a socket is made of, and puts it into its place. @internal */
export function enter(socket: AnySocket, made: Parts, place: Place | undefined): void {
  parts.set(socket, made);
  place?.hold(socket);
}

/** The connections of a server, or of a part of it: those that were accepted with this as the option `connections`. */
export class Connections implements Iterable<ChannelSocket<any, any>> {
  readonly #max: number;
  readonly #maxPerAddress: number;
  /** How many there are from each, by {@link network}. */
  readonly #addresses = new Map<string, number>();
  readonly #open = new Set<AnySocket>();
  #pending = 0;
  #accepted = 0;
  #refused = 0;
  /** With which options it goes away, and until when what has begun may go on. */
  #leaving: (Checked & { readonly due: number }) | undefined;
  /** Who waits until there are none. */
  readonly #waiting: (() => void)[] = [];
  #leave!: () => void;
  /** Resolves when {@link shutdown} is called, for those who want to come to an end before they are cut off. */
  readonly shuttingDown: Promise<void> = new Promise((resolve) => (this.#leave = resolve));

  /** None yet, and so many at most. Throws a {@link TidegateError} `option`. */
  constructor(limits?: ConnectionLimits) {
    const { maxConnections, maxPerAddress } = checkOptions(limits, "{ maxConnections: 1000 }");
    this.#max = checkNumber("maxConnections", maxConnections, 10_000, "a number", Infinity);
    this.#maxPerAddress = checkNumber("maxPerAddress", maxPerAddress, Infinity, "a number", Infinity);
  }

  /** How many there are and were. */
  get counts(): ConnectionCounts {
    return { open: this.#open.size, pending: this.#pending, accepted: this.#accepted, refused: this.#refused };
  }

  /** Whether {@link shutdown} was called. */
  get isShuttingDown(): boolean {
    return !!this.#leaving;
  }

  /** Those that are open or closing. */
  [Symbol.iterator](): IterableIterator<ChannelSocket<any, any>> {
    return this.#open.values();
  }

  /** A place for another one from this address, if there is one. @internal */
  admit(address: string | undefined): Place | undefined {
    const from = network(address ?? "");
    const count = this.#addresses.get(from) ?? 0;
    if (this.#leaving || this.#open.size + this.#pending >= this.#max || count >= this.#maxPerAddress) {
      this.#refused++;
      return undefined;
    }
    this.#pending++;
    this.#addresses.set(from, count + 1);
    let isPending = true;
    const leave = (): void => {
      const left = this.#addresses.get(from)! - 1;
      if (left) this.#addresses.set(from, left);
      else this.#addresses.delete(from);
      this.#settle();
    };
    return {
      leave: () => {
        // A second time by `upgrade`, when `accept` has failed within it.
        if (!isPending) return;
        isPending = false;
        this.#pending--;
        leave();
      },
      hold: (socket) => {
        isPending = false;
        this.#pending--;
        this.#open.add(socket);
        this.#accepted++;
        void socket.closed.then(() => {
          this.#open.delete(socket);
          leave();
        });
        // Not from here: whoever accepts it does not have it yet.
        if (this.#leaving) queueMicrotask(() => this.#goAway(socket));
      },
    };
  }

  /** A connection that is held only now has what is left of the time. */
  #goAway(socket: AnySocket): void {
    const { due, ...leaving } = this.#leaving!;
    // 0 would be any time.
    const drain = due === Infinity ? 0 : Math.max(1, Math.ceil(due - now()));
    void goAway(socket, { ...leaving, drain });
  }

  /**
   * Takes no connection any more, and ends all that are there as {@link shutdown} does. Resolves when there are none.
   *
   * Called again it can only be more impatient: the earlier end of what has begun holds, also for a connection that is
   * accepted later; when clients are to come back those are told that have not been told yet.
   *
   * Rejects with a {@link TidegateError} `option`, and then changes nothing.
   */
  async shutdown(options?: ShutdownOptions): Promise<void> {
    const checked = checkShutdown(options);
    const due = Math.min(now() + (checked.drain || Infinity), this.#leaving?.due ?? Infinity);
    this.#leaving = { ...checked, due };
    this.#leave();
    for (const socket of this.#open) void goAway(socket, checked);
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#settle();
    });
  }

  #settle(): void {
    if (this.#open.size + this.#pending) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/**
 * Ends connections, and resolves when all are over.
 *
 * - A client that speaks `tidegate.v1` is told that the server goes away, and to come back after `reconnectAfter` and up to
 *   `jitter` later. What was sent arrives; neither side opens another channel or sends another message of the connection;
 *   open channels go on until both sides have closed them, or `drain` is over. Then the connection closes with 4200.
 * - To any other what is queued is sent within `drain`, and the connection closes with 1001.
 *
 * Called again for the same connection it can only be more impatient. A client is told when to come back and has to act upon
 * it: one of this package has it as `goAway`, and does not connect again by itself.
 *
 * Rejects with a {@link TidegateError} `option`, and then changes nothing.
 *
 * Specification: section 6.6 of `docs/PROTOCOL.md`, and RFC 6455 section 7.4.1.
 */
export async function shutdown(sockets: Iterable<ChannelSocket<any, any>>, options?: ShutdownOptions): Promise<void> {
  if (sockets instanceof Connections) return sockets.shutdown(options);
  const checked = checkShutdown(options);
  const all = [...sockets];
  const foreign = all.find((socket) => !parts.has(socket));
  if (foreign) throw invalid("sockets", foreign, "sockets of `accept`");
  await Promise.all(all.map((socket) => goAway(socket, checked)));
}

/** Options that were checked. */
type Checked = { readonly [Name in keyof Required<ShutdownOptions>]: number };

function checkShutdown(given: ShutdownOptions | undefined): Checked {
  const { drain, reconnectAfter, jitter } = checkOptions(given, "{ drain: 10000 }");
  return {
    drain: checkMilliseconds("drain", drain, 10_000),
    reconnectAfter: checkMilliseconds("reconnectAfter", reconnectAfter, 0),
    jitter: checkMilliseconds("jitter", jitter, 5_000),
  };
}

/**
 * By what connections from the same place are counted together: an address of IPv4, also one that is written as one of
 * IPv6; the first half of any other; and what is no address as it is.
 */
function network(address: string): string {
  // A zone names an interface of this machine.
  const host = `http://[${address.replace(/%.*/, "")}]/`;
  if (!URL.canParse(host)) return address;
  // In one form, of which only `::` is to be filled in.
  const [head = "", tail] = new URL(host).hostname.slice(1, -1).split("::");
  const [left, right] = [head, tail ?? ""].map((half) => half.split(":").filter(Boolean)) as [string[], string[]];
  const words = [...left, ...Array<string>(8 - left.length - right.length).fill("0"), ...right];
  if (words.slice(0, 6).join() !== "0,0,0,0,0,ffff") return words.slice(0, 4).join(":");
  const bytes = words.slice(6).flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 0xff]);
  return bytes.join(".");
}

async function goAway(socket: AnySocket, { drain, reconnectAfter, jitter }: Checked): Promise<void> {
  const { backed, raw } = parts.get(socket)!;
  if (backed.isTidegate) {
    backed.back = [reconnectAfter, jitter];
    await socket.end({ within: drain });
  } else {
    raw.isGoingAway = true;
    const closed = socket.close(1000, "", { within: drain });
    // One that was under way has a deadline of its own.
    backed.hurry(drain);
    await closed;
  }
}

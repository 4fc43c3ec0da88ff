/// <reference lib="esnext.disposable" preserve="true" />
/** The handle of one open connection. Made by connect.ts, once the socket is open. */

import { checkCloseCode, checkCloseReason, checkMilliseconds } from "./address.js";
import type { Codec } from "./codec.js";
import type { Bounds, Core, CoreConstructor, SocketEvent, WebSocketLike } from "./core.js";
import { parcel, snapshot, transfer, type Message, type Parcel, type Sendable } from "./data.js";
import { TidegateError, aborted } from "./errors.js";
import { CAUSES, OUTCOMES, Ticket, type Amount, type Closed, type Outcome } from "./ticket.js";

/** Default deadline of {@link Socket.close} and {@link Socket.end}, in milliseconds. */
const CLOSE_WITHIN = 10_000;

/** Options of {@link Socket.trySend}. */
export interface TrySendOptions {
  /**
   * Detaches the buffer that is sent (for a view: the one below it) instead of keeping a copy
   * while it is queued. Default false. Without effect on text, Blobs and shared memory.
   */
  transfer?: boolean | undefined;
}

/** Options of {@link Socket.send}. */
export interface SendOptions extends TrySendOptions {
  /** Ends the wait for room. Without effect once the message is queued; {@link Ticket.cancel} is for that. */
  signal?: AbortSignal | undefined;
}

/** Options of {@link Socket.close}. */
export interface CloseOptions {
  /** Milliseconds until it is over even if the peer does not confirm. Default 10,000; 0: no deadline. */
  within?: number | undefined;
  /** Whether to send what is queued first. Default true; else it is dropped and counted as unsent. */
  flush?: boolean | undefined;
}

/** Options of {@link Socket.end}. */
export interface EndOptions {
  /** Milliseconds the peer has to close. Default 10,000; 0: no deadline. */
  within?: number | undefined;
}

/** A `send` that waits for room. */
interface Waiting {
  readonly message: Parcel;
  readonly resolve: (ticket: Ticket) => void;
  readonly reject: (error: unknown) => void;
}

/** A read that waits for a message. */
interface Reader {
  /** Tries again to settle it. */
  attempt(): void;
  /** Settles it as at the end, for an iterator that is left. */
  leave(): void;
  readonly owner: object | undefined;
}

/** What connect.ts hands over. */
export interface Opening<In, Out> {
  readonly Core: CoreConstructor;
  readonly raw: WebSocketLike;
  /** Events recorded since the socket was made, in order. */
  readonly early: SocketEvent[];
  /** What is left of the connect deadline, 0 for none. */
  readonly connectMs: number;
  readonly bounds: Bounds;
  readonly codec: Codec<In, Out> | undefined;
  /** Called once when open; perhaps before {@link adopt} has returned. */
  opened(): void;
  /** Called once when the connection has ended, also if it was never open. */
  closed(closed: Closed): void;
}

/** Takes over a socket that may still be connecting. Not exported from the package. @internal */
export let adopt: <In, Out>(opening: Opening<In, Out>) => Socket<In, Out>;
/** Gives up a socket that is still connecting. Not exported from the package. @internal */
export let abort: (socket: Socket<any, any>) => void;

/**
 * One connection, from open to its end. `In` is what it receives and `Out` what it sends; without a
 * codec these are text, buffers and Blobs.
 *
 * It receives into a bounded queue, from which `recv`, `tryRecv` and `for await` take: one
 * consumer at a time. Nothing that arrived before the close is lost, but for what the queue had no room for
 * ({@link dropped}).
 */
export class Socket<In = Message, Out = Sendable> implements AsyncIterable<In, undefined>, AsyncDisposable {
  /**
   * How the connection ended. Never rejects, and does not wait until the messages that are still
   * in the receive queue are taken.
   */
  readonly closed: Promise<Closed>;

  readonly #raw: WebSocketLike;
  readonly #codec: Codec<In, Out> | undefined;
  /** Undefined while being made, and again once the end is reached and `#rest` has its messages. */
  #core: Core | undefined;
  /** What was received and not taken when the wasm side was given back, the newest first. */
  #rest: unknown[] | undefined;
  /** Whether `close` or `end` was called, or the connection has ended: nothing more is taken. */
  #stopped = false;
  #closing = false;
  #final: Closed | undefined;
  /** Tickets of queued messages by number; a bare outcome if it came before `send` had returned. */
  readonly #tickets = new Map<number, Ticket | Outcome>();
  readonly #waiting = new Set<Waiting>();
  #dropped: Amount = { messages: 0, bytes: 0 };
  /** The one read that waits. */
  #reader: Reader | undefined;

  static {
    adopt = (opening) => new Socket(opening);
    abort = (socket) => socket.#core?.abort();
  }

  private constructor({ Core, raw, early, connectMs, bounds, codec, opened, closed }: Opening<In, Out>) {
    this.#raw = raw;
    this.#codec = codec;
    let settle: (closed: Closed) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#core = new Core(
      raw,
      early,
      {
        opened,
        readable: () => this.#reader?.attempt(),
        dropped: (bytes) => {
          const before = this.#dropped;
          this.#dropped = { messages: before.messages + 1, bytes: before.bytes + bytes };
        },
        room: () => this.#admit(),
        outcome: (number, outcome) => this.#conclude(number, OUTCOMES[outcome]!),
        closed: (code, reason, wasClean, cause, unsentMessages, unsentBytes, unknownMessages, unknownBytes) => {
          this.#final = {
            code,
            reason,
            wasClean,
            cause: CAUSES[cause]!,
            unsent: { messages: unsentMessages, bytes: unsentBytes },
            unknown: { messages: unknownMessages, bytes: unknownBytes },
            dropped: this.#dropped,
          };
          this.#stop();
          settle(this.#final);
          closed(this.#final);
          this.#reader?.attempt();
          // Not from here: the wasm below may still be on the stack, or even in its constructor.
          queueMicrotask(() => this.#release());
        },
      },
      connectMs,
      ...bounds,
    );
  }

  /** The absolute address of the connection. */
  get url(): string {
    return this.#raw.url;
  }

  /** The subprotocol that the server chose, or an empty string. */
  get protocol(): string {
    return this.#raw.protocol;
  }

  /** The extensions that the server accepted, such as `permessage-deflate`, or an empty string. */
  get extensions(): string {
    return this.#raw.extensions;
  }

  /** In which form binary messages arrive. Chosen when connecting; sending does not depend on it. */
  get binaryType(): "arraybuffer" | "blob" {
    return this.#raw.binaryType as "arraybuffer" | "blob";
  }

  /** 1 open, 2 closing, 3 closed, as in `WebSocket`; 2 from the call of `close` or `end`, whatever is queued. */
  get readyState(): number {
    return this.#final ? 3 : this.#closing ? 2 : this.#raw.readyState;
  }

  /** Bytes that have not left: those queued here and those in the socket's own buffer. */
  get bufferedAmount(): number {
    return (this.#core ?? this.#raw).bufferedAmount ?? 0;
  }

  /**
   * What was received and dropped so far, because the receive queue had no room: none unless `receivePolicy`
   * says so. Text counts by its length in UTF-16 units. What arrives after a local `close` is not delivered,
   * and not counted.
   */
  get dropped(): Amount {
    return this.#dropped;
  }

  /**
   * Queues `data` and gives its ticket, waiting for room if the queue is full; who waits longest
   * goes first. The peer sees the bytes as they are now, whatever happens to the buffer later.
   *
   * Rejects only if the message was not queued, with a {@link TidegateError}: `closed` (after
   * `close`, `end` or the end), `aborted` (by `signal`, while waiting), `unsupported`, `detached`,
   * `encode`.
   */
  send(data: Out, { signal, transfer: moved }: SendOptions = {}): Promise<Ticket> {
    try {
      const message = this.#encode(data);
      if (signal?.aborted) throw aborted(signal, { data: message.data });
      // A closed connection leaves the caller's buffer alone.
      if (moved && !this.#stopped) transfer(message);
      const ticket = this.#waiting.size ? undefined : this.#offer(message);
      return ticket ? Promise.resolve(ticket) : this.#wait(message, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Queues `data` if there is room, else does nothing and gives `undefined`: also while a `send`
   * is waiting, which is not overtaken. With `transfer` the buffer is detached only if the message
   * was taken, at the price of one copy if it had to be queued.
   *
   * @throws {@link TidegateError} with the codes of {@link send}, but for `aborted`.
   */
  trySend(data: Out, { transfer: moved }: TrySendOptions = {}): Ticket | undefined {
    const message = this.#encode(data);
    const ticket = this.#waiting.size ? undefined : this.#offer(message);
    if (ticket && moved) {
      try {
        transfer(message);
      } catch {
        // A wasm memory stays attached. The message is taken all the same, so this is no failure.
      }
    }
    return ticket;
  }

  /**
   * The next message if there is one.
   *
   * @throws {@link TidegateError} `decode` if the codec refused it, `unsupported` if it is of a kind
   * this package does not know. It is then gone; the following ones are not.
   */
  tryRecv(): In | undefined {
    const message = this.#take();
    return message === undefined ? undefined : this.#decode(message);
  }

  /**
   * The next message, or `undefined` for ever once the connection has ended and all is taken.
   *
   * Rejects with a {@link TidegateError}: `decode` and `unsupported` as {@link tryRecv}, `busy` if
   * another read is waiting.
   */
  recv(): Promise<In | undefined> {
    return this.#read<In | undefined>((value) => value, undefined);
  }

  /**
   * Messages until the connection has ended. Leaving the loop leaves the connection open and
   * what has not been taken in the queue, for the next loop; a `next()` that was waiting then gives
   * the end. A message that cannot be decoded rejects
   * one `next()`, and with it ends a `for await`; a new loop goes on behind it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<In, undefined> {
    const end: IteratorReturnResult<undefined> = { done: true, value: undefined };
    let left = false;
    const iterator: AsyncIterableIterator<In, undefined> = {
      next: () =>
        left
          ? Promise.resolve(end)
          : this.#read<IteratorResult<In, undefined>>((value) => ({ done: false, value }), end, iterator),
      return: () => {
        left = true;
        if (this.#reader?.owner === iterator) this.#reader.leave();
        return Promise.resolve(end);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
    return iterator;
  }

  /**
   * Closes the connection and tells how it ended. Every call gives the same result; the first one's
   * arguments count. The browser delivers nothing that arrives after this; {@link end} does.
   *
   * `code` is 1000 or 3000 to 4999, default none (1000 if there is a reason); `reason` is at most
   * 123 bytes of UTF-8.
   *
   * Rejects with a {@link TidegateError}, and leaves the connection open: `closeCode`,
   * `closeReason`, `option`. A peer that does not answer is no error: `cause` is then `unconfirmed`.
   */
  async close(code?: number, reason = "", { within, flush = true }: CloseOptions = {}): Promise<Closed> {
    const number = code === undefined ? (reason && 1000) || 0 : checkCloseCode(code);
    checkCloseReason(reason);
    const ms = checkMilliseconds("within", within, CLOSE_WITHIN);
    this.#closing = true;
    this.#stop();
    this.#core?.close(number, reason, ms, flush);
    return this.closed;
  }

  /**
   * Sends what is queued and no more, and goes on receiving until the peer closes; if it has not
   * within the deadline, closes with 1000. Tells how the connection ended.
   *
   * Rejects with a {@link TidegateError} `option`, and then changes nothing.
   */
  async end({ within }: EndOptions = {}): Promise<Closed> {
    const ms = checkMilliseconds("within", within, CLOSE_WITHIN);
    this.#closing = true;
    this.#stop();
    this.#core?.end(ms, CLOSE_WITHIN);
    return this.closed;
  }

  /** Closes with 1000: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(1000);
  }

  #encode(data: Out): Parcel {
    let message: Sendable;
    try {
      message = this.#codec ? this.#codec.encode(data) : (data as Sendable);
    } catch (cause) {
      throw new TidegateError("encode", "the codec could not encode this value; see `cause`", { cause });
    }
    return parcel(message);
  }

  #decode(message: unknown): In {
    const unsupported = (message as { unsupported?: string }).unsupported;
    if (unsupported !== undefined) {
      throw new TidegateError("unsupported", `received a ${unsupported}, which is no WebSocket message; it was dropped`);
    }
    try {
      return this.#codec ? this.#codec.decode(message as Message) : (message as In);
    } catch (cause) {
      throw new TidegateError("decode", "the codec could not decode a message; see `cause`", { cause });
    }
  }

  /** Gives `message` to the wasm: its ticket, `undefined` if there is no room; throws if closed. */
  #offer({ data, kind, bytes, owned }: Parcel): Ticket | undefined {
    const number = this.#stopped ? -2 : this.#core!.send(data, kind, bytes, owned);
    if (!number) return new Ticket("handedOver");
    if (number === -1) return undefined;
    if (number < 0) throw refused(data);
    const ticket = new Ticket(undefined, () => this.#core?.cancel(number));
    const early = this.#tickets.get(number) as Outcome | undefined;
    this.#tickets.set(number, ticket);
    if (early) this.#conclude(number, early);
    return ticket;
  }

  #conclude(number: number, outcome: Outcome): void {
    const ticket = this.#tickets.get(number) as Ticket | undefined;
    if (!ticket) {
      this.#tickets.set(number, outcome);
      return;
    }
    this.#tickets.delete(number);
    Ticket.settle(ticket, outcome);
  }

  #wait(message: Parcel, signal: AbortSignal | undefined): Promise<Ticket> {
    snapshot(message);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiting: Waiting = {
        message,
        resolve: (ticket) => (leave(), resolve(ticket)),
        reject: (error) => (leave(), reject(error)),
      };
      const onAbort = (): void => {
        waiting.reject(aborted(signal, { data: message.data }));
        // Whoever is next may fit.
        this.#admit();
      };
      signal?.addEventListener("abort", onAbort);
      this.#waiting.add(waiting);
    });
  }

  /** Offers the waiting messages in their order until there is no room; the wasm then calls again. */
  #admit(): void {
    for (const waiting of this.#waiting) {
      try {
        const ticket = this.#offer(waiting.message);
        if (!ticket) return;
        waiting.resolve(ticket);
      } catch (error) {
        waiting.reject(error);
      }
    }
  }

  /** Takes no more messages; those that wait for room were never queued. */
  #stop(): void {
    this.#stopped = true;
    for (const waiting of this.#waiting) waiting.reject(refused(waiting.message.data));
  }

  #take(): unknown {
    return this.#core ? this.#core.take() : this.#rest?.pop();
  }

  #read<T>(item: (value: In) => T, end: T, owner?: object): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#reader) {
        throw new TidegateError("busy", "another read is waiting; a socket has one consumer at a time");
      }
      const attempt = (): void => {
        this.#reader = undefined;
        try {
          const message = this.#take();
          if (message !== undefined) resolve(item(this.#decode(message)));
          else if (this.#final) resolve(end);
          else this.#reader = { attempt, owner, leave: () => ((this.#reader = undefined), resolve(end)) };
        } catch (error) {
          reject(error);
        }
      };
      attempt();
    });
  }

  /** Keeps what was received and gives the wasm side's memory back. */
  #release(): void {
    const core = this.#core!;
    const rest: unknown[] = [];
    for (let message; (message = core.take()) !== undefined; ) rest.push(message);
    // Not an iterator: it would hold what was taken.
    this.#rest = rest.reverse();
    this.#core = undefined;
    core.free();
  }
}

function refused(data: unknown): TidegateError {
  return new TidegateError("closed", "the connection is closed or closing; nothing was sent", { data });
}

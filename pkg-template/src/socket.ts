/// <reference lib="esnext.disposable" preserve="true" />
/** The handle of one open connection. Made by connect.ts, once the socket is open. */

import { checkCloseCode, checkCloseReason, checkMilliseconds, checkNumber, checkOptions } from "./address.js";
import { now } from "./clock.js";
import type { Codec } from "./codec.js";
import type { Opening } from "./connect.js";
import type { Core, WebSocketLike } from "./core.js";
import { parcel, transfer, type Message, type Parcel, type Sendable } from "./data.js";
import { TidegateError, aborted } from "./errors.js";
import type { Inbox } from "./inbox.js";
import { Lines } from "./lines.js";
import { Marks } from "./marks.js";
import { add, addSent, count, hasRoom, newCounts, readStats, type Count, type Stats } from "./stats.js";
import { CAUSES, OUTCOMES, Ticket, type Amount, type CloseOptions, type Closed, type EndOptions, type Outcome } from "./ticket.js";
import {
  chosen,
  notSent,
  refused,
  type Flow,
  type Queued,
  type Reader,
  type SendOptions,
  type TrySendOptions,
  type Way,
} from "./way.js";

/** Default deadline of {@link Socket.close} and {@link Socket.end}, in milliseconds. */
const CLOSE_WITHIN = 10_000;

const LOW = "bufferedamountlow";
type Listening = Parameters<EventTarget["addEventListener"]>;
type Leaving = Parameters<EventTarget["removeEventListener"]>;

/** How often the socket's buffer is looked at for those who wait until it is empty, in milliseconds. */
const WATCH_EVERY = 20;

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
export class Socket<In = Message, Out = Sendable> extends EventTarget implements AsyncIterable<In, undefined>, AsyncDisposable {
  /**
   * How the connection ended. Never rejects, and does not wait until the messages that are still
   * in the receive queue are taken.
   */
  readonly closed: Promise<Closed>;

  readonly #raw: WebSocketLike;
  readonly #codec: Codec<In, Out> | undefined;
  /** Undefined while being made, and again once the end is reached. */
  #core: Core | undefined;
  readonly #inbox: Inbox;
  /** Whether `close` or `end` was called, or the connection has ended: nothing more is taken. */
  #stopped = false;
  #closing = false;
  #final: Closed | undefined;
  /** What is queued, by number. */
  readonly #queue = new Map<number, Queued>();
  /** What became of the messages of each priority. */
  readonly #counts = newCounts();
  /** Bytes that the socket was given. */
  #given = 0;
  /** maxSendBytes, maxSendMessages, maxFlowBytes, maxFlowMessages; 0 for none. */
  readonly #bounds: readonly number[];
  /** How often something was to be sent. */
  #calls = 0;
  readonly #lines = new Lines((...offered) => this.#offer(...offered));
  /** The flow without a name, and those that have something queued. */
  readonly #flows = new Map<string | undefined, Flow>([[undefined, { number: 0, queued: count() }]]);
  readonly #freeFlows: number[] = [];
  /** The number of the newest queued message of each key. */
  readonly #newest = new Map<string, number>();
  readonly #marks = new Marks();
  /** Who waits until the socket has let go of so many bytes. */
  readonly #drains: { readonly given: number; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #low = 0;
  /** Who listens to `bufferedamountlow`, and how: while nobody does, nobody has to look. */
  readonly #listening = new Map<unknown, Listening[2]>();
  #isAbove = false;
  #onLow: ((event: Event) => unknown) | null = null;
  #watcher: ReturnType<typeof setTimeout> | undefined;
  /** The one read that waits. */
  #reader: Reader | undefined;

  static {
    adopt = (opening) => new Socket(opening);
    abort = (socket) => socket.#core?.abort();
  }

  private constructor({ Core, raw, early, options, bounds, inbox, codec, opened, closed }: Opening<In, Out>) {
    super();
    this.#raw = raw;
    this.#bounds = bounds;
    this.#inbox = inbox;
    this.#codec = codec;
    let settle: (closed: Closed) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#core = new Core(
      raw,
      early,
      {
        opened,
        received: (value, bytes) => {
          const overflow = inbox.put(value, bytes);
          this.#reader?.attempt();
          return overflow;
        },
        outcome: (number, outcome) => this.#conclude(number, OUTCOMES[outcome]!),
        closed: (code, reason, wasClean, cause, unsentMessages, unsentBytes, unknownMessages, unknownBytes) => {
          this.#final = {
            code,
            reason,
            wasClean,
            cause: CAUSES[cause]!,
            unsent: { messages: unsentMessages, bytes: unsentBytes },
            unknown: { messages: unknownMessages, bytes: unknownBytes },
            dropped: this.dropped,
          };
          this.#stop();
          settle(this.#final);
          closed(this.#final);
          this.#reader?.attempt();
          // Not from here: the wasm below may still be on the stack, or even in its constructor.
          queueMicrotask(() => this.#release());
        },
      },
      options,
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

  /**
   * Bytes that have not left: those queued here and those in the socket's own buffer. After the end the latter stay, as
   * in `WebSocket`: what it could not send never leaves.
   */
  get bufferedAmount(): number {
    return this.#counts.reduce((sum, { queued }) => sum + queued.bytes, this.#raw.bufferedAmount ?? 0);
  }

  /**
   * What was received and dropped so far, because the receive queue had no room: none unless `receivePolicy`
   * says so. Text counts by its length in UTF-16 units. What arrives after a local `close` is not delivered,
   * and not counted.
   */
  get dropped(): Amount {
    return this.#inbox.dropped;
  }

  /**
   * Queues `data` and gives its ticket, waiting for room if the queue is full; who waits longest
   * goes first. The peer sees the bytes as they are now, whatever happens to the buffer later.
   *
   * Rejects only if the message was not queued, with a {@link TidegateError}: `closed` (after
   * `close`, `end` or the end), `aborted` (by `signal`, while waiting), `option`, `unsupported`,
   * `detached`, `encode`.
   */
  send(data: Out, options?: SendOptions): Promise<Ticket> {
    try {
      const message = this.#encode(data);
      const way = chosen(options);
      if (way.signal?.aborted) throw aborted(way.signal, { data: message.data });
      // A closed connection leaves the caller's buffer alone.
      if (options?.transfer && !this.#stopped) transfer(message);
      const ticket = this.#lines.hasSome(way) ? undefined : this.#offer(message, way);
      return ticket ? Promise.resolve(ticket) : this.#lines.join(message, way, ++this.#calls);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Queues `data` if there is room, else does nothing and gives `undefined`: also while a `send` of the same
   * priority and flow is waiting, which is not overtaken; those of others may be. With `transfer` the buffer is detached only if the message
   * was taken, at the price of one copy if it had to be queued.
   *
   * @throws {@link TidegateError} with the codes of {@link send}, but for `aborted`.
   */
  trySend(data: Out, options?: TrySendOptions): Ticket | undefined {
    const message = this.#encode(data);
    const way = chosen(options);
    const ticket = this.#lines.hasSome(way) ? undefined : this.#offer(message, way);
    if (ticket && options?.transfer) {
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
    const message = this.#inbox.take();
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
   * What is queued is sent first (`flush`); a {@link send} that still waits for room was never queued, and rejects with
   * `closed`.
   *
   * `code` is 1000 or 3000 to 4999, default none (1000 if there is a reason); `reason` is at most
   * 123 bytes of UTF-8. In tidegate mode the peer is told 1000 or 4200, which it is for any other code, and the reason.
   *
   * Rejects with a {@link TidegateError}, and leaves the connection open: `closeCode`,
   * `closeReason`, `option`. A peer that does not answer is no error: `cause` is then `unconfirmed`.
   */
  async close(code?: number, reason?: string, options?: CloseOptions): Promise<Closed> {
    const why = checkCloseReason(reason ?? "");
    const number = code == undefined ? (why && 1000) || 0 : checkCloseCode(code);
    const { within, flush } = checkOptions(options);
    const ms = checkMilliseconds("within", within, CLOSE_WITHIN);
    this.#closing = true;
    this.#stop();
    this.#core?.close(number, why, ms, flush ?? true);
    return this.closed;
  }

  /**
   * Sends what is queued and no more, and goes on receiving until the peer closes; if it has not
   * within the deadline, closes with 1000. A {@link send} that still waits for room rejects with `closed`. Tells how
   * the connection ended.
   *
   * Rejects with a {@link TidegateError} `option`, and then changes nothing.
   */
  async end(options?: EndOptions): Promise<Closed> {
    const ms = checkMilliseconds("within", checkOptions(options).within, CLOSE_WITHIN);
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
      throw new TidegateError("decode", "the codec could not decode a message; see `cause`", { cause, data: message });
    }
  }

  /**
   * Resolves when all that is queued now has left the queue: it was handed to the socket, or was dropped (cancelled,
   * expired, superseded, an unreadable Blob). What is queued later is not waited for.
   *
   * Rejects with a {@link TidegateError} `closed` if the connection ends first; in tidegate mode without waiting for that, if
   * a message was lost since the peer goes away.
   */
  async flushed(): Promise<void> {
    if (await this.#marks.set(this.#queue.size)) throw notSent(this.#final);
  }

  /**
   * As {@link flushed}, and then until the socket's own buffer has let go of it as well, which is what
   * `bufferedAmount` counts there. Nobody but the peer can say whether it has arrived. Once the connection has ended
   * it rejects in any case: nobody can say then whether the socket had sent everything.
   */
  async drained(): Promise<void> {
    await this.flushed();
    if (this.#final) throw notSent(this.#final);
    await new Promise<void>((resolve, reject) => {
      this.#drains.push({ given: this.#given, resolve, reject });
      this.#watch();
    });
  }

  /**
   * Tells the queue that the server has received the first `bytes` bytes of payload of all messages that this
   * connection has sent (text counts in UTF-8), as the server itself has said by some message of the application's.
   *
   * From the first call on, also one with 0 right after connecting, the queue keeps so little under way that an
   * urgent message waits some 12 ms in front of the link, or for one message where that is more, and not for the
   * megabyte that browsers and kernels hide; the link stays full. The server should answer often, at best
   * each message, and count all of them. Less than before says nothing, and neither does more than was sent. Where
   * nothing is acknowledged for a second, or four round trips, the queue goes by what the browser says again until
   * something is.
   *
   * Throws a {@link TidegateError} `option` unless `bytes` is a finite number from 0 on.
   */
  acknowledged(bytes: number): void {
    checkNumber("bytes", bytes, NaN);
    this.#core?.acknowledged(bytes);
  }

  /** The numbers of the connection, now. What goes over a channel stands in the channel's own. */
  stats(): Stats {
    return readStats(this.#counts, this.#inbox.queued, this.#core);
  }

  /**
   * The `bufferedamountlow` event comes when {@link bufferedAmount} has fallen to this, in a microtask of its own
   * and not any more when the connection has ended. Default 0: when nothing is left. Setting it
   * to what is no finite number from 0 on throws a {@link TidegateError} `option`.
   *
   * Specification: as `RTCDataChannel.bufferedAmountLowThreshold` of WebRTC.
   */
  get bufferedAmountLowThreshold(): number {
    return this.#low;
  }

  set bufferedAmountLowThreshold(bytes: number) {
    this.#low = checkNumber("bufferedAmountLowThreshold", bytes, 0);
    // It has not fallen by that.
    this.#isAbove = this.bufferedAmount > this.#low;
    this.#watch();
  }

  /** Called with each `bufferedamountlow` event, as a listener is. */
  get onbufferedamountlow(): ((event: Event) => unknown) | null {
    return this.#onLow;
  }

  set onbufferedamountlow(listener: ((event: Event) => unknown) | null) {
    if (this.#onLow) this.removeEventListener(LOW, this.#onLow);
    this.#onLow = listener;
    if (listener) this.addEventListener(LOW, listener);
  }

  /** As that of `EventTarget`, for the one event that there is: messages and the end come by {@link recv} and {@link closed}. */
  override addEventListener(type: "bufferedamountlow", listener: Listening[1], options?: Listening[2]): void;
  override addEventListener(...listening: Listening): void {
    super.addEventListener(...listening);
    const [type, listener, options] = listening;
    if (type !== LOW || !listener) return;
    this.#listening.set(listener, options);
    this.#watch();
  }

  /** Takes a listener off again. */
  override removeEventListener(type: "bufferedamountlow", listener: Listening[1], options?: Leaving[2]): void;
  override removeEventListener(...listening: Leaving): void {
    super.removeEventListener(...listening);
    if (listening[0] === LOW) this.#listening.delete(listening[1]);
  }

  /** Looks at what is buffered, for those who wait for less of it; again after a while if there are any. */
  #watch(): void {
    clearTimeout(this.#watcher);
    this.#watcher = undefined;
    if (!this.#core || (!this.#drains.length && !this.#listening.size)) return;
    const buffered = this.bufferedAmount;
    const left = this.#given - (this.#raw.bufferedAmount ?? 0);
    for (let first; (first = this.#drains[0]) && first.given <= left; ) {
      this.#drains.shift();
      first.resolve();
    }
    const isAbove = buffered > this.#low;
    const fell = this.#isAbove && !isAbove;
    this.#isAbove = isAbove;
    for (const [listener, options] of this.#listening) {
      const { once, signal } = Object(options);
      if (signal?.aborted || (fell && once)) this.#listening.delete(listener);
    }
    if (this.#drains.length || (this.#listening.size && isAbove)) {
      this.#watcher = setTimeout(() => this.#watch(), WATCH_EVERY);
    }
    // Not from here, which may be inside the wasm.
    if (fell) queueMicrotask(() => this.#final || this.dispatchEvent(new Event(LOW)));
  }

  /**
   * Gives `message` to the wasm: its ticket, `undefined` if there is no room; throws if closed. `leave` is called
   * once there is room, since the wasm may call back; `came` says which call of `send` or `trySend` it was.
   */
  #offer(message: Parcel, way: Way, came = ++this.#calls, leave?: () => void): Ticket | undefined {
    if (this.#stopped) throw refused(message.data);
    const { bytes } = message;
    const { priority, latest, due, signal } = way;
    const counts = this.#counts[priority]!;
    const old = latest === undefined ? 0 : (this.#newest.get(latest) ?? 0);
    if (this.#queue.get(old)?.came! > came) {
      // It has waited for room, in another line than the newer value.
      add(counts.superseded, bytes);
      return Ticket.of("superseded");
    }
    if (leave && due! <= now()) {
      // It is past while it waited for room, and replaces nothing.
      leave();
      add(counts.expired, bytes);
      return Ticket.of("expired");
    }
    if (!this.#admits(bytes, way, old)) return undefined;
    leave?.();
    const flow = this.#flow(way.flow);
    // Before the call: the last message before this one may end within it, and would take the flow with it.
    add(flow.queued, bytes);
    const number = this.#core!.send(
      message,
      priority,
      flow.number,
      due === undefined ? -1 : Math.max(0, due - now()),
      old,
    );
    if (number > 0) {
      const cancel = (): void => this.#core?.cancel(number);
      const ticket = Ticket.of(undefined, cancel);
      const mark = this.#marks.next;
      this.#queue.set(number, { ticket, way, came, flow, bytes, since: now(), mark, cancel });
      add(counts.queued, bytes);
      if (latest !== undefined) this.#newest.set(latest, number);
      signal?.addEventListener("abort", cancel);
      if (this.#listening.size) this.#watch();
      return ticket;
    }
    this.#leaveFlow(way.flow, flow, bytes);
    if (number === -4) {
      add(counts.expired, bytes);
      return Ticket.of("expired");
    }
    if (number) throw refused(message.data);
    addSent(counts, bytes, 0);
    this.#given += bytes;
    if (this.#listening.size) this.#watch();
    return Ticket.of("handedOver");
  }

  /** Whether there is room for so many bytes; the message of number `old` would make room for them. */
  #admits(bytes: number, { priority, flow }: Way, old: number): boolean {
    const [maxBytes, maxMessages, maxFlowBytes, maxFlowMessages] = this.#bounds as [number, number, number, number];
    const replaced = this.#queue.get(old);
    const fits = (queued: Count, most: number, mostMessages: number, isSame: boolean | undefined): boolean =>
      hasRoom(isSame ? { messages: queued.messages - 1, bytes: queued.bytes - replaced!.bytes } : queued, bytes, most, mostMessages);
    const known = this.#flows.get(flow);
    return (
      fits(this.#counts[priority]!.queued, maxBytes, maxMessages, replaced && replaced.way.priority === priority) &&
      (!known || fits(known.queued, maxFlowBytes, maxFlowMessages, replaced?.flow === known))
    );
  }

  #flow(name: string | undefined): Flow {
    let flow = this.#flows.get(name);
    if (!flow) {
      flow = { number: this.#freeFlows.pop() ?? this.#flows.size, queued: count() };
      this.#flows.set(name, flow);
    }
    return flow;
  }

  /** A message of a flow is not queued any more. Gives the flow's number back if none is. */
  #leaveFlow(name: string | undefined, flow: Flow, bytes: number): void {
    add(flow.queued, bytes, -1);
    if (flow.number && !flow.queued.messages && this.#flows.delete(name)) this.#freeFlows.push(flow.number);
  }

  #conclude(number: number, outcome: Outcome): void {
    const { ticket, way, flow, bytes, since, mark, cancel } = this.#queue.get(number)!;
    this.#queue.delete(number);
    const counts = this.#counts[way.priority]!;
    add(counts.queued, bytes, -1);
    if (outcome === "handedOver" || outcome === "delivered") {
      addSent(counts, bytes, now() - since);
      this.#given += bytes;
    } else if (outcome in counts) {
      add(counts[outcome as "expired"], bytes);
    }
    if (way.latest !== undefined && this.#newest.get(way.latest) === number) this.#newest.delete(way.latest);
    this.#leaveFlow(way.flow, flow, bytes);
    this.#marks.end(mark, outcome);
    Ticket.settle(ticket, outcome);
    this.#lines.admit();
    if (this.#listening.size) this.#watch();
    way.signal?.removeEventListener("abort", cancel);
  }

  /** Takes no more messages; those that wait for room were never queued. */
  #stop(): void {
    this.#stopped = true;
    this.#lines.refuse();
  }

  #read<T>(item: (value: In) => T, end: T, owner?: object): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#reader) {
        throw new TidegateError("busy", "another read is waiting; a socket has one consumer at a time");
      }
      const attempt = (): void => {
        this.#reader = undefined;
        try {
          const message = this.#inbox.take();
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

  /** Gives the wasm side's memory back. */
  #release(): void {
    const core = this.#core!;
    this.#core = undefined;
    this.#watch();
    for (const { reject } of this.#drains.splice(0)) reject(notSent(this.#final!));
    core.free();
  }
}

/// <reference lib="esnext.disposable" preserve="true" />
/** One channel: two sockets that know nothing of each other, one for each direction. */

import { checkNumber } from "./address.js";
import { readableOf, writableOf } from "./channel-streams.js";
import {
  CLOSE,
  DROP,
  PREFER,
  RESET,
  STOP,
  type ChannelEvents,
  type HalfEnd,
  type TidegateBacked,
} from "./channels-host.js";
import type { Codec } from "./codec.js";
import { CreditInbox, type Origin } from "./credit-inbox.js";
import type { Core, CoreConstructor, Sink, WebSocketLike } from "./core.js";
import type { Parcel, Sendable } from "./data.js";
import { TidegateError, invalid } from "./errors.js";
import { adopt, type Socket } from "./socket.js";
import { PRIORITIES, type Priority, type Stats } from "./stats.js";
import type { Ticket } from "./ticket.js";
import type { SendOptions } from "./way.js";

/**
 * How a direction of a channel has ended.
 *
 * - `"closed"`: whoever sends has sent everything, and closed it.
 * - `"reset"`: one of the two has reset it, with a code.
 * - `"connectionOver"`: the connection is over.
 */
export type ChannelEnd =
  | { readonly kind: "closed" | "connectionOver" }
  | {
      readonly kind: "reset";
      /** 38 is an application's own, the others stand in section 10 of the protocol. */
      readonly code: number;
      /** What was added to it, up to 1,024 bytes. */
      readonly detail: Uint8Array<ArrayBuffer>;
    };

/** What a channel without a codec receives: never a Blob, also where the connection's plain mode would give some. */
export type ChannelMessage = string | ArrayBuffer;

/** How a channel is opened. */
export interface ChannelOptions<In = ChannelMessage, Out = Sendable> {
  /** The class of everything that this side sends on it. The peer is asked to answer in the same. Default `"normal"`. */
  priority?: Priority | undefined;
  /** Encodes what is sent and decodes what is received, such as `json`. Default: messages as they are. */
  codec?: Codec<In, Out> | undefined;
  /** Most bytes queued and not acknowledged on this channel. Default 16 MiB; 0: no bound. */
  maxSendBytes?: number | undefined;
  /** Most messages likewise. Default 65,536; 0: no bound. */
  maxSendMessages?: number | undefined;
}

/** Options of `Channel.send`: the channel has its own priority and order. */
export type ChannelSendOptions = Omit<SendOptions, "priority" | "flow">;

/** The code of a reset by an application. */
const APPLICATION = 38;
/** That of one who has lost interest. */
const CANCELLED = 32;
/** That of one who never wanted the channel. */
const REFUSED = 33;
/** The last that the protocol has: any other would read as {@link CANCELLED} at the peer. */
const LAST_CODE = 41;
/** The most that goes with a code, in bytes. */
const LONGEST_DETAIL = 1_024;

/** What the two directions share with whoever makes the channel. @internal */
export interface Made<In, Out> {
  readonly channel: Channel<In, Out>;
  readonly events: ChannelEvents;
  /** The number that the connection has given it. */
  start(number: number): void;
  /** The application has it now. Until then one that the peer has opened keeps its place, and what has come on it. */
  give(): void;
}

/** What tells how its promises are settled; the first time counts. */
interface Settle {
  readonly accepted: (end?: ChannelEnd) => void;
  readonly stopped: (end: ChannelEnd) => void;
  readonly ended: (end: ChannelEnd) => void;
}

/** Makes a channel that is not opened yet. Not exported from the package. @internal */
export let make: <In, Out>(
  backed: TidegateBacked,
  raw: WebSocketLike,
  name: string,
  priority: number,
  options: ChannelOptions<In, Out>,
) => Made<In, Out>;

/**
 * Messages both ways under a name, beside others on the same connection and independent of them: a channel whose reader
 * is slow holds up its own writer only.
 *
 * `In` is what it receives and `Out` what it sends.
 */
export class Channel<In = ChannelMessage, Out = Sendable> implements AsyncIterable<In, undefined>, AsyncDisposable {
  /** Its name. */
  readonly name: string;
  /**
   * Resolves when the peer has accepted it, with `undefined`, or with how it has ended instead. Nothing has to wait for it.
   *
   * It is tidegate at the other end, or whoever speaks for it, that accepts, as soon as it may: whether the application there has
   * looked at the channel is told by nothing but what it sends, or by the end of one that it does not want.
   */
  readonly accepted: Promise<ChannelEnd | undefined>;
  /**
   * Resolves when what is sent has ended, with how that has come: `"closed"` if it was closed here and the peer has acknowledged
   * everything and the end; `"reset"` if one of the two has reset it, at once for this side's own {@link reset};
   * `"connectionOver"` if the connection ended first.
   */
  readonly stopped: Promise<ChannelEnd>;
  /** Resolves when the peer sends nothing more, with how that has come. What came before may still wait to be taken. */
  readonly ended: Promise<ChannelEnd>;

  readonly #backed: TidegateBacked;
  readonly #out: Socket<In, Out>;
  readonly #in: Socket<In, Out>;
  #number = 0;
  #priority: number;
  #readable: ReadableStream<In> | undefined;
  #writable: WritableStream<Out> | undefined;
  /** Whether each direction goes on. */
  #sends = true;
  #receives = true;
  /** How what is sent has ended, once it has. */
  #end: ChannelEnd | undefined;
  /** Whether the application has it, and wants what has come. */
  #isGiven = false;
  #isWanted = true;
  /** The core was told that it need not know it any more. */
  #isDropped = false;
  readonly #settle: Settle;

  static {
    make = (backed, raw, name, priority, options) => {
      const channel = new Channel<any, any>(backed, raw, name, priority, options);
      const settle = channel.#settle;
      const told = { out: channel.#halfOut!, in: channel.#halfIn! };
      return {
        channel,
        start: (number) => void (channel.#number = number),
        give() {
          channel.#isGiven = true;
          channel.#dropIfOver();
        },
        events: {
          received: (value, bytes, origin) => channel.#received(value, bytes, origin),
          outcome: (ticket, outcome) => told.out.outcome(ticket, outcome),
          accepted: () => settle.accepted(),
          ended(end) {
            channel.#receives = false;
            settle.ended(endOf(end));
            finish(told.in);
            channel.#dropIfOver();
          },
          stopped(end) {
            channel.#stopped(endOf(end));
            channel.#dropIfOver();
          },
        },
      };
    };
  }

  #codec: Codec<In, Out> | undefined;
  /** What both halves are given: the codec may come later. */
  readonly #coding: Codec<any, any> = {
    encode: (value: any) => (this.#codec ? this.#codec.encode(value) : value),
    decode: (message) => (this.#codec ? this.#codec.decode(message) : message),
  };
  #halfOut: Sink | undefined;
  #halfIn: Sink | undefined;
  #inbox: CreditInbox;

  private constructor(
    backed: TidegateBacked,
    raw: WebSocketLike,
    name: string,
    priority: number,
    options: ChannelOptions<In, Out>,
  ) {
    this.name = name;
    this.#codec = checkCodec(options.codec);
    this.#backed = backed;
    this.#priority = priority;
    let accepted!: (end?: ChannelEnd) => void;
    let stopped!: (end: ChannelEnd) => void;
    let ended!: (end: ChannelEnd) => void;
    this.accepted = new Promise((resolve) => (accepted = resolve));
    this.stopped = new Promise((resolve) => (stopped = resolve));
    this.ended = new Promise((resolve) => (ended = resolve));
    this.#settle = { accepted, stopped, ended };
    const inbox = new CreditInbox(0, 0, 1);
    inbox.unbind((origin, isLast) => {
      backed.took(origin, isLast);
      if (isLast) this.#dropIfOver();
    });
    this.#inbox = inbox;
    const bounds = [options.maxSendBytes ?? 16 << 20, options.maxSendMessages ?? 65_536, 0, 0];
    const view: WebSocketLike = {
      url: raw.url,
      protocol: raw.protocol,
      extensions: raw.extensions,
      readyState: 1,
      binaryType: "arraybuffer",
      send() {},
      close() {},
      addEventListener() {},
      removeEventListener() {},
    };
    const half = (told: (sink: Sink) => void, core: Core, received: CreditInbox): Socket<In, Out> =>
      adopt<In, Out>({
        Core: coreOf(told, core),
        raw: view,
        early: [],
        options: [],
        bounds,
        inbox: received,
        codec: this.#coding,
        opened() {},
        closed() {},
      });
    this.#out = half(
      (sink) => (this.#halfOut = sink),
      {
        send: (message: Parcel, _priority, _flow, deadlineMs, replaces) =>
          backed.sendOn(this.#number, message, deadlineMs, replaces),
        cancel: (ticket) => backed.cancel(ticket),
        acknowledged() {},
        // What becomes of the channel is said by its own methods.
        close() {},
        end() {},
        abort() {},
        stat: (index) => backed.stat(index),
        free() {},
      },
      new CreditInbox(0, 0, 1),
    );
    this.#in = half((sink) => (this.#halfIn = sink), idle, inbox);
  }

  /**
   * This channel with a codec, which from now on encodes what is sent and decodes what is taken, also of what has come
   * before: for one that the peer has opened. The messages of one that was opened here have the codec of its options.
   *
   * Throws a `TidegateError` `option` for what is no codec.
   */
  typed<CIn, COut = CIn>(codec: Codec<CIn, COut>): Channel<CIn, COut> {
    if (!codec) throw invalid("codec", codec, "encode and decode");
    const typed = this as unknown as Channel<CIn, COut>;
    typed.#codec = checkCodec(codec);
    return typed;
  }

  /** The class of what is sent. Setting it holds for what is queued, too. */
  get priority(): Priority {
    return PRIORITIES[this.#priority]!;
  }

  set priority(priority: Priority) {
    const index = PRIORITIES.indexOf(priority);
    this.#priority = checkNumber("priority", index < 0 ? NaN : index, 2, PRIORITIES.join(", "), 3);
    this.#backed.steer(this.#number, PREFER, this.#priority);
  }

  /** Bytes that are queued, or under way and not acknowledged. */
  get bufferedAmount(): number {
    return this.#out.bufferedAmount;
  }

  /**
   * As `Socket.send`, in the channel's class and order. The message is cut into chunks, between which those of other channels
   * go, and goes as the peer's application takes what was sent before. Its outcome is `delivered` once the peer has all of
   * it.
   *
   * Rejects as `Socket.send`; `closed` also when the channel was closed or reset here, or is not wanted there any more. Then
   * `cause` is how it has ended, if that is known.
   */
  async send(data: Out, options?: ChannelSendOptions): Promise<Ticket> {
    try {
      return await this.#out.send(data, options);
    } catch (error) {
      throw this.#why(error);
    }
  }

  /** As `Socket.trySend`. */
  trySend(data: Out, options?: Omit<ChannelSendOptions, "signal">): Ticket | undefined {
    try {
      return this.#out.trySend(data, options);
    } catch (error) {
      throw this.#why(error);
    }
  }

  /**
   * Resolves when each message that was queued before has ended: mostly since the peer has it, but it may also have expired, been
   * replaced or taken back, or have gone with the channel's reset. Tickets tell which it was.
   *
   * Rejects with a `TidegateError` `closed` if one was lost, of which its ticket says `unsent` or `unknown`: with the
   * connection, or on its way when the peer reset the channel. `cause` is the {@link ChannelEnd}.
   */
  async flushed(): Promise<void> {
    // Of the half below it is known only that something was lost, with which it has ended as well.
    await this.#out.flushed().catch(async () => {
      throw lost(await this.stopped);
    });
  }

  /** The next message, or `undefined` once the peer sends nothing more and all is taken; as `Socket.recv`. */
  recv(): Promise<In | undefined> {
    return this.#in.recv();
  }

  /** The next message if there is one; as `Socket.tryRecv`. */
  tryRecv(): In | undefined {
    return this.#in.tryRecv();
  }

  /** Messages until the peer sends nothing more. Leaving the loop leaves the channel open. */
  [Symbol.asyncIterator](): AsyncIterableIterator<In, undefined> {
    return this.#in[Symbol.asyncIterator]();
  }

  /** The numbers of what this channel sends, in the class that it has now; those of the connection are the connection's. */
  stats(): Stats {
    const stats = this.#out.stats();
    // The half below knows nothing of classes.
    const { normal, [this.priority]: own } = stats.classes;
    return { ...stats, classes: { ...stats.classes, normal: own, [this.priority]: normal } };
  }

  /**
   * What is received, as a WHATWG stream; a chunk is a message. It takes what is asked for and nothing ahead, so that a slow
   * reader makes the peer wait. Cancelling it is {@link stop}.
   *
   * It fails with a `TidegateError` whose `cause` is the {@link ChannelEnd}: `reset`, or `closed` with the connection.
   */
  get readable(): ReadableStream<In> {
    return (this.#readable ??= readableOf(this));
  }

  /**
   * What is sent, as a WHATWG stream; a chunk is a message, and is written when there is room for it. Closing it is
   * {@link close}, and done when the peer has everything that was written; aborting it is {@link reset}.
   *
   * It fails with a `TidegateError` if anything that was written was not delivered, also later than it was written:
   * `reset` if the peer wants nothing more, `closed`, `tooBig`, `unreadable`. `cause` is the {@link ChannelEnd}, if there is
   * one.
   */
  get writable(): WritableStream<Out> {
    return (this.#writable ??= writableOf(this));
  }

  /**
   * Sends nothing more; what is queued goes first, and then the peer sees the end. The other direction goes on. It begins with
   * the call, and gives what {@link stopped} does: `"closed"` once the peer has everything and the end of it, else how it has
   * ended instead. Never rejects.
   */
  close(): Promise<ChannelEnd> {
    if (this.#sends) {
      this.#sends = false;
      void this.#out.close();
      this.#backed.steer(this.#number, CLOSE);
      this.#dropIfOver();
    }
    return this.stopped;
  }

  /**
   * Sends nothing more at once: what is queued is `cancelled`, and the peer drops the message of which it has a part.
   * `code` is 38 for reasons of the application's own, the default, or another of 32 to 41 by the table in section 10 of the
   * protocol; `detail` has up to 1,024 bytes, and the rest is cut off. Behind {@link close} it cuts off what has not gone by
   * then, if the end has not.
   *
   * Throws a `TidegateError` `option` for any other code, and for a `detail` that is no `Uint8Array`.
   */
  reset(code: number = APPLICATION, detail?: Uint8Array<ArrayBuffer>): void {
    const end = checkReset(code, APPLICATION, detail);
    this.#backed.steer(this.#number, RESET, end.code, end.detail);
    if (!this.#sends) return;
    this.#stopped({ kind: "reset", ...end });
    this.#dropIfOver();
  }

  /**
   * Asks the peer to send nothing more, and why; as {@link reset}. What is there can still be taken. A channel that was
   * closed from both sides counts among the peer's until what has come is taken, or this says that it will not be.
   *
   * Throws as {@link reset}.
   */
  stop(code: number = CANCELLED, detail?: Uint8Array<ArrayBuffer>): void {
    const end = checkReset(code, CANCELLED, detail);
    this.#isWanted = false;
    // It may have kept its place for what nobody has taken.
    if (!this.#receives) return this.#dropIfOver();
    this.#receives = this.#isWanted = false;
    this.#backed.steer(this.#number, STOP, end.code, end.detail);
    this.#settle.ended(endOf(end));
    finish(this.#halfIn!);
    this.#dropIfOver();
  }

  /**
   * Wants nothing of it in either direction: for a channel that the peer has opened and nobody here knows. It is told code 33,
   * with `detail`. Throws as {@link reset}.
   */
  refuse(detail?: Uint8Array<ArrayBuffer>): void {
    this.reset(REFUSED, detail);
    this.stop(REFUSED, detail);
  }

  /** Closes it, and asks the peer to stop: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.close();
    this.stop();
    await closed;
  }

  #received(value: unknown, bytes: number, origin: Origin): void {
    if (!this.#receives) return this.#backed.took(origin, true);
    this.#inbox.note(origin);
    this.#halfIn!.received(value, bytes);
  }

  /**
   * Neither direction goes on, and nothing waits: the core need not know it any more. Before, the peer could fill the queues
   * of one channel after the other.
   */
  #dropIfOver(): void {
    if (this.#sends || this.#receives || !this.#number || !this.#isGiven || this.#isDropped) return;
    if (this.#isWanted && this.#inbox.queued.messages) return;
    this.#isDropped = true;
    this.#backed.steer(this.#number, DROP);
  }

  /** What is sent has ended; the first time counts. */
  #stopped(end: ChannelEnd): void {
    this.#sends = false;
    this.#end ??= end;
    this.#settle.accepted(end);
    this.#settle.stopped(end);
    finish(this.#halfOut!);
  }

  /** What a message was refused with: by the connection, or by a channel of one that goes on. */
  #why(error: unknown): unknown {
    const { code, data } = error as TidegateError;
    if (code !== "closed" || this.#end?.kind === "connectionOver") return error;
    const why = "the channel takes no more messages: it was closed or reset here, or is not wanted there";
    return new TidegateError("closed", `${why}; nothing was sent`, { cause: this.#end, data });
  }
}

/** The end that such a reset is. */
function checkReset(code: number, fallback: number, detail: Uint8Array<ArrayBuffer> | undefined): HalfEnd {
  const wanted = `${CANCELLED} to ${LAST_CODE}: ${APPLICATION} is an application's own, with its reason as \`detail\``;
  const number = checkNumber("code", code, fallback, wanted, LAST_CODE, CANCELLED);
  if (!Number.isInteger(number)) throw invalid("code", code, wanted);
  if (detail != undefined && !(detail instanceof Uint8Array)) throw invalid("detail", detail, "a Uint8Array");
  return { code: number, detail: (detail ?? new Uint8Array(0)).slice(0, LONGEST_DETAIL) };
}

function endOf({ code, detail }: HalfEnd): ChannelEnd {
  if (code > 0) return { kind: "reset", code, detail };
  return { kind: code ? "connectionOver" : "closed" };
}

/** For those who wait for what the peer may not have. */
function lost(cause: ChannelEnd): TidegateError {
  const why = cause.kind === "reset" ? "channel was reset" : "connection has ended";
  return new TidegateError("closed", `the ${why} before the peer was known to have everything; see \`cause\``, { cause });
}

function checkCodec<In, Out>(codec: Codec<In, Out> | undefined): Codec<In, Out> | undefined {
  if (codec != undefined && !(Object(codec).encode && Object(codec).decode)) throw invalid("codec", codec, "encode and decode");
  return codec ?? undefined;
}

/** Ends a half, once. What it is closed with nobody sees: that is what the {@link ChannelEnd} is for. */
function finish(half: Sink): void {
  // It may have ended already.
  if (done.has(half)) return;
  done.add(half);
  half.closed(1005, "", true, 0, 0, 0, 0, 0);
}

const done = new WeakSet<Sink>();

/** The core of a half that sends nothing. */
const idle: Core = {
  send: () => -2,
  cancel() {},
  acknowledged() {},
  close() {},
  end() {},
  abort() {},
  stat: () => 0,
  free() {},
};

function coreOf(told: (sink: Sink) => void, core: Core): CoreConstructor {
  return function (_raw: unknown, _early: unknown, sink: Sink) {
    told(sink);
    return core;
  } as unknown as CoreConstructor;
}

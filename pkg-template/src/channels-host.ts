/**
 * Between the facade and the wasm in tidegate mode: records, items and channels, beside what host.ts has.
 *
 * Of a message that has arrived the wasm gets what stands around the content of items, which is taken from the message
 * itself; a message to send is put together here of what the wasm has written and of the values that wait.
 */

import { Arriving } from "./arriving.js";
import type { WasmExports } from "./border.js";
import type { CreditInbox, Origin } from "./credit-inbox.js";
import type { CoreConstructor, Options, Sink, SocketEvent, WebSocketLike } from "./core.js";
import { bytesOf, type Parcel } from "./data.js";
import type { GoAway } from "./go-away.js";
import { RECEIVED, WasmBacked, guard, hostOf, imports as plain } from "./host.js";
import { CAUSES, OUTCOMES } from "./ticket.js";

OUTCOMES.push("delivered", "tooBig");
CAUSES.push("peerFault", "toldFault", "refused", "superseded", "silent");

/** The subprotocol. */
export const SUBPROTOCOL = "tidegate.v1";

/** What the module exports beside what plain mode's does: `src/js/channels.rs` in the crate, seen from here. */
export interface ChannelsExports extends WasmExports {
  core_speak(
    core: number,
    accepts: number,
    random: number,
    maxChannels: number,
    maxMessageBytes: number,
    maxQueuedBytes: number,
    delayMs: number,
    helloMs: number,
    pingMs: number,
    messageBytes: number,
  ): void;
  /** Where messages and names are put, one for all. */
  core_desk_new(): number;
  /** Where so many bytes may be written, until the next call that takes them. */
  core_desk_reserve(desk: number, bytes: number): number;
  core_receive(core: number, desk: number, isBinary: number): void;
  core_open(core: number, desk: number, channel: number, priority: number): number;
  core_sendOn(
    core: number,
    channel: number,
    slot: number,
    kind: number,
    bytes: number,
    deadlineMs: number,
    replaces: number,
  ): number;
  core_steer(core: number, desk: number, channel: number, what: number, value: number): void;
  core_took(core: number, key: number, serial: number, cost: number, bad: number): void;
}

/**
 * What this side takes and does: maxChannels, maxMessageBytes, maxQueuedBytes, delay in milliseconds, how long the
 * peer's first record may take, 0 for any time, after how much silence it is asked, and the largest WebSocket message that
 * the socket takes.
 */
export type Limits = readonly [number, number, number, number, number, number, number];

/** Told of a channel that the peer opens: its number, name and class. Gives who is told of it. */
export type Offer = (backed: TidegateBacked, channel: number, name: string, priority: number) => ChannelEvents;

/** How a direction of a channel has ended: the code of a reset, 0 for a close, -1 with the connection. */
export interface HalfEnd {
  readonly code: number;
  readonly detail: Uint8Array<ArrayBuffer>;
}

/** What is told of one channel. */
export interface ChannelEvents {
  received(value: unknown, bytes: number, origin: Origin): void;
  outcome(ticket: number, outcome: number): void;
  accepted(): void;
  /** The peer sends nothing more. */
  ended(end: HalfEnd): void;
  /** What is sent has ended: the peer has acknowledged its close, or one of the two has reset it. */
  stopped(end: HalfEnd): void;
}

/** A channel, as long as anything is to be told of it. */
interface Known {
  readonly events: ChannelEvents;
  /** Messages that were sent and have not ended. */
  pending: number;
  /** It was closed, of which the peer's word is still to come. */
  isClosing: boolean;
  isDropped: boolean;
}

// What `core_steer` is told, as `steer` in `src/js/channels.rs`.

export const CLOSE = 0;
export const RESET = 1;
export const STOP = 2;
export const DROP = 3;
export const PREFER = 4;

/** As `told` in `src/js/core.rs` has it beside those of `host.ts`: milliseconds to drain, until a return, and of jitter. */
const SHUT_DOWN = 10;

/** What `core_send` gives for a message that is larger than the peer takes, and its place in `OUTCOMES`. */
const TOO_BIG = -6;
const TOO_BIG_OUTCOME = OUTCOMES.indexOf("tooBig");

/** So much is taken before the wasm hears of it, in bytes of credit, as long as more is there. */
const TAKEN_BYTES = 8192;

/** Content of so many bytes is not copied where that can be done without; less is copied sooner than that is seen to. */
const LARGE = 16_384;
/** Room around large content for what the wasm writes in front of it and behind it. */
const MARGIN = 64;
/** The own copies of what is sent that have that room. Into no other memory is ever written: it may be somebody else's. */
const roomy = new WeakSet<Uint8Array>();
/** The largest message that the protocol allows. */
const MOST_ITEM = 14_913_024;

/** A browser's own `send`, with nothing of a page's around it: when that returns it has copied what it was given. */
const BROWSERS_SEND = /^function send\(\)\s*\{\s*\[native code\]\s*\}$/;

/** The type of a record with content, and how much may stand in front of that: channel, flags, size of the item. */
const DATA = 0x45;
const FRONT = 17;
/**
 * One more than the largest WebSocket message that this side takes (`Settings` in `src/proto/v1/session/config.rs`): to see
 * that one is larger the wasm need not have more of it, whatever `ws` lets through.
 */
const TOO_LONG = 263_168 + 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const nothing = new Uint8Array(0);

/** What the wasm calls. */
export let imports: WebAssembly.ModuleImports;

/** A connection over the wasm that speaks `tidegate.v1`, if its server chooses to. */
export class TidegateBacked extends WasmBacked {
  declare static wasm: ChannelsExports;
  /** Where it is shown messages and names, those of all connections. */
  static desk: number;
  declare protected readonly wasm: ChannelsExports;
  readonly #inbox: CreditInbox;
  /** Whether it is in tidegate mode. */
  isTidegate = false;
  /** The message that is being read. */
  #message = nothing;
  /**
   * Whether the socket is being given a message. One that was injected may tell of others from in there, which is inside the
   * wasm: a message that is acknowledged before `send` has returned would pass for refused.
   */
  #isGiving = false;
  /** What it has told of meanwhile, and whatever comes as long as that waits. */
  readonly #told: SocketEvent[] = [];
  /** By the core's number of the channel. */
  readonly #arriving = new Map<number, Arriving>();
  /** Channels on which a text has come that is none, by the core's number, until the core knows: what is to be told it. */
  readonly #refused = new Map<number, Origin>();
  readonly #channels = new Map<number, Known>();
  #lastChannel = 0;
  #taken: Origin[] = [];
  #takenBytes = 0;
  /** Whether the socket has copied what it is given when `send` returns, so that the memory can be used at once. */
  readonly #isBrowsers: boolean;
  readonly #offer: Offer;
  /** Numbers that the core has not given out, and never will. */
  #lastRefused = 2 ** 53;
  /** Whether the session is over. */
  isOver = false;
  /** What the peer has announced of its end, the newest of it, and who is told that it has. */
  goAway: GoAway | null = null;
  onGoAway: (() => void) | undefined;
  /** When the peer may come back, and up to how much later, in milliseconds: if this side goes away by `end`. */
  back: readonly [number, number] | undefined;

  static {
    const host = (number: number): TidegateBacked => hostOf(number) as TidegateBacked;
    imports = {
      ...plain,
      records: (number: number, at: number, length: number, inserts: number, count: number) =>
        +host(number).#records(at, length, inserts, count),
      chunk: (number: number, ...part: [number, number, number, number, number, number, number]) =>
        guard(() => host(number).#chunk(...part)),
      voided: (number: number, key: number) => void host(number).#arriving.delete(key),
      channelOutcome: (number: number, channel: number, ticket: number, outcome: number) =>
        guard(() => host(number).#outcome(channel, ticket, outcome)),
      offered: (number: number, at: number, length: number, priority: number) =>
        host(number).#offered(at, length, priority),
      accepted: (number: number, channel: number) => guard(() => host(number).#channels.get(channel)?.events.accepted()),
      halfEnded: (number: number, channel: number, ours: number, code: number, at: number, length: number) =>
        guard(() => {
          const backed = host(number);
          const end = { code, detail: backed.#bytes(at, length).slice() };
          const known = backed.#channels.get(channel);
          if (!ours) return known?.events.ended(end);
          if (!known) return;
          known.isClosing = false;
          known.events.stopped(end);
          backed.#forgetIfOver(channel, known);
        }),
      channelsOver: (number: number) => guard(() => host(number).#over()),
      goingAway: (number: number, ...told: [number, number, number, number, number, number]) =>
        guard(() => host(number).#going(...told)),
    };
  }

  constructor(
    accepts: boolean,
    limits: Limits,
    inbox: CreditInbox,
    offer: Offer,
    raw: WebSocketLike,
    early: SocketEvent[],
    sink: Sink,
    options: Options,
  ) {
    super(raw, [], sink, options);
    this.#inbox = inbox;
    this.#offer = offer;
    this.#isBrowsers = this.copies && BROWSERS_SEND.test(Function.prototype.toString.call(raw.send));
    const random = Math.floor(Math.random() * 2 ** 53);
    this.wasm.core_speak(this.core, +accepts, random, ...limits);
    for (const event of early) this.hear(event);
  }

  override send(message: Parcel, priority: number, flow: number, deadlineMs: number, replaces: number): number {
    const sent = super.send(this.isTidegate ? this.#own(message) : message, priority, flow, deadlineMs, replaces);
    return sent === TOO_BIG ? this.#tooBig((number) => this.sink.outcome(number, TOO_BIG_OUTCOME)) : sent;
  }

  /** A number for a message that has ended so, which is told later by `end`: the socket knows no such refusal. */
  #tooBig(end: (number: number) => void): number {
    const number = --this.#lastRefused;
    queueMicrotask(() => end(number));
    return number;
  }

  override end(withinMs: number, closeMs: number): void {
    if (this.isTidegate && this.back) this.tell(SHUT_DOWN, withinMs, ...this.back);
    else super.end(withinMs, closeMs);
  }

  /** In plain mode, a close that is under way takes so long at most; 0: as long as it may. */
  hurry(withinMs: number): void {
    this.tell(SHUT_DOWN, withinMs, 0, 0);
  }

  /** The socket has less to write than it had. */
  written(): void {
    // As a task of its own, in which it is looked at again.
    this.tell(RECEIVED, 0);
  }

  /** As `send`, on a channel. */
  sendOn(channel: number, message: Parcel, deadlineMs: number, replaces: number): number {
    if (!this.core) return -2;
    const { kind, data, bytes, owned } = this.#own(message);
    const slot = this.slots.put(data);
    const number = this.wasm.core_sendOn(this.core, channel, slot, kind, bytes, deadlineMs, replaces);
    if (number === TOO_BIG) {
      const { events } = this.#channels.get(channel)!;
      return this.#tooBig((refused) => events.outcome(refused, TOO_BIG_OUTCOME));
    }
    if (number === -2) this.slots.take(slot);
    else if (number > 0) {
      if (!owned) this.slots.replace(slot, bytesOf(data as ArrayBuffer).slice());
      const known = this.#channels.get(channel);
      if (known) known.pending++;
    }
    return number;
  }

  /** Opens a channel: its number, or below 0 why not. */
  open(name: string, priority: number, events: ChannelEvents): number {
    if (!this.core) return -2;
    const channel = ++this.#lastChannel;
    this.#write(encoder.encode(name));
    this.#channels.set(channel, { events, pending: 0, isClosing: false, isDropped: false });
    const refused = this.wasm.core_open(this.core, TidegateBacked.desk, channel, priority);
    if (!refused) return channel;
    this.#channels.delete(channel);
    return refused;
  }

  /** See the numbers above. After `DROP` nothing more is told of it but what becomes of messages, and of its close. */
  steer(channel: number, what: number, value = 0, detail: Uint8Array<ArrayBuffer> = nothing): void {
    if (!this.core) return;
    const known = this.#channels.get(channel);
    // Before the call, within which it may be told.
    if (what === CLOSE && known) known.isClosing = true;
    if (detail.length) this.#write(detail);
    this.wasm.core_steer(this.core, TidegateBacked.desk, channel, what, value);
    if (what !== DROP || !known) return;
    known.isDropped = true;
    this.#forgetIfOver(channel, known);
  }

  /** Forgets a channel of which nothing is told any more. Who waits for its messages may wait for that. */
  #forgetIfOver(channel: number, known: Known): void {
    if (!known.isDropped || known.isClosing || known.pending) return;
    this.#channels.delete(channel);
    known.events.stopped({ code: 0, detail: nothing });
  }

  /** An item was taken. The last of what is there is told at once: the peer may have nothing else to wait for. */
  took(origin: Origin, isLast: boolean): void {
    const last = this.#taken.at(-1);
    if (last?.key === origin.key && last.serial === origin.serial) {
      this.#taken[this.#taken.length - 1] = { ...last, cost: last.cost + origin.cost };
    } else {
      this.#taken.push(origin);
    }
    this.#takenBytes += origin.cost;
    if (this.#takenBytes < TAKEN_BYTES && !isLast) return;
    this.#takenBytes = 0;
    for (const { key, serial, cost } of this.#taken.splice(0)) {
      if (this.core) this.wasm.core_took(this.core, key, serial, cost, 0);
    }
  }

  protected override speaks(): boolean {
    this.isTidegate = this.raw.protocol === SUBPROTOCOL;
    if (this.isTidegate) {
      // Before the first message can come.
      this.raw.binaryType = "arraybuffer";
      this.#inbox.unbind((origin, isLast) => this.took(origin, isLast));
    }
    return this.isTidegate;
  }

  protected override hear(event: any): void {
    if (!this.isTidegate) super.hear(event);
    else if (!this.#isGiving && !this.#told.length) this.#take(event);
    else if (this.#told.push(event) === 1) {
      queueMicrotask(() => {
        // More may come while they are taken.
        for (const told of this.#told) guard(() => this.#take(told));
        this.#told.length = 0;
      });
    }
  }

  #take(event: any): void {
    if (event.type !== "message") return super.hear(event);
    if (!this.core) return;
    const { data } = event;
    const isBinary = typeof data !== "string";
    if (isBinary) {
      // Node's `ws` gives views of memory that it shares out.
      this.#message = bytesOf(data as ArrayBuffer);
      this.#show(this.#message);
    }
    this.wasm.core_receive(this.core, TidegateBacked.desk, +isBinary);
    this.#message = nothing;
  }

  #write(bytes: Uint8Array): void {
    this.#bytes(this.wasm.core_desk_reserve(TidegateBacked.desk, bytes.length), bytes.length).set(bytes);
  }

  /** Writes a message but for content that is large, at which the wasm does not look. */
  #show(message: Uint8Array): void {
    if (message.length < LARGE) return this.#write(message);
    const length = Math.min(message.length, TOO_LONG);
    const memory = this.#bytes(this.wasm.core_desk_reserve(TidegateBacked.desk, length), length);
    let written = 0;
    for (let at = 0; at < length; ) {
      // As PROTOCOL.md 4.3 has it. What is cut off or worse makes `at` no number, or one beyond the end.
      const type = message[at++];
      const size = 1 << (message[at]! >> 6);
      let bytes = message[at]! & 0x3f;
      for (let i = 1; i < size; i++) bytes = bytes * 256 + message[at + i]!;
      at += type! & 0x40 ? size + 2 : size;
      const shown = at + FRONT;
      at += bytes;
      if (type !== DATA || bytes < LARGE || !(at <= length)) continue;
      memory.set(message.subarray(written, shown), written);
      written = at;
    }
    memory.set(message.subarray(written, length), written);
  }

  /**
   * A message of which nobody else has the bytes: they are kept until the peer has them, also if they go at once. What no
   * peer takes is refused as it is.
   */
  #own(message: Parcel): Parcel {
    const { kind, data, bytes, owned } = message;
    if (!kind) return { ...message, data: encoder.encode(data as string) };
    if (owned || bytes > MOST_ITEM) return message;
    const source = bytesOf(data as ArrayBuffer);
    if (!this.#isBrowsers || bytes < LARGE) return { kind, data: source.slice(), bytes, owned: true };
    const own = new Uint8Array(bytes + 2 * MARGIN).subarray(MARGIN, MARGIN + bytes);
    own.set(source);
    roomy.add(own);
    return { kind, data: own, bytes, owned: true };
  }

  /** A part of the wasm's memory, until that grows. */
  #bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.wasm.memory.buffer as ArrayBuffer, at >>> 0, length);
  }

  #records(at: number, length: number, inserts: number, count: number): boolean {
    try {
      if (this.raw.readyState > 1) return false;
      const written = this.#bytes(at, length);
      // Four numbers each: before which byte, which slot, from and to where of it.
      const numbers = new Float64Array(this.wasm.memory.buffer, inserts >>> 0, 4 * count);
      const [before, slot, start, end] = numbers as unknown as [number, number, number, number];
      if (count === 1 && this.#giveAround(written, before, this.slots.get(slot), start, end)) return true;
      this.#give(count || !this.#isBrowsers ? this.#together(written, numbers) : written);
      return true;
    } catch {
      return false;
    }
  }

  #give(message: Uint8Array): void {
    this.#isGiving = true;
    try {
      this.raw.send(message as never);
    } finally {
      this.#isGiving = false;
    }
  }

  /** A message of what the wasm has written and of the values that wait. */
  #together(written: Uint8Array, inserts: Float64Array): Uint8Array {
    let total = written.length;
    for (let i = 0; i < inserts.length; i += 4) total += inserts[i + 3]! - inserts[i + 2]!;
    const message = this.#isBrowsers ? scratchOf(total) : new Uint8Array(total);
    let from = 0;
    let to = 0;
    for (let i = 0; i < inserts.length; i += 4) {
      const [before, slot, start, end] = inserts.subarray(i, i + 4) as unknown as [number, number, number, number];
      message.set(written.subarray(from, before), to);
      to += before - from;
      from = before;
      message.set(bytesOf(this.slots.get(slot) as ArrayBuffer).subarray(start, end), to);
      to += end - start;
    }
    message.set(written.subarray(from), to);
    return message;
  }

  /**
   * Gives a message around large content from where that is, if that is memory with room for it: what stood there comes
   * back. Returns whether it has.
   */
  #giveAround(written: Uint8Array, before: number, content: unknown, start: number, end: number): boolean {
    if (end - start < LARGE || !this.#isBrowsers || !roomy.has(content as Uint8Array)) return false;
    const { buffer, byteOffset } = content as Uint8Array<ArrayBuffer>;
    const at = byteOffset + start - before;
    const length = written.length + end - start;
    if (at < 0 || at + length > buffer.byteLength) return false;
    const message = new Uint8Array(buffer, at, length);
    const behind = before + end - start;
    const stood = [message.slice(0, before), message.slice(behind)] as const;
    message.set(written.subarray(0, before));
    message.set(written.subarray(before), behind);
    try {
      this.#give(message);
    } finally {
      message.set(stood[0]);
      message.set(stood[1], behind);
    }
    return true;
  }

  #chunk(
    channel: number,
    key: number,
    serial: number,
    start: number,
    length: number,
    first: number,
    cost: number,
  ): void {
    const refused = this.#refused.get(key);
    if (refused?.serial === serial) {
      // Behind it nothing is taken, but paid for: PROTOCOL.md 7.4.
      if (cost >= 0) this.#refused.set(key, { key, serial, cost: refused.cost + cost });
      return;
    }
    let arriving = this.#arriving.get(key);
    if (first >= 0) {
      // 1 for text, and twice one more than its size, or 0 if that is not known.
      arriving = new Arriving(!!(first & 1), (first >> 1) - 1);
      if (cost < 0) this.#arriving.set(key, arriving);
    } else if (cost >= 0) {
      this.#arriving.delete(key);
    }
    if (!arriving) return;
    arriving.add(this.#message.subarray(start, start + length));
    if (cost < 0) return;
    const origin = { key, serial, cost };
    const { bytes } = arriving;
    let value: unknown = bytes.buffer;
    if (arriving.isText) {
      try {
        value = decoder.decode(bytes);
      } catch {
        // Not from here, which is inside the wasm.
        this.#refused.set(key, origin);
        queueMicrotask(() => {
          const { cost: all } = this.#refused.get(key)!;
          this.#refused.delete(key);
          if (this.core) this.wasm.core_took(this.core, key, serial, all, 1);
        });
        return;
      }
    }
    if (channel) {
      this.#channels.get(channel)?.events.received(value, bytes.length, origin);
    } else {
      this.#inbox.note(origin);
      this.sink.received(value, bytes.length);
    }
  }

  #outcome(channel: number, ticket: number, outcome: number): void {
    const known = this.#channels.get(channel);
    if (!known) return;
    known.pending--;
    known.events.outcome(ticket, outcome);
    this.#forgetIfOver(channel, known);
  }

  #offered(at: number, length: number, priority: number): number {
    const name = decoder.decode(this.#bytes(at, length).slice());
    const channel = ++this.#lastChannel;
    const events = this.#offer(this, channel, name, priority);
    this.#channels.set(channel, { events, pending: 0, isClosing: false, isDropped: false });
    return channel;
  }

  #going(code: number, drain: number, reconnectAfter: number, jitter: number, at: number, length: number): void {
    this.goAway = { code, reason: decoder.decode(this.#bytes(at, length).slice()), drain, reconnectAfter, jitter };
    this.onGoAway?.();
  }

  #over(): void {
    this.isOver = true;
    const end = { code: -1, detail: nothing };
    for (const { events } of [...this.#channels.values()]) {
      events.ended(end);
      events.stopped(end);
    }
    this.#channels.clear();
    this.#arriving.clear();
  }
}

/** The constructor of a connection, with what it needs beside. `made` is told of it. */
export function constructorOf(
  accepts: boolean,
  limits: Limits,
  inbox: () => CreditInbox,
  offer: Offer,
  made: (backed: TidegateBacked) => void,
): CoreConstructor {
  // A constructor may give another object than its own.
  return function (raw: WebSocketLike, early: SocketEvent[], sink: Sink, options: Options) {
    const backed = new TidegateBacked(accepts, limits, inbox(), offer, raw, early, sink, options);
    made(backed);
    return backed;
  } as unknown as CoreConstructor;
}

/** Where messages are put together for browsers: so many bytes, which are what they were. */
function scratchOf(bytes: number): Uint8Array {
  if (scratch.length < bytes) scratch = new Uint8Array(Math.max(bytes, LARGE));
  return scratch.subarray(0, bytes);
}
let scratch = nothing;

/**
 * Between the facade and the wasm: the socket, the timer, and the values, which the wasm knows by
 * number only. Nothing but numbers crosses the border.
 */

import type { WasmExports, WasmImports } from "./border.js";
import { now } from "./clock.js";
import type { Core, Options, Sink, SocketEvent, WebSocketLike } from "./core.js";
import { bytesOf, type Parcel } from "./data.js";
import { Timer, onVisibility } from "./timers.js";

/** Behind `open` an `error` says nothing that `close` does not; before it, it may be all that comes. */
const EVENTS = ["open", "message", "error", "close"];

/** The reason that goes with a close because the receive queue was full. */
const OVERFLOW = "receive queue overflow";

/** What has arrived and is no WebSocket message. */
export interface Unsupported {
  readonly unsupported: string;
}

/** Has `listener` told of the socket's events. */
export function listen(raw: WebSocketLike, listener: (event: SocketEvent) => void): void {
  for (const type of EVENTS) raw.addEventListener(type, listener);
}

/** Takes it off again. */
export function unlisten(raw: WebSocketLike, listener: (event: SocketEvent) => void): void {
  for (const type of EVENTS) raw.removeEventListener(type, listener);
}

/** Takes `listener` off the socket and closes it, whatever it throws. */
export function letGo(raw: WebSocketLike, listener: (event: SocketEvent) => void): void {
  try {
    unlisten(raw, listener);
    if (raw.readyState < 2) raw.close();
  } catch {
    // A foreign socket; there is nothing more to be done about it.
  }
}

/** Runs `step`, called by the wasm, and reports what it throws as an event handler's is. */
export function guard(step: () => void): void {
  try {
    step();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Values under numbers, which are used again. */
class Slots<T> {
  readonly #values: (T | undefined)[] = [];
  readonly #free: number[] = [];

  put(value: T): number {
    const slot = this.#free.pop() ?? this.#values.length;
    this.#values[slot] = value;
    return slot;
  }

  get(slot: number): T {
    return this.#values[slot]!;
  }

  /** Takes the value out. */
  take(slot: number): T {
    const value = this.#values[slot]!;
    this.replace(slot, undefined);
    this.#free.push(slot);
    return value;
  }

  replace(slot: number, value: T | undefined): void {
    this.#values[slot] = value;
  }
}

/** The connections, by the number that the wasm knows them by. */
const hosts = new Slots<WasmBacked>();

/** The connection of that number. */
export const hostOf = (host: number): WasmBacked => hosts.get(host);

// What the wasm is told by `core_tell`, and with which numbers; as `told` in `src/js/core.rs`.

/** Whether it speaks `tidegate.v1`; only the module that does looks at it. */
const OPENED = 0;
/** The code to close with if there is no room for the message, else 0. */
export const RECEIVED = 1;
/** The code, whether it was clean. */
const CLOSED = 2;
/** The id, the slot, below 0 if it could not be read, the bytes. */
const FETCHED = 3;
const TIMER = 4;
/** The bytes. */
const ACKNOWLEDGED = 5;
/** The ticket. */
const CANCEL = 6;
/** The code or 0, milliseconds, whether to flush. */
const CLOSE = 7;
/** Milliseconds, those for the close after that. */
const END = 8;
const ABORT = 9;

/** Joins this side with the exports of the module that was given {@link imports}. */
export function join(exports: WasmExports): WasmExports {
  return (WasmBacked.wasm = exports);
}

/**
 * What the wasm calls. Nothing of it may throw: the exception would go through its frames, and the pump that was
 * running would never run again.
 */
export let imports: WasmImports;

/** `Core` over the wasm. */
export class WasmBacked implements Core {
  /** What the module exports, once it is loaded. */
  static wasm: WasmExports;
  protected readonly wasm: WasmExports;
  protected readonly raw: WebSocketLike;
  protected readonly sink: Sink;
  /** Whether the socket is the host's own, which copies what it is given at once. */
  protected readonly copies: boolean;
  protected readonly slots = new Slots<unknown>();
  readonly #host: number;
  /** What the wasm knows it by; 0 before, and once given back: a read or a timer may come later. */
  protected core = 0;
  /** The reason given to the first `close`, which is the one that counts; or that of an overflow. */
  #reason: string | undefined;
  /** The reason of the close event. */
  #received = "";
  /** Whether messages that arrive are for the application: none is that comes before the opening or after a close. */
  #delivers = false;
  protected wasOpen = false;
  readonly #fire = (): void => {
    this.tell(TIMER);
  };
  readonly #timer = new Timer(this.#fire);
  /** Stops listening to whether the page is hidden: what waits by a timer that is held up is set again then. */
  readonly #unwatch = onVisibility(this.#fire);
  readonly #listener = (event: SocketEvent): void => this.hear(event);

  static {
    const sink = (host: number): Sink => hosts.get(host).sink;
    imports = {
      now,
      transmit: (host, slot) => hosts.get(host).#transmit(slot),
      close: (host, code) => hosts.get(host).#close(code),
      detach: (host) => hosts.get(host).#detach(),
      read: (host, id, slot, start, end) => hosts.get(host).#read(id, slot, start, end),
      release: (host, slot) => void hosts.get(host).slots.take(slot),
      amount: (host) => hosts.get(host).#amount(),
      setTimer: (host, milliseconds) => hosts.get(host).#timer.set(milliseconds),
      opened: (host) => guard(() => hosts.get(host).#opened()),
      outcome: (host, ticket, outcome) => guard(() => sink(host).outcome(ticket, outcome)),
      ended: (host, code, wasClean, ...rest) =>
        guard(() => sink(host).closed(code, hosts.get(host).#received, !!wasClean, ...rest)),
    };
  }

  constructor(raw: WebSocketLike, early: SocketEvent[], sink: Sink, options: Options) {
    this.wasm = new.target.wasm;
    this.raw = raw;
    this.sink = sink;
    this.copies = !!globalThis.WebSocket && raw instanceof WebSocket;
    this.#host = hosts.put(this);
    this.core = this.wasm.core_new(this.#host, ...options);
    listen(raw, this.#listener);
    for (const event of early) this.hear(event);
  }

  send(message: Parcel, priority: number, flow: number, deadlineMs: number, replaces: number): number {
    // It would be refused below, and counted as unsent though the caller has it back.
    if (this.raw.readyState > 1) return -2;
    // A browser copies when it is given the bytes. Others may look at them later: `ws` compresses so.
    let { kind, data, owned } = message;
    if (!this.copies && !owned) {
      data = bytesOf(data as ArrayBuffer).slice();
      owned = true;
    }
    const slot = this.slots.put(data);
    const number = this.wasm.core_send(this.core, slot, kind, message.bytes, priority, flow, deadlineMs, replaces);
    if (number === -2) this.slots.take(slot);
    // Sending has been tried. What still waits is copied, and only that: the caller may change it.
    else if (number > 0 && !owned) this.slots.replace(slot, bytesOf(data as ArrayBuffer).slice());
    return number;
  }

  acknowledged(bytes: number): void {
    this.tell(ACKNOWLEDGED, bytes);
  }

  cancel(ticket: number): void {
    this.tell(CANCEL, ticket);
  }

  close(code: number, reason: string, withinMs: number, flush: boolean): void {
    this.#reason ??= reason;
    this.tell(CLOSE, code, withinMs, +flush);
  }

  end(withinMs: number, closeMs: number): void {
    this.tell(END, withinMs, closeMs);
  }

  abort(): void {
    this.tell(ABORT);
  }

  stat(index: number): number {
    return this.wasm.core_stat(this.core, index);
  }

  free(): void {
    this.#unwatch();
    this.wasm.__wbg_core_free(this.core, 0);
    this.core = 0;
    hosts.take(this.#host);
  }

  protected tell(what: number, a?: number, b?: number, c?: number): void {
    if (this.core) this.wasm.core_tell(this.core, what, a, b, c);
  }

  protected hear(event: any): void {
    if (event.type === "message") {
      const { data } = event;
      const bytes = typeof data === "string" ? data.length : (data?.byteLength ?? data?.size);
      const value: unknown = bytes === undefined ? ({ unsupported: typeof data } satisfies Unsupported) : data;
      const overflow = this.#delivers ? this.sink.received(value, bytes ?? 0) : 0;
      if (overflow) this.#reason = OVERFLOW;
      this.tell(RECEIVED, overflow);
    } else if (event.type === "open") {
      this.wasOpen = true;
      this.tell(OPENED, +this.speaks());
    } else if (event.type === "close") {
      this.#received = event.reason;
      this.tell(CLOSED, event.code, +event.wasClean);
    } else if (!this.wasOpen) {
      // `error`. A handshake has failed, of which Node 22 says nothing else, nor WebKit where the page may not have one.
      this.tell(CLOSED, 1006);
    }
  }

  /** Whether it speaks `tidegate.v1`. */
  protected speaks(): boolean {
    return false;
  }

  #transmit(slot: number): boolean {
    try {
      // While it closes, a browser takes everything and sends nothing.
      if (this.raw.readyState > 1) return false;
      this.raw.send(this.slots.get(slot) as never);
      return true;
    } catch {
      return false;
    }
  }

  #amount(): number {
    try {
      return this.raw.bufferedAmount || +!!this.raw.isWriting;
    } catch {
      return 0;
    }
  }

  #opened(): void {
    this.#delivers = true;
    this.sink.opened();
  }

  #detach(): void {
    this.#delivers = false;
    letGo(this.raw, this.#listener);
  }

  #close(code: number): void {
    this.#delivers = false;
    try {
      if (code) this.raw.close(code, this.#reason);
      else this.raw.close();
    } catch {
      // Code and reason were checked. If a foreign socket throws, the close deadline ends it.
    }
  }

  #read(id: number, slot: number, start: number, end: number): void {
    const blob = this.slots.get(slot) as Blob;
    new Promise<ArrayBuffer>((resolve) => {
      // The whole is not sliced: an empty slice of a file that is gone reads as empty.
      const part = start === 0 && end === blob.size ? blob : blob.slice(start, end);
      // Throws where a runtime lacks it.
      resolve(part.arrayBuffer());
    }).then(
      (buffer) => {
        // After the end nobody would take it out of its slot.
        if (this.core) this.tell(FETCHED, id, this.slots.put(buffer), buffer.byteLength);
      },
      () => this.tell(FETCHED, id, -1),
    );
  }
}

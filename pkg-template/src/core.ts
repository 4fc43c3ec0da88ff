/**
 * The interfaces to the wasm module (`src/js` in the crate): {@link WasmCore}, to which everything
 * is a number, and {@link Core}, the same with values, made of it by host.ts. Everything in them is
 * synchronous: promises, tickets and iterators are made on this side.
 *
 * Not here: behaviour. The numbers are given names in ticket.ts.
 */

import type { Parcel } from "./data.js";

/** The four events of a socket. `Event` of the DOM, or what `ws` gives. */
export interface SocketEvent {
  readonly type: string;
}

// `any`: each host has event classes of its own.
/** What is used of a WebSocket: a browser's, Node's own, or that of `ws`. */
export interface WebSocketLike {
  readonly url: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly readyState: number;
  readonly bufferedAmount?: number;
  binaryType: string;
  send(data: never): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: any) => void): void;
  removeEventListener(type: string, listener: (event: any) => void): void;
}

/** What wasm calls. It may be called back from any of these. Values stand in numbered slots. */
export interface WasmHost {
  /** {@link Options} by index. */
  option(index: number): number;
  /** Gives the value of a slot to the socket; false if that throws. */
  transmit(slot: number): boolean;
  /** Closes the socket; `code` 0: without one. */
  close(code: number, overflow: boolean): void;
  /** Takes the listeners off the socket, and closes it. */
  detach(): void;
  /** Reads a range of a Blob; `WasmCore.fetched` is the answer. */
  read(id: number, slot: number, start: number, end: number): void;
  /** Forgets the value of a slot. `dropped` from 0 on: a received message of so many bytes, for want of room. */
  release(slot: number, dropped: number): void;
  /** The socket's `bufferedAmount`, 0 where it has none. */
  amount(): number;
  /** Calls `WasmCore.timer` after that time, with 0 in the next task; below 0: never. */
  setTimer(milliseconds: number): void;
  opened(): void;
  readable(): void;
  outcome(ticket: number, outcome: number): void;
  ended(
    code: number,
    wasClean: boolean,
    cause: number,
    unsentMessages: number,
    unsentBytes: number,
    unknownMessages: number,
    unknownBytes: number,
  ): void;
}

/** The wasm's class. */
export interface WasmCore {
  opened(): void;
  received(slot: number, bytes: number): void;
  closed(code: number, wasClean: boolean): void;
  /** `slot` below 0: it could not be read. */
  fetched(id: number, slot: number, bytes: number): void;
  timer(): void;
  /** As {@link Core.send}; with -2 the slot stays the caller's. */
  send(
    slot: number,
    kind: number,
    bytes: number,
    priority: number,
    flow: number,
    deadlineMs: number,
    replaces: number,
  ): number;
  cancel(ticket: number): void;
  /** The slot of the next message, which is then the caller's; below 0: none. */
  take(): number;
  close(code: number, withinMs: number, flush: boolean): void;
  end(withinMs: number, closeMs: number): void;
  abort(): void;
  /** As {@link Core.stat}. */
  stat(index: number): number;
  free(): void;
}

/** {@link WasmCore} as a constructor. */
export type WasmConstructor = new (host: WasmHost) => WasmCore;

/** What the facade is told. It may call back from any of these. */
export interface Sink {
  /** The socket is open. */
  opened(): void;
  /** There is a message again, once after `take` found none. */
  readable(): void;
  /** A received message of that size was dropped for want of room. */
  dropped(bytes: number): void;
  /** A queued message has come to its end; `outcome` is an index into `OUTCOMES`. */
  outcome(ticket: number, outcome: number): void;
  /** The connection has ended; `cause` is an index into `CAUSES`. Exactly once, the last call of all. */
  closed(
    code: number,
    reason: string,
    wasClean: boolean,
    cause: number,
    unsentMessages: number,
    unsentBytes: number,
    unknownMessages: number,
    unknownBytes: number,
  ): void;
}

/** One connection, from a socket that may still be connecting to its end. */
export interface Core {
  /**
   * 0: handed to the socket; above 0: queued under this number; -2: closing or closed;
   * -3: the socket has refused it; -4: its deadline has passed.
   *
   * `priority` is an index into `PRIORITIES`, `flow` a small number, `deadlineMs` below 0 is none; `replaces` is
   * the number of the message whose newer value this is, or 0.
   */
  send(message: Parcel, priority: number, flow: number, deadlineMs: number, replaces: number): number;
  /** Takes a message out of the queue; if it was still there, its outcome comes within this call. */
  cancel(ticket: number): void;
  /** The next message, or undefined. */
  take(): unknown;
  /** Begins the close; `code` 0: none. A second call does nothing. */
  close(code: number, reason: string, withinMs: number, flush: boolean): void;
  /** Sends what is queued, then only receives; `closeMs`: the deadline of the close after that. */
  end(withinMs: number, closeMs: number): void;
  /** Gives up at once. */
  abort(): void;
  /** What the socket says: bytes that it was given and has not sent. */
  readonly bufferedAmount: number;
  /**
   * One of the numbers of the connection: 0 bytes that stand in the socket's buffer, 1 that may, 2 bytes a second, 3
   * and 4 messages and bytes received and not taken.
   */
  stat(index: number): number;
  /** Gives the wasm side's memory back; no call may follow. */
  free(): void;
}

/**
 * What is left of the connect deadline in milliseconds, maxReceiveBytes and maxReceiveMessages (0 for none each), what
 * a full receive queue does (1 drops the oldest, 2 the newest, a close code closes with it), guaranteedShare,
 * budgetBytes, maxBytesPerSecond. Without end the budget is none: the socket then has room for one message,
 * when its `bufferedAmount` is 0, and the wasm is to be called when it is again.
 */
export type Options = readonly number[];

/** `Core` as a constructor: takes over `socket` with the events that came before, in order. */
export type CoreConstructor = new (
  socket: WebSocketLike,
  early: SocketEvent[],
  sink: Sink,
  options: Options,
) => Core;

/** What a package entry provides: the wasm's class, and the way to load it on this host. */
export interface Host {
  /** Usable once `load` has ended. */
  readonly Core: CoreConstructor;
  /** Loads the wasm; `undefined` when that is done already. `source` overrides where from. */
  load(source: WasmSource | undefined): Promise<unknown> | undefined;
}

/** A compiled `WebAssembly.Module`, which not every host's types have a name for. */
export interface WasmModule {}

/** Where the wasm comes from: its address, a response, its bytes, or a compiled module. */
export type WasmSource = string | URL | Request | Response | ArrayBufferLike | ArrayBufferView | WasmModule;

/**
 * The interface to the wasm module with values instead of numbers, made of that of border.ts by host.ts. Everything in
 * it is synchronous: promises, tickets and iterators are made on this side.
 *
 * Not here: behaviour. The numbers are given names in ticket.ts.
 */

import type { Parcel } from "./data.js";
import type { Inbox } from "./inbox.js";

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
  /** Whether it has a message, which may be empty; only that over `WebSocketStream` says so. @internal */
  readonly isWriting?: boolean;
  binaryType: string;
  send(data: never): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: any) => void): void;
  removeEventListener(type: string, listener: (event: any) => void): void;
}

/** What the facade is told. It may call back from any of these. */
export interface Sink {
  /** The socket is open. */
  opened(): void;
  /** A message has arrived. Gives the code to close with if there is no room for it and that is to be, else 0. */
  received(value: unknown, bytes: number): number;
  /** A message for which `send` has given a number has come to its end; `outcome` is an index into `OUTCOMES`. */
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
  /** The server has the first `bytes` bytes of all that the socket was given. */
  acknowledged(bytes: number): void;
  /** Begins the close; `code` 0: none. A second call does nothing. */
  close(code: number, reason: string, withinMs: number, flush: boolean): void;
  /** Sends what is queued, then only receives; `closeMs`: the deadline of the close after that. */
  end(withinMs: number, closeMs: number): void;
  /** Gives up at once. */
  abort(): void;
  /** One of the numbers of the connection: 0 bytes that stand in the socket's buffer, 1 that may, 2 bytes a second. */
  stat(index: number): number;
  /** Gives the wasm side's memory back; no call may follow. */
  free(): void;
}

/**
 * What is left of the connect deadline in milliseconds, 0 for none, guaranteedShare, budgetBytes, maxBytesPerSecond.
 * An infinite budgetBytes means none: the socket then has room for one message, when its `bufferedAmount` is 0, and the
 * wasm is to be called when it is again.
 */
export type Options = readonly number[];

/** `Core` as a constructor: takes over `socket` with the events that came before, in order. */
export type CoreConstructor = new (
  socket: WebSocketLike,
  early: SocketEvent[],
  sink: Sink,
  options: Options,
) => Core;

/** What a package entry provides: the wasm, and the way to load it on this host. */
export interface Host {
  /** Usable once `load` has ended. */
  readonly Core: CoreConstructor;
  /** The file of the wasm, if that is not plain mode's: for whoever has to serve it. */
  readonly file?: string;
  /** Makes the receive queue of a socket whose peer can be made to wait; bounds in bytes and messages, 0 for none. */
  inbox?(raw: WebSocketLike, maxBytes: number, maxMessages: number): Inbox;
  /** Loads the wasm; `undefined` when that is done already. `source` overrides where from. */
  load(source: WasmSource | undefined): Promise<unknown> | undefined;
}

/** A compiled `WebAssembly.Module`, which not every host's types have a name for, and which has no properties. */
export interface WasmModule {
  /** Nor is it a promise of one. */
  readonly then?: never;
}

/** Where the wasm comes from: its address, a response, its bytes, or a compiled module. */
export type WasmSource = string | URL | Request | Response | ArrayBufferLike | ArrayBufferView | WasmModule;

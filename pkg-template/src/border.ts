/**
 * The border to the wasm module: `src/js` in the crate, seen from here. Only numbers cross it, also for truths, which
 * are 0 or not.
 */

import type { Options } from "./core.js";

/**
 * What the wasm calls. It may be called back from any of these. `host` is the number that a connection has here;
 * values stand in numbered slots.
 */
export interface WasmImports extends WebAssembly.ModuleImports {
  now(): number;
  /** Gives the value of a slot to the socket; false if that throws. */
  transmit(host: number, slot: number): boolean;
  /** Closes the socket; `code` 0: without one. */
  close(host: number, code: number): void;
  /** Takes the listeners off the socket, and closes it. */
  detach(host: number): void;
  /** Reads a range of a Blob; `FETCHED` in host.ts is the answer. */
  read(host: number, id: number, slot: number, start: number, end: number): void;
  /** Forgets the value of a slot. */
  release(host: number, slot: number): void;
  /** The socket's `bufferedAmount`, 0 where it has none; 1 for an empty message that it is writing. */
  amount(host: number): number;
  /** Tells `TIMER` after that time, with 0 in the next task; below 0: never. */
  setTimer(host: number, milliseconds: number): void;
  opened(host: number): void;
  outcome(host: number, ticket: number, outcome: number): void;
  ended(
    host: number,
    code: number,
    wasClean: number,
    cause: number,
    unsentMessages: number,
    unsentBytes: number,
    unknownMessages: number,
    unknownBytes: number,
  ): void;
}

/** What the module exports, by the names that wasm-bindgen gives. `core` is what `core_new` gave, until it is freed. */
export interface WasmExports {
  readonly memory: WebAssembly.Memory;
  /** With the `Options` of core.ts. */
  core_new(host: number, ...options: Options): number;
  /** Something has happened, or is wanted: by the numbers that host.ts has; what is not given is NaN there, and not looked at. */
  core_tell(core: number, what: number, a?: number, b?: number, c?: number): void;
  /** As `Core.send`; with -2 the slot stays the caller's. */
  core_send(
    core: number,
    slot: number,
    kind: number,
    bytes: number,
    priority: number,
    flow: number,
    deadlineMs: number,
    replaces: number,
  ): number;
  /** As `Core.stat`. */
  core_stat(core: number, index: number): number;
  __wbg_core_free(core: number, later: number): void;
}

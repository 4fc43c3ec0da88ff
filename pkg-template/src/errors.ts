/** The one error class of the package, and what it is told apart by. */

import type { Closed } from "./ticket.js";

/**
 * What went wrong, in a word that never changes between releases. Program against this, not
 * against the message.
 *
 * - `url`, `protocols`: an argument of {@link connect} that cannot work; no socket was made.
 * - `option`: an option or an argument that cannot work, of {@link connect} or of a method of its socket; nothing was
 *   done.
 * - `environment`: there is no `WebSocket` here, or its constructor refused, or makes something else.
 * - `noWebSocketStream`: that transport was chosen, and there is no such class here; nothing was tried.
 * - `wasm`: tidegate's own wasm could not be loaded.
 * - `connect`: the connection did not come about; `closed` has the close event, and `cause` what `ws` says.
 * - `timeout`: it did not come about within the connect deadline.
 * - `aborted`: by the caller's signal, whose reason is the `cause`.
 * - `closed`: the connection takes no more messages; `data` has the message. Of a stream, `flushed` and `drained`: the
 *   connection has ended, and `closed` tells how; of a channel's `cause` is the `ChannelEnd`.
 * - `unsupported`: a value that is neither text, bytes nor a Blob, given or received.
 * - `unreadable`: a Blob that was written to a stream, and whose content could not be read.
 * - `reset`: of a stream of a channel, whose other end has reset it; `cause` is the `ChannelEnd`.
 * - `tooBig`: of such a stream, a message that is larger than the peer takes.
 * - `detached`: a buffer that has no bytes any more, or too few for its view, or cannot be transferred.
 * - `encode`, `decode`: the codec threw; `cause` has what it threw, and `data` what it could not decode.
 * - `closeCode`, `closeReason`: may not be sent in a close frame; the socket stays open.
 * - `plain`: a channel was asked for, or tidegate mode, and the server does not speak `tidegate.v1`.
 * - `refused`: a server did not want a connection: for its origin, for want of a place, or as `authenticate` has it.
 * - `busy`: a second consumer asked for a message while the first was still waiting for one.
 */
export type ErrorCode =
  | "url"
  | "protocols"
  | "option"
  | "environment"
  | "noWebSocketStream"
  | "wasm"
  | "connect"
  | "timeout"
  | "aborted"
  | "closed"
  | "unsupported"
  | "unreadable"
  | "reset"
  | "tooBig"
  | "detached"
  | "encode"
  | "decode"
  | "closeCode"
  | "closeReason"
  | "plain"
  | "refused"
  | "busy";

/** What an error carries beside its code and its message. */
export interface ErrorDetails {
  /** What caused it: an exception, or an abort signal's reason. */
  cause?: unknown;
  /** How the connection ended. */
  closed?: Closed | undefined;
  /** The message that was not taken, or that the codec could not decode. */
  data?: unknown;
}

/** Every failure of this package. The message says what to do about it. */
export class TidegateError extends Error {
  /** What went wrong; stable. */
  declare readonly code: ErrorCode;
  /**
   * How the connection ended: with the codes `connect`, `timeout`, while connecting `aborted`, and `closed` of a
   * stream, `flushed` and `drained` of a socket.
   */
  declare readonly closed: Closed | undefined;
  /**
   * With the code `closed`, and `aborted` of a `send`: the message that was not taken. After `transfer`
   * this holds its bytes, since the buffer that was given is detached.
   */
  declare readonly data: unknown;

  /** Errors are made by the package; the constructor is public for tests of applications. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details);
    this.name = "TidegateError";
    this.code = code;
    this.closed = details.closed;
    this.data = details.data;
  }
}

/** The error for an option or argument `name` that cannot work, and what is `wanted` instead. */
export function invalid(name: string, given: unknown, wanted: string): TidegateError {
  // With its type, or "200" would look like a number, and ["a"] like a string.
  return new TidegateError("option", `${name} is ${String(given)} (${typeof given}); give ${wanted}`);
}

/** The error for an operation that `signal` has ended; its reason becomes the `cause`. */
export function aborted(signal: AbortSignal | undefined, details?: ErrorDetails): TidegateError {
  return new TidegateError("aborted", "aborted by the caller", { cause: signal?.reason, ...details });
}

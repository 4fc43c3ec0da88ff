/** What all entries export beside `connect`. */

export { json, type Codec } from "./codec.js";
export type { Connect, ConnectOptions } from "./connect.js";
export type { SocketEvent, WasmSource, WebSocketLike } from "./core.js";
export type { Message, Sendable } from "./data.js";
export { TidegateError, type ErrorCode, type ErrorDetails } from "./errors.js";
export { Socket } from "./socket.js";
export {
  Ticket,
  type Amount,
  type CloseCause,
  type CloseOptions,
  type Closed,
  type EndOptions,
  type Outcome,
} from "./ticket.js";
export type { ClassStats, Priority, Stats } from "./stats.js";
export type { SendOptions, TrySendOptions } from "./way.js";

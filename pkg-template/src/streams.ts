/**
 * The same `connect`, whose sockets have `readable` and `writable`, and which knows the transport over the browser's
 * `WebSocketStream`. An entry of its own: who does not import it does not load it.
 *
 * @packageDocumentation
 */

import init, { isLoaded } from "./wasm.js";
import { WasmBacked } from "./host.js";
import { connectStreamsOn, type ConnectStreams } from "./streaming.js";

export * from "./api.js";
export type { ConnectStreams, StreamSocket, StreamsOptions } from "./streaming.js";

/** Opens a connection and gives its handle once it is open. See {@link ConnectStreams}. */
export const connect: ConnectStreams = /* @__PURE__ */ connectStreamsOn({
  Core: WasmBacked,
  load: (source) => (isLoaded ? undefined : init(source)),
});

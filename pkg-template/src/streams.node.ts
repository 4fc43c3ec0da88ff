/**
 * The same for Node, which has WHATWG streams, and no `WebSocketStream`.
 *
 * @packageDocumentation
 */

import init, { isLoaded } from "./wasm.node.js";
import { WasmBacked } from "./host.js";
import { connectStreamsOn, type ConnectStreams } from "./streaming.js";

export * from "./api.js";
export type { ConnectStreams, StreamSocket, StreamsOptions } from "./streaming.js";

/** Opens a connection and gives its handle once it is open. See {@link ConnectStreams}. */
export const connect: ConnectStreams = /* @__PURE__ */ connectStreamsOn({
  Core: WasmBacked,
  load: (source) => (isLoaded ? undefined : init(source)),
});

/**
 * The same for Node. Importing it does nothing, so it serves server-side rendering as well.
 *
 * @packageDocumentation
 */

import init, { isLoaded } from "./wasm.node.js";
import { connectOn, type Connect } from "./connect.js";
import { WasmBacked } from "./host.js";

export * from "./api.js";

/**
 * Opens a connection and gives its handle once it is open. See {@link Connect}. Node has a `WebSocket`
 * of its own from version 22; before that give one by the option `WebSocket`.
 */
export const connect: Connect = /* @__PURE__ */ connectOn({
  Core: WasmBacked,
  load: (source) => (isLoaded ? undefined : init(source)),
});

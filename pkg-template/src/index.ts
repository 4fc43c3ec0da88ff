/**
 * A WebSocket client for browsers: `await connect(url)`, `for await`, truthful outcomes.
 *
 * This entry loads the wasm from beside itself. Importing it does nothing.
 *
 * @packageDocumentation
 */

import init, { isLoaded } from "./wasm.js";
import { connectOn, type Connect } from "./connect.js";
import { WasmBacked } from "./host.js";

export * from "./api.js";

/** Opens a connection and gives its handle once it is open. See {@link Connect}. */
export const connect: Connect = /* @__PURE__ */ connectOn({
  Core: WasmBacked,
  load: (source) => (isLoaded ? undefined : init(source)),
});

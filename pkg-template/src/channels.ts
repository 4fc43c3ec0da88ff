/**
 * The same with channels: connections to servers that speak `tidegate.v1`.
 *
 * This entry loads a wasm module of its own, which does all that plain mode's does.
 *
 * @packageDocumentation
 */

import { connectChannelsBy } from "./channels-api.js";
import init, { isLoaded } from "./wasm-v1.js";

export * from "./api.js";
export * from "./channels-types.js";

/** Opens a connection and gives its handle once it is open. See {@link ConnectChannels}. */
export const connect = /* @__PURE__ */ connectChannelsBy((source) => (isLoaded ? undefined : init(source)));

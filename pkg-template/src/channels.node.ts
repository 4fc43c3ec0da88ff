/**
 * The same for Node. Importing it does nothing.
 *
 * @packageDocumentation
 */

import { connectChannelsBy } from "./channels-api.js";
import init, { isLoaded } from "./wasm-v1.node.js";

export * from "./api.js";
export * from "./channels-types.js";

/** Opens a connection and gives its handle once it is open. See {@link ConnectChannels}. */
export const connect = /* @__PURE__ */ connectChannelsBy((source) => (isLoaded ? undefined : init(source)));

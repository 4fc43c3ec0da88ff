/**
 * The same for Node, whose `fetch` refuses `file:` addresses. Importing it does nothing, so it
 * serves server-side rendering as well.
 *
 * @packageDocumentation
 */

import init, { Core } from "./wasm.js";
import { connectOn, type Connect } from "./connect.js";
import { loadOnce } from "./core.js";
import { hosted } from "./host.js";

export * from "./api.js";

/**
 * Opens a connection and gives its handle once it is open. See {@link Connect}. Node has a `WebSocket`
 * of its own from version 22; before that give one by the option `WebSocket`.
 */
export const connect: Connect = /* @__PURE__ */ connectOn({
  Core: /* @__PURE__ */ hosted(Core),
  load: /* @__PURE__ */ loadOnce(async (source) => {
    const read = async (): Promise<BufferSource> => {
      const { readFile } = await import("node:fs/promises");
      return readFile(new URL("./tidegate_core_bg.wasm", import.meta.url));
    };
    return init(source ?? (await read()));
  }),
});

/** Loads the wasm module and joins it with what it calls. */

import type { WasmExports } from "./border.js";
import type { WasmSource } from "./core.js";
import { imports as host, join } from "./host.js";
import { instantiate } from "./instance.js";
// What wasm-bindgen says of the exports, in place of a file that there is not.
import type * as bound from "./tidegate_core_bg.js";

export type { WasmExports };

let loading: Promise<WasmExports> | undefined;

/** Whether the module is loaded, so that nothing has to be waited for. */
export let isLoaded = false;

/**
 * Loads the module, once: later calls, also those that come while it is loading, give the same
 * exports; after a failure the next one tries again. `source` is where from: default the file beside
 * this one. Rejects with what fetching, compiling or linking says.
 */
export default function init(
  // A literal, which bundlers look for to ship the file.
  source: WasmSource = new URL("./tidegate_core_bg.wasm", import.meta.url),
): Promise<WasmExports> {
  return (loading ??= instantiate(source, host).then(
    (exports) => {
      isLoaded = true;
      return join(exports as unknown as typeof bound);
    },
    (cause) => {
      loading = undefined;
      throw cause;
    },
  ));
}

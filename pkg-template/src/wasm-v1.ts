/** Loads the wasm module that speaks `tidegate.v1`, and joins it with what it calls. Plain mode's has its own. */

import { imports, TidegateBacked, type ChannelsExports } from "./channels-host.js";
import type { WasmSource } from "./core.js";
// What wasm-bindgen says of the exports, in place of a file that there is not.
import type * as bound from "./tidegate_v1_bg.js";
import { instantiate } from "./instance.js";

let loading: Promise<unknown> | undefined;

/** Whether the module is loaded, so that nothing has to be waited for. */
export let isLoaded = false;

/** As the default export of wasm.ts. */
export default function init(
  // A literal, which bundlers look for to ship the file.
  source: WasmSource = new URL("./tidegate_v1_bg.wasm", import.meta.url),
): Promise<unknown> {
  return (loading ??= instantiate(source, imports).then(
    (exports) => {
      TidegateBacked.wasm = exports as unknown as typeof bound satisfies ChannelsExports;
      TidegateBacked.desk = TidegateBacked.wasm.core_desk_new();
      isLoaded = true;
    },
    (cause) => {
      loading = undefined;
      throw cause;
    },
  ));
}

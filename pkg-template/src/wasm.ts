/** Loads the wasm module and joins it with what it calls. */

import type { WasmExports } from "./border.js";
import type { WasmSource } from "./core.js";
import { imports as host, join } from "./host.js";
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
  return (loading ??= link(source).catch((cause) => {
    loading = undefined;
    throw cause;
  }));
}

async function link(source: WasmSource): Promise<WasmExports> {
  const imports = { host };
  // What is fetched is told by what it has: a string, a `URL`, a `Request`.
  const address = typeof source === "string" || "href" in source || "method" in source;
  const given = address ? await fetch(source as string) : source;
  let result;
  if (isResponse(given)) {
    if (!given.ok) throw new Error(`${given.url}: ${given.status}`);
    // Compiling while it comes in wants the right type; without it, whole.
    result = given.headers.get("Content-Type") === "application/wasm"
      ? await WebAssembly.instantiateStreaming(given, imports)
      : await WebAssembly.instantiate(await given.arrayBuffer(), imports);
  } else {
    result = await WebAssembly.instantiate(given as BufferSource, imports);
  }
  // Of a compiled module it is the instance itself.
  const { exports } = "instance" in result ? result.instance : (result as WebAssembly.Instance);
  isLoaded = true;
  return join(exports as unknown as typeof bound);
}

function isResponse(given: WasmSource): given is Response {
  return "ok" in (given as Response);
}

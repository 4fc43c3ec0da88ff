/**
 * The module's loader for Node, whose `fetch` refuses `file:` addresses.
 *
 * @packageDocumentation
 */

import load, { type WasmExports } from "./wasm.js";
import type { WasmSource } from "./core.js";

export { isLoaded, type WasmExports } from "./wasm.js";

/** As the default export of wasm.js; a `file:` address may be given, too. */
export default async function init(
  source: WasmSource = new URL("./tidegate_core_bg.wasm", import.meta.url),
): Promise<WasmExports> {
  const address = String(source);
  if (!address.startsWith("file:")) return load(source);
  const { readFile } = await import("node:fs/promises");
  return load(await readFile(new URL(address)));
}

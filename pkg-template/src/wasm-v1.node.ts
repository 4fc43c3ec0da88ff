/** The loader of wasm-v1.ts for Node, whose `fetch` refuses `file:` addresses. */

import type { WasmSource } from "./core.js";
import load from "./wasm-v1.js";

export { isLoaded } from "./wasm-v1.js";

/** As the default export of wasm-v1.ts; a `file:` address may be given, too. */
export default async function init(
  source: WasmSource = new URL("./tidegate_v1_bg.wasm", import.meta.url),
): Promise<unknown> {
  const address = String(source);
  if (!address.startsWith("file:")) return load(source);
  const { readFile } = await import("node:fs/promises");
  return load(await readFile(new URL(address)));
}

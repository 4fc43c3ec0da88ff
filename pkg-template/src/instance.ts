/** Makes an instance of a wasm module, wherever that comes from. */

import type { WasmSource } from "./core.js";

/** Makes an instance of a module of this package, which calls `host`. Gives its exports. */
export async function instantiate(source: WasmSource, host: WebAssembly.ModuleImports): Promise<WebAssembly.Exports> {
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
  return ("instance" in result ? result.instance : (result as WebAssembly.Instance)).exports;
}

function isResponse(given: WasmSource): given is Response {
  return "ok" in (given as Response);
}

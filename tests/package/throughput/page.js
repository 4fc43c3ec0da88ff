/** The bench in a plain page: `?server=`, `?rounds=`; the result on `globalThis.result` as JSON. */

import { connect } from "tidegate";
import { bench } from "./bench.js";

const parameters = new URLSearchParams(location.search);
try {
  const result = await bench(connect, {
    base: parameters.get("server") ?? location.origin,
    rounds: Number(parameters.get("rounds") ?? 15),
    progress: (text) => (document.title = text),
  });
  document.body.appendChild(document.createElement("pre")).textContent = JSON.stringify(result, null, 2);
  document.title = "done";
  Object.assign(globalThis, { result });
} catch (error) {
  document.title = "failed";
  Object.assign(globalThis, { result: { error: String(error) } });
}

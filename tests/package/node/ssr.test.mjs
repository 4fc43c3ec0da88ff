/** Server-side rendering: the entries can be imported where there is no DOM, and do nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";

for (const entry of ["index.node.js", "index.js", "streams.node.js", "streams.js"]) {
  test(`b44_importing_${entry}_has_no_side_effect`, async () => {
    assert.equal(globalThis.document, undefined);
    const globals = Reflect.ownKeys(globalThis);
    const resources = process.getActiveResourcesInfo().length;
    const tidegate = await import(new URL(entry, import.meta.resolve("tidegate")).href);
    assert.deepEqual(Reflect.ownKeys(globalThis), globals);
    assert.ok(process.getActiveResourcesInfo().length <= resources);
    assert.deepEqual(Object.keys(tidegate).sort(), ["Socket", "Ticket", "TidegateError", "connect", "json"]);
  });
}

test("b44_connecting_where_there_is_no_web_socket_is_a_typed_error", async () => {
  const { connect } = await import("tidegate");
  await assert.rejects(connect("/live"), { name: "TidegateError", code: "url" });
  if (!globalThis.WebSocket) {
    await assert.rejects(connect("ws://127.0.0.1/"), { name: "TidegateError", code: "environment" });
  }
});

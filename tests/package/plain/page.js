/** The checks in a plain page: no bundler, an import map, the package's files under /pkg/. */

import * as tidegate from "tidegate";
import * as streams from "tidegate/streams";
import * as channels from "tidegate/channels";
import init from "tidegate/core";
import { example } from "../checks/example.js";
import { environment, offerVanishedFiles, runAll, server } from "../checks/page.js";
// Of `examples/typescript`, as xtask has compiled it.
import { join } from "../examples/chat/client.js";
import { share } from "../examples/share.js";

const more = {
  ...example(share, join),
  async b3_a_relative_address_in_a_worker_from_a_blob_is_a_typed_error(t) {
    const source = `
      import { connect } from ${JSON.stringify(import.meta.resolve("tidegate"))};
      connect("/echo").then(() => postMessage("connected"), (error) => postMessage(error.code));`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
    const answer = await new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => resolve("the worker could not be started");
    });
    worker.terminate();
    t.equal(answer, "url");
  },
};

const here = environment(tidegate, streams, channels, init, server);
offerVanishedFiles(here, /** @type {HTMLInputElement} */ (document.getElementById("files")));
await runAll(here, new Worker(new URL("worker.js", import.meta.url), { type: "module" }), more);

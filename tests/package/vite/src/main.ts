/** The checks in a page that Vite has built, with the package from its tarball. */

import * as tidegate from "tidegate";
import * as streams from "tidegate/streams";
import * as channels from "tidegate/channels";
import init from "tidegate/core";
import { example } from "../../checks/example.js";
import { environment, runAll, server } from "../../checks/page.js";
// Of `examples/typescript`, as xtask has copied it.
import { join } from "../../examples/chat/client.ts";
import { share } from "../../examples/share.ts";

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const here = environment(tidegate, streams, channels, init as () => Promise<{ memory: WebAssembly.Memory }>, server);
await runAll(here, worker, example(share, join));

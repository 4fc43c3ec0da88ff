/** The checks in a module worker that Vite has built. */

import * as tidegate from "tidegate";
import * as streams from "tidegate/streams";
import init from "tidegate/core";
import { serve } from "../../checks/page.js";

serve(tidegate, streams, init as () => Promise<{ memory: WebAssembly.Memory }>);

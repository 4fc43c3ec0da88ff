/** The checks in a module worker that Vite has built. */

import * as tidegate from "tidegate";
import * as streams from "tidegate/streams";
import * as channels from "tidegate/channels";
import init from "tidegate/core";
import { serve } from "../../checks/page.js";

serve(tidegate, streams, channels, init as () => Promise<{ memory: WebAssembly.Memory }>);

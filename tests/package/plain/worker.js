/** The checks in a module worker, for which there are no import maps. */

import * as tidegate from "/pkg/index.js";
import * as streams from "/pkg/streams.js";
import * as channels from "/pkg/channels.js";
import init from "/pkg/wasm.js";
import { serve } from "../checks/page.js";

serve(tidegate, streams, channels, init);

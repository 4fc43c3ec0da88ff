/**
 * What `cargo xtask bench hol` and `bench hidden` call: one upload at a time. The order, and what becomes of the figures,
 * are xtask's (`xtask/src/bench/hol.rs`, `hidden.rs`), so that nobody looks at the page while it measures.
 */

import { CONTENDERS, RECEIVERS } from "./contenders.js";
import { download } from "./download.js";
import { observed, whenHidden } from "./hidden.js";
import { upload } from "./upload.js";

globalThis.bench = {
  /** The names of all contenders; the first is what the others are compared with. */
  contenders: Object.keys(CONTENDERS),
  /** The same for `hol --down`. */
  receivers: Object.keys(RECEIVERS),
  upload,
  download,
  observed,
  whenHidden,
};

/** What the READMEs' TypeScript takes for granted. */

import type { Socket } from "tidegate";

declare global {
  const socket: Socket;
  const photo: Blob;
  const file: File;
  type FromServer = { kind: "welcome" };
  type ToServer = { kind: "hello" };
}

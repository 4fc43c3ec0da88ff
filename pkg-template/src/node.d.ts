/** The one function of Node that is used, so that building needs no types of Node's. */
declare module "node:fs/promises" {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

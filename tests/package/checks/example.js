/** The TypeScript example of `examples/typescript`, over a slow link. */

import { pattern } from "./messages.js";

/**
 * @param {(url: string, photo: Blob, pointer: () => string, show: (line: any) => void, options?: object) =>
 *   Promise<import("tidegate").Stats>} share the example
 * @returns {Record<string, import("./harness.js").Check>}
 */
export function example(share) {
  return {
    async the_example_uploads_no_faster_than_the_link_takes_and_its_pointer_overtakes(t) {
      const link = await t.connect("/link?rate=2000000&delay=5");
      const address = new URL(t.url("/upload"));
      address.port = JSON.parse(await link.recv()).port;
      const photo = pattern(3 << 20);
      /** How much waited after each piece, and which positions overtook how many bytes. */
      const [waited, overtaken] = [[], []];
      const show = (line) => {
        const bytes = /^(\d+) B wait$/.exec(line)?.[1];
        if (bytes !== undefined) return waited.push(Number(bytes));
        const { text, bytes: arrived } = JSON.parse(line);
        overtaken.push(Number(text) - arrived);
      };
      // A position tells how much had been given to `send` before it.
      const stats = await share(address.href, new Blob([photo]), () => String(waited.length * 65_536), show, t.defaults);

      const { bulk, urgent } = stats.classes;
      t.equal(bulk.handedOver, { messages: 48, bytes: photo.length });
      t.equal(waited.length, 48);
      if (t.isWebkit) {
        // It says of everything that it has been sent, so that it has the upload long before the link.
        return t.ok(urgent.handedOver.messages <= 5, `${urgent.handedOver.messages} positions`);
      }
      t.ok(Math.max(...waited) === 1 << 20, `a MiB waited at most: ${Math.max(...waited)}`);
      t.ok(urgent.handedOver.messages > 5, `${urgent.handedOver.messages} positions`);
      t.ok(overtaken.length > 0 && overtaken.every((bytes) => bytes > 500_000), `bytes that were overtaken: ${overtaken}`);
    },
  };
}

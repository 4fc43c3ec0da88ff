/** The TypeScript examples of `examples/typescript`: `share` over a slow link, and the chat with its server. */

import { pattern } from "./messages.js";

/**
 * @param {(url: string, photo: Blob, pointer: () => string, show: (line: any) => void, options?: object) =>
 *   Promise<import("tidegate").Stats>} share the one
 * @param {typeof import("../examples/chat/client.js").join} join the other
 * @returns {Record<string, import("./harness.js").Check>}
 */
export function example(share, join) {
  return {
    async the_example_chats_while_it_reports(t) {
      const { chat } = t.environment;
      t.ok(chat, "the server of the example is there");
      const heard = { ann: [], bob: [] };
      let tell;
      const listen = (name) => (line) => {
        heard[name].push(line);
        tell?.();
      };
      const until = async (condition) => {
        while (!condition()) await new Promise((resolve) => (tell = resolve));
      };
      const ann = await join(chat, "ann", listen("ann"), t.defaults);
      const bob = await join(chat, "bob", listen("bob"), t.defaults);
      // Whoever is heard is in.
      await ann.say("hello");
      await until(() => heard.ann.length);
      await bob.say("hello");
      await until(() => heard.bob.includes("bob: hello") && heard.ann.length > 1);
      t.equal(heard.ann, ["ann: hello", "bob: hello"]);
      heard.bob.length = 0;
      const sample = pattern(1 << 20);
      let given = 0;
      const samples = (function* () {
        for (; given < 48; given++) yield sample;
      })();
      const reported = ann.report(samples).then((bytes) => ({ bytes, heard: heard.bob.length }));
      const lines = Array.from({ length: 20 }, (_, i) => `ann: ${i}`);
      let under = 0;
      for (const [i, line] of lines.entries()) {
        await ann.say(String(i));
        await until(() => heard.bob.at(-1) === line);
        under += Number(given < 48);
      }
      t.equal(heard.bob, lines);
      t.equal((await reported).bytes, 48 << 20);
      // Lines that have come before the report was given away have overtaken it.
      t.ok(under > 2, `${under} lines during the report`);
      await ann.leave();
      await bob.say("bye");
      await until(() => heard.bob.length > 20);
      t.equal(heard.ann.length, 22, "who has left hears nothing");
      await bob.leave();
    },

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

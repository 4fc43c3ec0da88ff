/** What the pages share: running the checks here and in a module worker, and showing the result. */

import { checks, run, summary } from "./all.js";

const parameters = new URLSearchParams(location.search);
const chosen = {
  full: parameters.has("full"),
  only: parameters.get("only") ?? undefined,
  chat: parameters.get("chat") ?? undefined,
};

/** The address of the embedded server: `?server=`, or the page's own origin. */
export const server = parameters.get("server") ?? location.origin;

/**
 * What the checks need to know of a page or worker.
 *
 * @param {typeof import("tidegate")} tidegate
 * @param {typeof import("tidegate/streams")} streams
 * @param {typeof import("tidegate/channels")} channels
 * @param {() => Promise<{ memory: WebAssembly.Memory }>} init the default export of `tidegate/core`
 * @param {string} base
 * @param {{ full: boolean, only?: string, chat?: string }} [choice] with full counts, which checks, and where the chat is;
 *   default `?full`, `?only=` and `?chat=`
 * @returns {import("./harness.js").Environment}
 */
export function environment(tidegate, streams, channels, init, base, choice = chosen) {
  return {
    tidegate,
    streams,
    channels,
    base,
    ...choice,
    host: "document" in globalThis ? "page" : "worker",
    async memory() {
      // Connecting loads the wasm; after that `init` only gives what is there.
      await (await tidegate.connect(new URL("/echo", base))).close();
      return (await init()).memory;
    },
  };
}

/**
 * Runs everything here and in `worker`, then puts the result where a driver finds it: on
 * `globalThis.result`, in the title, and on the page for a human. Until then the title says which check is running.
 *
 * @param {import("./harness.js").Environment} here
 * @param {Worker} worker module worker that calls {@link serve}
 * @param {Record<string, import("./harness.js").Check>} more checks of this page alone
 */
export async function runAll(here, worker, more = {}) {
  const tell = (name, host = here.host) => (document.title = `${name} in the ${host}`);
  const inPage = await run({ ...checks, ...more }, { ...here, tell });
  const inWorker = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => (typeof data === "string" ? tell(data, "worker") : resolve(data));
    worker.onerror = (event) => {
      const message = event.message || "the worker could not be started";
      resolve({ checks: [{ name: "b4_the_checks_run_in_a_worker", host: "worker", status: "failed", message, ms: 0 }] });
    };
    worker.postMessage([here.base, chosen]);
  });
  const result = summary([...inPage.checks, ...inWorker.checks]);
  document.title = result.failed ? `${result.failed} failed` : `${result.passed} passed`;
  document.body.appendChild(document.createElement("pre")).textContent = result.checks
    .map(({ name, host, status, message, ms }) => `${status} ${host} ${name} (${ms} ms) ${message}`)
    .join("\n");
  Object.assign(globalThis, { result });
}

/**
 * A check that needs a driver: it chooses files in `input`, removes them from the disk, then calls
 * `globalThis.checkVanishedFiles()`, which gives the result as {@link runAll} does. One file of up to
 * 1 MiB and one above: the first is read before it is handed over, the second only probed.
 *
 * @param {import("./harness.js").Environment} here
 * @param {HTMLInputElement} input `<input type="file" multiple>`
 */
export function offerVanishedFiles(here, input) {
  const check = {
    async b29_a_file_that_has_gone_is_unreadable_and_the_socket_goes_on(t) {
      const socket = await t.connect("/echo");
      t.ok(input.files.length > 0, "files were chosen");
      for (const file of input.files) {
        const ticket = await socket.send(file);
        const behind = await socket.send(`behind ${file.name}`);
        t.equal([await ticket.outcome, await behind.outcome], ["unreadable", "handedOver"], `${file.size} bytes`);
        t.equal(await socket.recv(), `behind ${file.name}`);
      }
    },
  };
  Object.assign(globalThis, { checkVanishedFiles: () => run(check, here) });
}

/**
 * The worker's half of {@link runAll}. B4: nothing needs a window.
 *
 * @param {typeof import("tidegate")} tidegate
 * @param {typeof import("tidegate/streams")} streams
 * @param {typeof import("tidegate/channels")} channels
 * @param {() => Promise<{ memory: WebAssembly.Memory }>} init
 */
export function serve(tidegate, streams, channels, init) {
  globalThis.onmessage = async ({ data }) => {
    const [base, choice] = data;
    const here = environment(tidegate, streams, channels, init, base, choice);
    postMessage(await run(checks, { ...here, tell: (name) => postMessage(name) }));
  };
}

/**
 * Runs named checks of the packed package against the embedded server and says how each came out.
 *
 * The same checks run in a Vite build, in a plain page, in a module worker and in Node; what differs
 * is handed in: see {@link Environment}. No test framework, since a page has none.
 */

/**
 * @typedef {object} Environment
 * @property {typeof import("tidegate")} tidegate the package
 * @property {typeof import("tidegate/streams")} streams its entry with streams
 * @property {typeof import("tidegate/channels")} channels its entry with channels
 * @property {() => Promise<WebAssembly.Memory>} memory the wasm's memory, loading it if need be
 * @property {string} base address of the embedded server, `http:` or `ws:`
 * @property {string} [chat] address of the chat's server of `examples/typescript`
 * @property {boolean} full with full counts
 * @property {string} [only] run only the checks whose names have this in them
 * @property {(name: string) => void} [tell] called with the name of each check when it begins
 * @property {"page" | "worker" | "node"} host where this runs
 * @property {any} [WebSocket] class to connect with, where the host has none
 *
 * @typedef {{ name: string, host: string, status: "passed" | "failed", message: string, ms: number }} Outcome
 * @typedef {{ passed: number, failed: number, checks: Outcome[] }} Result
 * @typedef {(t: Test) => Promise<void>} Check
 */

/** Longest that one check may take without a sign of life, in milliseconds, and with full counts. */
const CHECK_MS = 30_000;
const FULL_CHECK_MS = 300_000;

/**
 * Whether this is WebKit, whose `bufferedAmount` says of everything that it has been sent, so that nothing is kept back
 * there, and which has no way to ask for garbage to be collected: see docs/BROWSERS.md.
 */
const isWebkit = /AppleWebKit(?!.*Chrome)/.test(globalThis.navigator?.userAgent);

/** What a check works with. Everything it connects is closed when it ends, also what it connects after that. */
export class Test {
  /** @type {import("tidegate").Socket<any, any>[]} */
  #open = [];
  #over = false;
  /** Called with each sign of life. */
  alive = () => {};

  /** @param {Environment} environment */
  constructor(environment) {
    this.environment = environment;
    this.host = environment.host;
    this.isWebkit = isWebkit;
    /** What options every connect gets here. */
    this.defaults = environment.WebSocket ? { WebSocket: environment.WebSocket } : {};
    this.WebSocket = environment.WebSocket ?? globalThis.WebSocket;
  }

  /** The absolute `ws:` address of a route. @param {string} path */
  url(path) {
    return new URL(path, this.environment.base).href.replace(/^http/, "ws");
  }

  /** Connects to a route. @param {string} path @param {object} [options] @returns {Promise<any>} */
  async connect(path, options = {}) {
    const socket = await this.environment.tidegate.connect(this.url(path), { ...this.defaults, ...options });
    this.#open.push(socket);
    // Of a check that was given up, and goes on.
    if (this.#over) await this.finish();
    return socket;
  }

  /** @param {boolean} condition @param {string} what */
  ok(condition, what) {
    if (!condition) throw new Error(`not so: ${what}`);
  }

  /** Compares by value: bytes, arrays and plain objects as well. @param {unknown} actual @param {unknown} expected */
  equal(actual, expected, what = "") {
    const [is, should] = [show(actual), show(expected)];
    if (is !== should) throw new Error(`${what} is ${is.slice(0, 300)}, should be ${should.slice(0, 300)}`);
  }

  /** The TidegateError with which `action` fails. @param {unknown} action promise or function @param {string} code */
  async fails(action, code) {
    try {
      await (typeof action === "function" ? action() : action);
    } catch (error) {
      this.ok(error instanceof this.environment.tidegate.TidegateError, `a TidegateError: ${error}`);
      this.equal(error.code, code, `the code of "${error.message}"`);
      return error;
    }
    throw new Error(`it did not fail with ${code}`);
  }

  /** SHA-256 as the server writes it. @param {BufferSource | string} data */
  async sha256(data) {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** Sends over `/echo?digest=1` and gives what came back beside what the server saw. */
  async echo(socket, data, options) {
    const ticket = await socket.send(data, options);
    const received = await socket.recv();
    return { ticket, received, report: JSON.parse(await socket.recv()) };
  }

  /** Ends what the check has left open. */
  async finish() {
    this.#over = true;
    await Promise.all(this.#open.map((socket) => socket.close(undefined, "", { within: 1000, flush: false })));
  }
}

/** @param {unknown} value @returns {string} */
function show(value) {
  if (value instanceof ArrayBuffer) return show(new Uint8Array(value));
  if (ArrayBuffer.isView(value)) return `bytes(${Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))})`;
  if (Array.isArray(value)) return `[${value.map(show)}]`;
  if (value && Object.getPrototypeOf(value) === Object.prototype) {
    return `{${Object.entries(value).map(([key, item]) => `${key}:${show(item)}`)}}`;
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Runs `checks` one after another, or those that are wanted, and gives the outcome of each. A rejection that
 * nobody handles, and an error that nobody catches, is a failure of its own (B6).
 *
 * @param {Record<string, Check>} checks by name
 * @param {Environment} environment
 * @returns {Promise<Result>}
 */
export async function run(checks, environment) {
  /** @type {string[]} */
  const strays = [];
  const stray = (event) => strays.push(String(event.reason ?? event.error ?? event.message ?? event));
  const listen = globalThis.process?.on
    ? (on) => ["unhandledRejection", "uncaughtException"].forEach((type) => process[on ? "on" : "off"](type, stray))
    : (on) => ["unhandledrejection", "error"].forEach((type) => globalThis[on ? "addEventListener" : "removeEventListener"](type, stray));
  listen(true);
  /** @type {Outcome[]} */
  const outcomes = [];
  const limit = environment.full ? FULL_CHECK_MS : CHECK_MS;
  const wanted = Object.entries(checks).filter(([name]) => name.includes(environment.only ?? ""));
  for (const [name, check] of wanted) {
    environment.tell?.(name);
    const t = new Test(environment);
    const started = performance.now();
    let message = "";
    let timer;
    // Of what is slow on a machine that is busy, and goes on.
    let alive = started;
    t.alive = () => (alive = performance.now());
    try {
      await Promise.race([
        check(t),
        new Promise((_, reject) => {
          const look = () => {
            const left = alive + limit - performance.now();
            if (left > 0) timer = setTimeout(look, left);
            else reject(new Error(`still running, and no sign of life for ${limit} ms`));
          };
          timer = setTimeout(look, limit);
        }),
      ]);
    } catch (error) {
      message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    } finally {
      clearTimeout(timer);
    }
    // Also after a failure, or what it began would go on beside all later checks.
    await t.finish().catch((error) => (message ||= `closing what it left open: ${error}`));
    // Unhandled rejections are reported one task later.
    await new Promise((done) => setTimeout(done));
    message ||= strays.map((text) => `unhandled: ${text}`).join("; ");
    strays.length = 0;
    outcomes.push({ name, host: environment.host, status: message ? "failed" : "passed", message, ms: Math.round(performance.now() - started) });
  }
  listen(false);
  return summary(outcomes);
}

/** Counts outcomes. @param {Outcome[]} checks @returns {Result} */
export function summary(checks) {
  const failed = checks.filter(({ status }) => status === "failed").length;
  return { passed: checks.length - failed, failed, checks };
}

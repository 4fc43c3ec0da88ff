/** When a step is run: in the next task, by a timer, or in a hidden page by that of a worker. */

let channel: MessageChannel | undefined;
const hops: (() => void)[] = [];

/** Runs `step` in the next task, without a timer: those have a floor of 4 ms when one sets the next. */
const hop: (step: () => void) => void =
  // Node's keeps the process alive until it has run, and no longer, as no port of a channel does.
  (globalThis as { setImmediate?(step: () => void): void }).setImmediate ??
  ((step) => {
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => hops.shift()?.();
    }
    hops.push(step);
    channel.port2.postMessage(0);
  });

/** Undefined until it is needed, null where it is not allowed. */
let worker: Worker | null | undefined;
/** Steps that somebody else than `setTimeout` waits for, by number. */
const waiting = new Map<number, () => void>();
let last = 0;

/** The time of a step has come, unless it was set again meanwhile. */
function fire(number: number): void {
  const step = waiting.get(number);
  waiting.delete(number);
  step?.();
}

/** The worker, if there can be one. */
function waiter(): Worker | null {
  if (worker === undefined) {
    try {
      // A literal, which bundlers look for to ship the file.
      worker = new Worker(new URL("./timer.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<number>) => fire(data);
      worker.onerror = forbid;
    } catch {
      forbid();
    }
  }
  return worker ?? null;
}

/** There is no worker in this page, by its policy: whoever waits for it gets an ordinary timer. */
function forbid(): void {
  worker = null;
  for (const number of waiting.keys()) setTimeout(fire, 0, number);
}

const page = (): Document | undefined => globalThis.document;

/** Where it is there (not in WebKit), its delays are not clamped to 4 ms. */
const scheduler = (globalThis as { scheduler?: { postTask?(step: () => void, options: { delay: number }): Promise<void> } })
  .scheduler;
/** Timers that are shorter than this are clamped to it when one sets the next. */
const CLAMP = 4;

/** A timer that can be set again and again. */
export class Timer {
  readonly #step: () => void;
  #timeout: ReturnType<typeof setTimeout> | undefined;
  #number = 0;

  constructor(step: () => void) {
    this.#step = step;
  }

  /** Runs the step after so many milliseconds, with 0 in the next task; below 0: never. */
  set(milliseconds: number): void {
    clearTimeout(this.#timeout);
    waiting.delete(this.#number);
    if (!milliseconds) hop(this.#step);
    if (milliseconds <= 0) return;
    if (milliseconds < CLAMP && scheduler?.postTask && !page()?.hidden) {
      const number = ++last;
      this.#number = number;
      waiting.set(number, this.#step);
      void scheduler.postTask(() => fire(number), { delay: milliseconds });
    } else if (page()?.hidden && waiter()) {
      this.#number = ++last;
      waiting.set(last, this.#step);
      worker!.postMessage([last, milliseconds]);
    } else {
      this.#timeout = setTimeout(this.#step, milliseconds);
    }
  }
}

/** Calls `listener` when the page is hidden or seen again; gives how to stop that. */
export function onVisibility(listener: () => void): () => void {
  page()?.addEventListener("visibilitychange", listener);
  return () => page()?.removeEventListener("visibilitychange", listener);
}

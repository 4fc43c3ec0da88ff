/** When a step is run: in the next task, by a timer, or in a hidden page by that of a worker. */

let channel: MessageChannel | undefined;
const hops: (() => void)[] = [];

/** Runs `step` in the next task, without a timer: those have a floor of 4 ms when one sets the next. */
function hop(step: () => void): void {
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => hops.shift()?.();
    // Node's only: a port that is listened to keeps the process alive.
    (channel.port1 as { unref?(): void }).unref?.();
  }
  hops.push(step);
  channel.port2.postMessage(0);
}

/** In a hidden page timers come once a second, and more seldom later; those that are longer need no worker. */
const HELD_UP = 1000;

/** Undefined until it is needed, null where it is not allowed. */
let worker: Worker | null | undefined;
const waiting = new Map<number, () => void>();
let last = 0;

/** The worker, if there can be one. */
function waiter(): Worker | null {
  if (worker === undefined) {
    try {
      // A literal, which bundlers look for to ship the file.
      worker = new Worker(new URL("./timer.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<number>) => {
        const step = waiting.get(data);
        waiting.delete(data);
        step?.();
      };
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
  for (const step of waiting.values()) setTimeout(step, 0);
  waiting.clear();
}

const page = (): Document | undefined => globalThis.document;

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
    if (milliseconds < HELD_UP && page()?.hidden && waiter()) {
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

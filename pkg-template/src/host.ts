/**
 * Between the facade and the wasm: the socket, the timer, and the values, which the wasm knows by
 * number only. Nothing but numbers crosses the border.
 */

import type {
  Core,
  CoreConstructor,
  Options,
  Sink,
  SocketEvent,
  WasmConstructor,
  WasmCore,
  WebSocketLike,
} from "./core.js";
import { bytesOf, type Parcel } from "./data.js";
import { Timer, onVisibility } from "./timers.js";

/** `error` says nothing that `close` does not, but `ws` kills the process over one that nobody hears. */
export const EVENTS = ["open", "message", "error", "close"];

/** The reason that goes with a close which the wasm began because the receive queue was full. */
const OVERFLOW = "receive queue overflow";

/** What has arrived and is no WebSocket message. */
export interface Unsupported {
  readonly unsupported: string;
}

/** Takes `listener` off the socket and closes it, whatever it throws. */
export function letGo(raw: WebSocketLike, listener: (event: SocketEvent) => void): void {
  for (const type of EVENTS) raw.removeEventListener(type, listener);
  try {
    if (raw.readyState < 2) raw.close();
  } catch {
    // A foreign socket; there is nothing more to be done about it.
  }
}

/** Values under numbers, which are used again. */
class Slots {
  readonly #values: unknown[] = [];
  readonly #free: number[] = [];

  put(value: unknown): number {
    const slot = this.#free.pop() ?? this.#values.length;
    this.#values[slot] = value;
    return slot;
  }

  get(slot: number): unknown {
    return this.#values[slot];
  }

  /** Takes the value out. */
  take(slot: number): unknown {
    const value = this.#values[slot];
    this.replace(slot, undefined);
    this.#free.push(slot);
    return value;
  }

  replace(slot: number, value: unknown): void {
    this.#values[slot] = value;
  }
}

/**
 * `Core` over the wasm's class `Wasm`.
 *
 * Nothing that the wasm calls may throw: the exception would go through its frames, and the pump that
 * was running would never run again.
 */
export function hosted(Wasm: WasmConstructor): CoreConstructor {
  return class implements Core {
    readonly #raw: WebSocketLike;
    /** Whether the socket is the host's own, which copies what it is given at once. */
    readonly #copies: boolean;
    readonly #slots = new Slots();
    /** Undefined once given back; a read or a timer may come later. */
    #wasm: WasmCore | undefined;
    /** The reason given to the first `close`, which is the one that counts. */
    #reason: string | undefined;
    /** The reason of the close event. */
    #received = "";
    /** Stops listening to whether the page is hidden. */
    readonly #unwatch: () => void;
    readonly #listener = (event: SocketEvent): void => this.#hear(event);

    constructor(raw: WebSocketLike, early: SocketEvent[], sink: Sink, options: Options) {
      this.#raw = raw;
      this.#copies = !!globalThis.WebSocket && raw instanceof WebSocket;
      const slots = this.#slots;
      const fire = (): void => this.#wasm?.timer();
      const timer = new Timer(fire);
      // What waits by a timer that is held up from now on is set again.
      this.#unwatch = onVisibility(fire);
      this.#wasm = new Wasm(
        {
          option: (index) => options[index]!,
          transmit: (slot) => {
            // While it closes, a browser takes everything and sends nothing.
            if (raw.readyState > 1) return false;
            try {
              raw.send(slots.get(slot) as never);
              return true;
            } catch {
              return false;
            }
          },
          close: (code, overflow) => {
            try {
              if (code) raw.close(code, overflow ? OVERFLOW : this.#reason);
              else raw.close();
            } catch {
              // Code and reason were checked. If a foreign socket throws, the close deadline ends it.
            }
          },
          detach: () => letGo(raw, this.#listener),
          read: (id, slot, start, end) => this.#read(id, slots.get(slot) as Blob, start, end),
          release: (slot, dropped) => {
            slots.take(slot);
            if (dropped >= 0) sink.dropped(dropped);
          },
          amount: () => raw.bufferedAmount ?? 0,
          setTimer: (milliseconds) => timer.set(milliseconds),
          opened: sink.opened,
          readable: sink.readable,
          outcome: sink.outcome,
          ended: (code, wasClean, ...rest) => sink.closed(code, this.#received, wasClean, ...rest),
        },
      );
      for (const type of EVENTS) raw.addEventListener(type, this.#listener);
      for (const event of early) this.#hear(event);
    }

    send(message: Parcel, priority: number, flow: number, deadlineMs: number, replaces: number): number {
      // It would be refused below, and counted as unsent though the caller has it back.
      if (this.#raw.readyState > 1) return -2;
      // A browser copies when it is given the bytes. Others may look at them later: `ws` compresses so.
      let { kind, data, owned } = message;
      if (!this.#copies && !owned) {
        data = bytesOf(data as ArrayBuffer).slice();
        owned = true;
      }
      const slot = this.#slots.put(data);
      const number = this.#wasm!.send(slot, kind, message.bytes, priority, flow, deadlineMs, replaces);
      if (number === -2) this.#slots.take(slot);
      // Sending has been tried. What still waits is copied, and only that: the caller may change it.
      else if (number > 0 && !owned) this.#slots.replace(slot, bytesOf(data as ArrayBuffer).slice());
      return number;
    }

    cancel(ticket: number): void {
      this.#wasm!.cancel(ticket);
    }

    take(): unknown {
      const slot = this.#wasm!.take();
      return slot < 0 ? undefined : this.#slots.take(slot);
    }

    close(code: number, reason: string, withinMs: number, flush: boolean): void {
      this.#reason ??= reason;
      this.#wasm!.close(code, withinMs, flush);
    }

    end(withinMs: number, closeMs: number): void {
      this.#wasm!.end(withinMs, closeMs);
    }

    abort(): void {
      this.#wasm!.abort();
    }

    get bufferedAmount(): number {
      return this.#raw.bufferedAmount ?? 0;
    }

    stat(index: number): number {
      return this.#wasm!.stat(index);
    }

    free(): void {
      this.#unwatch();
      this.#wasm?.free();
      this.#wasm = undefined;
    }

    #hear(event: any): void {
      const wasm = this.#wasm!;
      if (event.type === "message") {
        const { data } = event;
        const bytes = typeof data === "string" ? data.length : (data?.byteLength ?? data?.size);
        const value: unknown = bytes === undefined ? ({ unsupported: typeof data } satisfies Unsupported) : data;
        wasm.received(this.#slots.put(value), bytes ?? 0);
      } else if (event.type === "open") {
        wasm.opened();
      } else if (event.type === "close") {
        this.#received = event.reason;
        wasm.closed(event.code, event.wasClean);
      }
    }

    #read(id: number, blob: Blob, start: number, end: number): void {
      new Promise<ArrayBuffer>((resolve) => {
        // The whole is not sliced: an empty slice of a file that is gone reads as empty.
        const part = start === 0 && end === blob.size ? blob : blob.slice(start, end);
        // Throws where a runtime lacks it.
        resolve(part.arrayBuffer());
      }).then(
        (buffer) => this.#wasm?.fetched(id, this.#slots.put(buffer), buffer.byteLength),
        () => this.#wasm?.fetched(id, -1, 0),
      );
    }
  };
}

/** A channel as WHATWG streams, a chunk being a message. */

import type { Channel, ChannelEnd } from "./channel.js";
import { TidegateError } from "./errors.js";
import type { Outcome } from "./ticket.js";

/** What is received: nothing is taken ahead of who reads. */
export function readableOf<In>(channel: Channel<In, any>): ReadableStream<In> {
  return new ReadableStream<In>(
    {
      async pull(controller) {
        const message = await channel.recv();
        if (message !== undefined) return controller.enqueue(message);
        const end = await channel.ended;
        if (end.kind === "closed") controller.close();
        else controller.error(broken(end));
      },
      cancel: () => channel.stop(),
    },
    { highWaterMark: 0 },
  );
}

/** What is sent: a write waits for room, and closing for the peer to have everything. */
export function writableOf<Out>(channel: Channel<any, Out>): WritableStream<Out> {
  /** What was written and has not ended. */
  const underWay = new Set<Promise<void>>();
  let failure: TidegateError | undefined;
  let fail!: (error: TidegateError) => void;
  return new WritableStream<Out>({
    start(controller) {
      fail = (error) => controller.error((failure ??= error));
      void channel.stopped.then((end) => end.kind !== "closed" && fail(broken(end)));
    },
    async write(chunk, { signal }) {
      // Aborting ends the wait for room; what is queued then ends by the reset. Hundreds of messages would listen to the same
      // signal, of which Node warns.
      const waits = new AbortController();
      const leave = (): void => waits.abort(signal.reason);
      signal.addEventListener("abort", leave);
      const ticket = await channel
        .send(chunk, { signal: waits.signal })
        .catch(async (error: unknown) => {
          // How the channel has ended says more, and is told in the same breath.
          await undefined;
          throw failure ?? error;
        })
        .finally(() => signal.removeEventListener("abort", leave));
      const told: Promise<void> = ticket.outcome.then(async (outcome) => {
        underWay.delete(told);
        if (outcome === "delivered" || (outcome === "cancelled" && signal.aborted)) return;
        // As above.
        await undefined;
        fail(undelivered(outcome));
      });
      underWay.add(told);
    },
    async close() {
      const end = await channel.close();
      await Promise.all(underWay);
      if (failure) throw failure;
      if (end.kind !== "closed") throw broken(end);
    },
    abort: () => channel.reset(),
  });
}

/** The error for a direction that has not come to its end. */
function broken(cause: ChannelEnd): TidegateError {
  if (cause.kind === "reset") {
    return new TidegateError("reset", `the channel was reset with code ${cause.code}; see \`cause\``, { cause });
  }
  return new TidegateError("closed", "the connection is over, and the channel with it", { cause });
}

/** The error for a message that the peer does not have. */
function undelivered(outcome: Outcome): TidegateError {
  if (outcome === "tooBig") return new TidegateError("tooBig", "a message is larger than the peer takes; it was not sent");
  if (outcome === "unreadable") return new TidegateError("unreadable", "the content of a Blob could not be read");
  return new TidegateError("closed", `a message was not delivered (${outcome})`);
}

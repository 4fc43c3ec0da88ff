/** Sockets as a pair of WHATWG streams. Which transport carries them makes no difference here. */

import { checkChoice } from "./address.js";
import type { Codec } from "./codec.js";
import { connectOn, type ConnectOptions } from "./connect.js";
import type { Host } from "./core.js";
import type { Message, Sendable } from "./data.js";
import { TidegateError } from "./errors.js";
import type { Socket } from "./socket.js";
import type { Closed } from "./ticket.js";
import { chosen, type SendOptions } from "./way.js";
import { SocketOverStream, paced } from "./web-socket-stream.js";

/** Options of `connect` of `tidegate/streams`. */
export interface StreamsOptions<In = Message, Out = Sendable> extends ConnectOptions<In, Out> {
  /**
   * By which of its classes the browser carries the connection. Default `"socket"`.
   *
   * - `"socket"`: `WebSocket`.
   * - `"stream"`: `WebSocketStream`, which Chromium and its relatives have; not a standard yet. A receive queue that is
   *   half full then makes the peer wait, and `receivePolicy` has no use; the browser is given the next message when it
   *   has let go of the one before, instead of `budgetBytes` and `maxBytesPerSecond`. With the option `WebSocket` beside
   *   it `connect` rejects with `option`.
   *
   *   For those who receive more than they can take in, from a server that can wait. It is never chosen by itself:
   *   when a peer reset the connection while a message was being written, the whole tab crashed in tests with Chromium
   *   156, and nothing that script can do prevents that. And let the reader close, not the server: if the server does
   *   while messages wait for the reader, Chromium forgets up to 128 KiB of them. `wasClean` is false if that may have
   *   happened.
   */
  transport?: "socket" | "stream" | undefined;
  /**
   * How the chunks of {@link StreamSocket.writable} are sent. Default: as a plain `send`, `"normal"` and without a flow. An
   * upload is better `{ priority: "bulk", flow: "…" }`, which leaves the link to what else is sent. A chunk whose deadline
   * passes is dropped, and the stream goes on.
   */
  sendOptions?: Pick<SendOptions, "priority" | "flow" | "deadline"> | undefined;
}

/**
 * A socket that is also a pair of streams, as `WebSocketStream` has them. Each is made when it is first asked for; its
 * methods may be used beside them, with one reader at a time.
 */
export interface StreamSocket<In = Message, Out = Sendable> extends Socket<In, Out> {
  /**
   * What is received; a chunk is a message. It takes from the receive queue what is asked for and nothing ahead.
   *
   * It closes when the connection has ended cleanly, and all was taken; with a {@link TidegateError} `closed` it fails
   * if it has not, or if the receive queue has overflowed, behind what came before. What `recv` rejects with ends
   * it as well: `decode`, `unsupported`, `busy`. Cancelling it closes the connection at once, dropping what is queued,
   * with `closeCode` and `reason` of the reason that is given, if it has them and they may be sent. Leaving a `for await`
   * over it cancels it, unlike one over the socket. For TypeScript before 6 such a loop needs `"DOM.AsyncIterable"` in
   * `lib`.
   */
  readonly readable: ReadableStream<In>;
  /**
   * What is sent; a chunk is a message. A write is done when the browser has the message, so that nothing is pulled
   * into it faster than the link takes; urgent messages of {@link Socket.send} pass by.
   *
   * Closing it is {@link Socket.close} without a code, after which a browser delivers nothing more; it
   * fails if the peer does not confirm. To go on receiving, pipe with `preventClose` and call {@link Socket.end}.
   * Aborting it is as cancelling {@link readable}. When the connection ends otherwise it fails with a
   * {@link TidegateError} `closed`; a value that cannot be sent, and a Blob that cannot be read (`unreadable`), fail
   * it as well, and leave the connection open.
   */
  readonly writable: WritableStream<Out>;
}

/** The function `connect` of `tidegate/streams`. */
export interface ConnectStreams {
  /**
   * As `connect` of `tidegate`, for a socket with streams. With `transport: "stream"` it rejects with
   * `noWebSocketStream` where there is no such class, before anything was tried; who wants the other one then
   * asks for it.
   */
  <In, Out = In>(
    url: string | URL,
    options: StreamsOptions<In, Out> & { codec: Codec<In, Out> },
  ): Promise<StreamSocket<In, Out>>;
  /** As above, without a codec: messages are text, buffers and Blobs as they are. */
  (url: string | URL, options?: StreamsOptions): Promise<StreamSocket>;
}

/** `connect` with streams for `host`. */
export function connectStreamsOn(host: Host): ConnectStreams {
  const plain = connectOn(host);
  const stream = connectOn(paced(host));
  return async <In, Out>(url: string | URL, given?: StreamsOptions<In, Out>) => {
    const options = given ?? {};
    type Connect = (url: string | URL, options: ConnectOptions<In, Out>) => Promise<Socket<In, Out>>;
    const { sendOptions } = options;
    chosen(sendOptions);
    let connection;
    if (checkChoice("transport", options.transport ?? "socket", ["socket", "stream"])) {
      if (options.WebSocket) throw new TidegateError("option", 'give `WebSocket` or `transport: "stream"`, not both');
      if (!("WebSocketStream" in globalThis)) {
        throw new TidegateError("noWebSocketStream", 'there is no WebSocketStream here; connect with `transport: "socket"`');
      }
      connection = (stream as Connect)(url, { ...options, WebSocket: SocketOverStream });
    } else {
      connection = (plain as Connect)(url, options);
    }
    return withStreams(await connection, sendOptions);
  };
}

function withStreams<In, Out>(socket: Socket<In, Out>, options: StreamsOptions["sendOptions"]): StreamSocket<In, Out> {
  let readable: ReadableStream<In> | undefined;
  let writable: WritableStream<Out> | undefined;
  return Object.defineProperties(socket, {
    readable: { get: () => (readable ??= readableOf(socket)) },
    writable: { get: () => (writable ??= writableOf(socket, options)) },
  }) as StreamSocket<In, Out>;
}

function readableOf<In, Out>(socket: Socket<In, Out>): ReadableStream<In> {
  return new ReadableStream<In>(
    {
      async pull(controller) {
        const message = await socket.recv();
        if (message !== undefined) return controller.enqueue(message);
        check(await socket.closed);
        controller.close();
      },
      cancel: (reason) => leave(socket, reason),
    },
    { highWaterMark: 0 },
  );
}

function writableOf<In, Out>(socket: Socket<In, Out>, options: StreamsOptions["sendOptions"]): WritableStream<Out> {
  return new WritableStream<Out>({
    start(controller) {
      // Without effect once it is closed, or has failed otherwise.
      void socket.closed.then((closed) => controller.error(ended(closed)));
    },
    async write(chunk, { signal }) {
      const ticket = await socket.send(chunk, { ...options, signal });
      const outcome = await ticket.outcome;
      if (outcome === "unreadable") {
        throw new TidegateError("unreadable", "a Blob could not be read; nothing of it was sent", { data: chunk });
      }
      if (outcome === "unsent" || outcome === "unknown") throw ended(await socket.closed);
    },
    async close() {
      check(await socket.close());
    },
    abort: (reason) => leave(socket, reason),
  });
}

/** Closes as WebSocketStream does it for a stream that is cancelled or aborted, and does not wait for the peer. */
function leave(socket: Socket<any, any>, reason: unknown): void {
  const { closeCode, reason: text } = Object(reason) as { closeCode?: unknown; reason?: unknown };
  const close = (code?: number, why?: string): Promise<Closed> => socket.close(code, why, { flush: false });
  if (typeof closeCode === "number") close(closeCode, String(text ?? "")).catch(() => close());
  else void close();
}

/** Throws if not all that the peer has sent can have come. */
function check(closed: Closed): void {
  if (!closed.wasClean || closed.cause === "receiveOverflow") throw ended(closed);
}

function ended(closed: Closed): TidegateError {
  return new TidegateError("closed", `the connection has ended with the close code ${closed.code}; see \`closed\``, { closed });
}

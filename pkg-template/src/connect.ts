/** From an address to an open socket: checks, the race of handshake and wasm, deadline, abort. */

import {
  checkAmount,
  checkChoice,
  checkCloseCode,
  checkMilliseconds,
  checkNumber,
  checkOptions,
  checkProtocols,
  checkSignal,
  resolveAddress,
  shown,
} from "./address.js";
import { now } from "./clock.js";
import type { Codec } from "./codec.js";
import type { CoreConstructor, Host, Options, SocketEvent, WasmSource, WebSocketLike } from "./core.js";
import type { Message, Sendable } from "./data.js";
import { TidegateError, aborted, invalid } from "./errors.js";
import { letGo, listen, unlisten } from "./host.js";
import { Inbox } from "./inbox.js";
import { abort, adopt, type Socket } from "./socket.js";
import type { Closed } from "./ticket.js";

/** Options of `connect`. Where 0 is no bound or no deadline, so is `Infinity`. */
export interface ConnectOptions<In = Message, Out = Sendable> {
  /** Subprotocols to offer, the preferred one first. Default none. */
  protocols?: string | readonly string[] | undefined;
  /** In which form binary messages arrive. Default `"arraybuffer"`. */
  binaryType?: "arraybuffer" | "blob" | undefined;
  /** Aborts connecting. Without effect once open. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds until connecting fails with `timeout`. Default 75,000, since a browser may hold an
   * attempt back for 60 s without notice; 0: no deadline.
   */
  within?: number | undefined;
  /** Makes messages of values and values of messages, by its `encode` and `decode`. Default none: values are messages. */
  codec?: Codec<In, Out> | undefined;
  /** The `WebSocket` class to use, such as that of the package `ws`. Default: the host's own. */
  WebSocket?: (new (url: string, protocols: string[]) => WebSocketLike) | undefined;
  /** Where the wasm comes from, if not from beside this package. Only the first connect counts. */
  wasm?: WasmSource | undefined;
  /**
   * Most bytes of one priority queued for sending. Default 16 MiB; 0: no bound. A larger message is taken when
   * nothing else of its priority is queued.
   */
  maxSendBytes?: number | undefined;
  /** Most messages of one priority queued for sending. Default 65,536; 0: no bound; never above 16,777,216. */
  maxSendMessages?: number | undefined;
  /**
   * Most bytes of one flow queued for sending, of all its priorities together. Default 0: no bound. A larger message
   * is taken when nothing else of its flow is queued.
   *
   * What is sent without `flow` is one more flow, for which this and `maxFlowMessages` hold as well.
   */
  maxFlowBytes?: number | undefined;
  /** Most messages of one flow queued for sending, as `maxFlowBytes`. Default 0: no bound. */
  maxFlowMessages?: number | undefined;
  /**
   * What each priority below urgent is guaranteed of all bytes while it has something to send. Default 1/16,
   * at most 1/4; 0 lets a higher priority starve the lower ones.
   */
  guaranteedShare?: number | undefined;
  /**
   * How many bytes may stand in the browser's own buffer on a slow link; one urgent message, or one that is larger
   * than this, may come on top. Default 65,536. At the beginning it is eight times as much, until something stands
   * there; on fast links it grows by itself, up to 16 MiB, or to eight times this if that is more. A finite number; 0
   * is as 1, the least, and not none.
   *
   * What the browser has been given nothing overtakes, so that this and what it hides (about a megabyte at
   * 2 MB/s) are what an urgent message waits behind. Less makes little difference; it slows fast links down,
   * and below 60,000 an upload of messages that fit it may be no faster than this in each 12 ms.
   */
  budgetBytes?: number | undefined;
  /**
   * Most bytes to hand over to the browser in a second. Default 0: no bound. A little less than what the link is
   * known to take keeps even the buffers empty that the browser hides. Urgent messages do not wait for it, but
   * are counted. Behind a timer that was late, as in a busy page, up to what a second allows goes at once.
   */
  maxBytesPerSecond?: number | undefined;
  /**
   * Most bytes received and not yet taken. Default 64 MiB; 0: no bound. What does not fit is dealt with as
   * `receivePolicy` says; a larger message is taken when the queue is empty. Text counts by its length in
   * UTF-16 units, as `String` does.
   */
  maxReceiveBytes?: number | undefined;
  /** Most messages received and not yet taken. Default 65,536; 0: no bound. */
  maxReceiveMessages?: number | undefined;
  /**
   * What becomes of a message for which the receive queue has no room. A socket cannot be made to push back.
   *
   * - `"close"` (default): the connection closes with `overflowCode`, and what waits can still be taken.
   * - `"dropOldest"`: those that have waited longest are dropped until it fits, all of them if it is larger
   *   than the queue. For readers that want what is newest; with a bound of one message, the last one.
   * - `"dropNewest"`: it is dropped itself. For readers that want what came first without a gap.
   *
   * {@link Socket.dropped} counts. The order stays, and a drop leaves at least one message.
   */
  receivePolicy?: "close" | "dropOldest" | "dropNewest" | undefined;
  /** Close code of the `receivePolicy` `"close"`: 1000 or 3000 to 4999. Default 4009. */
  overflowCode?: number | undefined;
}

/** The queues' default bounds: those of sending are the socket's, the others its inbox's. */
export const BOUNDS = {
  maxSendBytes: 16 << 20,
  maxSendMessages: 65_536,
  maxFlowBytes: 0,
  maxFlowMessages: 0,
  maxReceiveBytes: 64 << 20,
  maxReceiveMessages: 65_536,
};

/** The function `connect`, as the entry of the package exports it. */
export interface Connect {
  /**
   * Opens a connection to `url` and gives its handle once it is open. Relative and `http(s):`
   * addresses resolve against the page's or worker's base.
   *
   * With a codec such as `json`, messages are values of the application.
   *
   * Rejects with a {@link TidegateError}. Before any socket is made: `url`, `protocols`, `option`,
   * `closeCode` (for `overflowCode`), `environment`. Later: `connect` (refused, not authorised, a
   * broken handshake; `error.closed` has the close event), `timeout`, `wasm`, `aborted`. Aborting the
   * signal ends the handshake. Nothing is left behind.
   *
   * Specification: RFC 6455 section 4, WHATWG WebSockets.
   */
  <In, Out = In>(
    url: string | URL,
    options: ConnectOptions<In, Out> & { codec: Codec<In, Out> },
  ): Promise<Socket<In, Out>>;
  /** As above, without a codec: messages are text, buffers and Blobs as they are. */
  (url: string | URL, options?: ConnectOptions): Promise<Socket>;
}

/**
 * `connect` for `host`.
 *
 * The socket is made at once and the wasm is loaded meanwhile; events that come before it is there
 * are kept and handed over with the socket, so that connecting takes the longer of the two.
 */
export function connectOn(host: Host): Connect {
  return <In, Out>(url: string | URL, options?: ConnectOptions<In, Out>) => open(host, url, options);
}

function open<In, Out>(
  host: Host,
  url: string | URL,
  given: ConnectOptions<In, Out> | undefined,
): Promise<Socket<In, Out>> {
  // What is thrown in here rejects the promise.
  return new Promise((resolve, reject) => {
    const options = checkOptions(given, '{ protocols: "chat.v2" }');
    const { signal, codec } = options;
    const binaryType = options.binaryType ?? "arraybuffer";
    const address = resolveAddress(url);
    const protocols = checkProtocols(options.protocols);
    const within = checkMilliseconds("within", options.within, 75_000);
    const numbers = Object.entries(BOUNDS).map(([name, fallback]) =>
      checkAmount(name, options[name as keyof typeof BOUNDS], fallback),
    );
    const overflowCode = checkCloseCode(options.overflowCode ?? 4009);
    const overflow = checkChoice("receivePolicy", options.receivePolicy ?? "close", ["close", "dropOldest", "dropNewest"]);
    const pacing = [
      checkNumber("guaranteedShare", options.guaranteedShare, 1 / 16, "0 to 1/4", 1 / 4),
      checkNumber("budgetBytes", options.budgetBytes, 65_536),
      checkAmount("maxBytesPerSecond", options.maxBytesPerSecond, 0),
    ];
    const forms = ["arraybuffer", "blob"];
    checkChoice("binaryType", binaryType, forms);
    checkSignal(signal);
    // From JavaScript it may be anything.
    if (codec != undefined && !(Object(codec).encode && Object(codec).decode)) {
      throw invalid("codec", codec, "encode and decode");
    }
    if (signal?.aborted) throw aborted(signal);

    const loading = host.load(options.wasm ?? undefined);
    // Whether it fails or not is looked at below; until then nobody may report it as unhandled.
    loading?.catch(() => {});
    /** What `ws` says about a failure; browsers say nothing. */
    let told: unknown;
    const raw = create(options.WebSocket ?? globalThis.WebSocket, address, protocols, (cause) => (told = cause));
    // Before open, or a first binary message might come in the other form.
    raw.binaryType = binaryType;
    if (raw.binaryType !== binaryType) {
      // An old `ws`, which knows no Blobs.
      letGo(raw, () => {});
      checkChoice("binaryType", binaryType, forms.filter((form) => form !== binaryType));
    }
    const deadline = now() + within;
    const early: SocketEvent[] = [];
    const record = (event: SocketEvent): void => void early.push(event);
    let socket: Socket<In, Out> | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOpen = false;
    let settled = false;

    /** Leaves nothing behind: no timer, and no listener on the signal. */
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: TidegateError): void => {
      if (settled) return;
      settle();
      reject(error);
    };
    /** Ends an attempt for which there is no wasm yet. */
    const abandon = (error: TidegateError): void => {
      if (settled) return;
      fail(error);
      letGo(raw, record);
    };
    const onAbort = (): void => (socket ? abort(socket) : abandon(aborted(signal)));
    const timedOut = (closed?: Closed): TidegateError =>
      new TidegateError("timeout", `no connection to ${shown(address)} within ${within} ms; try again, or raise \`within\``, {
        closed,
      });

    const failed = (closed: Closed): TidegateError =>
      new TidegateError(
        "connect",
        `no connection to ${shown(address)} (close code ${closed.code})${told ? "; see `cause`" : "; browsers do not tell why"}; ` +
          "check the address, the server's log, and that it acknowledges a subprotocol",
        { closed, cause: told },
      );
    /** Looks at an open socket; there is no handle yet when the wasm's constructor finds it open. */
    const arrive = (): void => {
      if (!socket || !isOpen) return;
      if (!protocols.length || raw.protocol) {
        settle();
        resolve(socket);
        return;
      }
      // Fetch, "WebSocket opening handshake": a subprotocol offered and not acknowledged is a failure.
      // Chromium and `ws` see to that; Firefox opens the socket without one.
      abort(socket);
      void socket.closed.then((closed) => fail(failed({ ...closed, cause: "peer" })));
    };

    const attach = (): void => {
      if (settled) return;
      clearTimeout(timer);
      unlisten(raw, record);
      socket = adopt<In, Out>({
        Core: host.Core,
        raw,
        early,
        codec,
        // At least 1, since 0 means no deadline.
        options: [within && Math.max(1, Math.ceil(deadline - now())), ...pacing],
        bounds: numbers,
        inbox:
          host.inbox?.(raw, numbers[4]!, numbers[5]!) ?? new Inbox(numbers[4]!, numbers[5]!, overflow || overflowCode),
        opened() {
          isOpen = true;
          arrive();
        },
        closed(closed) {
          // Once open, the end is a result (`Socket.closed`) and not an error.
          if (isOpen) return;
          if (closed.cause === "aborted") fail(aborted(signal, { closed }));
          else fail(closed.cause === "connectTimeout" ? timedOut(closed) : failed(closed));
        },
      });
      arrive();
    };

    signal?.addEventListener("abort", onAbort);
    if (!loading) return attach();
    listen(raw, record);
    if (within) timer = setTimeout(() => abandon(timedOut()), within);
    loading.then(attach).catch((cause: unknown) =>
      abandon(
        new TidegateError(
          "wasm",
          `the wasm could not be loaded; serve ${host.file ?? "tidegate_core_bg.wasm"} beside the scripts, and allow ` +
            "'wasm-unsafe-eval' in the page's CSP",
          { cause },
        ),
      ),
    );
  });
}

function create(
  Socket: (new (url: string, protocols: string[]) => WebSocketLike) | undefined,
  address: string,
  protocols: string[],
  onError: (cause: unknown) => void,
): WebSocketLike {
  if (!Socket) {
    throw new TidegateError("environment", "there is no WebSocket here; give one by the option `WebSocket`");
  }
  try {
    const raw = new Socket(address, protocols);
    // Throws if that is no WebSocket.
    unlisten(raw, onError);
    // `ws` in Node is an EventEmitter, for which an `error` without a listener ends the process. This
    // one stays, since an abandoned handshake reports its error later.
    (raw as { on?: (type: string, listener: (cause: unknown) => void) => void }).on?.("error", onError);
    return raw;
  } catch (cause) {
    throw new TidegateError("environment", `the WebSocket constructor refused ${shown(address)}; see \`cause\``, { cause });
  }
}

/** What a socket is made of. Not exported from the package. @internal */
export interface Opening<In, Out> {
  readonly Core: CoreConstructor;
  readonly raw: WebSocketLike;
  /** Events recorded since the socket was made, in order. */
  readonly early: SocketEvent[];
  readonly options: Options;
  /** The bounds of sending first. */
  readonly bounds: readonly number[];
  readonly inbox: Inbox;
  readonly codec: Codec<In, Out> | undefined;
  /** Called once when open; perhaps before `adopt` has returned. */
  opened(): void;
  /** Called once when the connection has ended, also if it was never open. */
  closed(closed: Closed): void;
}

/** `connect` for servers that speak `tidegate.v1`, and what its sockets have beside the others. */

import { checkAmount, checkChoice, checkNumber, checkOptions, checkProtocols, resolveAddress, shown } from "./address.js";
import { Channel, make, type ChannelMessage, type ChannelOptions } from "./channel.js";
import { SUBPROTOCOL, constructorOf, type Limits, type Offer, type TidegateBacked } from "./channels-host.js";
import { now } from "./clock.js";
import type { Codec } from "./codec.js";
import { connectOn, type ConnectOptions } from "./connect.js";
import type { WasmSource, WebSocketLike } from "./core.js";
import { CreditInbox } from "./credit-inbox.js";
import type { Message, Sendable } from "./data.js";
import { TidegateError, invalid } from "./errors.js";
import type { GoAway } from "./go-away.js";
import type { Socket } from "./socket.js";
import { PRIORITIES } from "./stats.js";
import type { CloseCause } from "./ticket.js";

/** Options of `connect` of `tidegate/channels`. */
export interface ChannelsOptions<In = Message, Out = Sendable> extends ConnectOptions<In, Out> {
  /**
   * What is spoken above WebSocket. Default `"tidegate"`.
   *
   * - `"tidegate"`: `tidegate.v1`; with a server that does not speak it `connect` rejects with `connect` or `plain`.
   * - `"auto"`: that where the server speaks it, else plain mode. Where the server chooses none of the subprotocols offered
   *   browsers fail the connection: then a second one is opened without `tidegate.v1`, and if that succeeds the address,
   *   whatever its query, is known as plain for ten minutes.
   *
   * `binaryType` counts in plain mode only. A class that is given as `WebSocket` has to take messages of 263,168 bytes.
   */
  mode?: "tidegate" | "auto" | undefined;
  /** How many channels the peer may have open, up to 65,535. Default 32; messages without a channel take up to 16. */
  maxChannels?: number | undefined;
  /** The largest message that the peer may send, in bytes: 1,024 to 14,913,024, the default. */
  maxMessageBytes?: number | undefined;
  /** How much may have arrived without having been taken, in bytes, in all channels together. Default 96 MiB. */
  maxQueuedBytes?: number | undefined;
  /**
   * For how many milliseconds what is under way may queue on its way to the peer, where it delays urgent messages: 5 to 500,
   * default 11. Less has an urgent message there sooner, more fills links better whose rate or delay changes much. Where
   * acknowledgements come in lumps it is up to 50 by itself.
   */
  delay?: number | undefined;
}

/**
 * A socket with channels. In tidegate mode its messages end as `delivered`, its receive queue makes the peer wait, and of the codes
 * that `close` takes the peer is told 1000, or 4200 instead of any other: there the code says whether a session may go on. The
 * reason arrives.
 */
export interface ChannelSocket<In = Message, Out = Sendable> extends Socket<In, Out> {
  /** Whether the server speaks `tidegate.v1`. */
  readonly mode: "tidegate" | "plain";
  /**
   * Opens a channel. It can be used at once: what is sent goes with the opening, up to what the peer takes without having
   * been asked. As long as the peer's limit of channels is reached, what is sent waits. That it resolves says nothing of the
   * peer's application: one that wants no such channel resets it ({@link Channel.stopped}, {@link Channel.ended}).
   *
   * Rejects with a {@link TidegateError}: `plain` in plain mode, `closed`, `option` for an empty name or one that is longer
   * than the peer takes.
   */
  channel<CIn, COut = CIn>(
    name: string,
    options: ChannelOptions<CIn, COut> & { codec: Codec<CIn, COut> },
  ): Promise<Channel<CIn, COut>>;
  /** As above, without a codec: messages are text and buffers as they are. */
  channel(name: string, options?: ChannelOptions): Promise<Channel>;
  /**
   * The channels that the peer opens, for which {@link Channel.typed} gives a codec, until the connection is over. Several loops share them; a `next()` that waits when its
   * loop is left gives the end.
   */
  readonly channels: AsyncIterable<Channel, undefined>;
  /**
   * What the peer has announced of its end, the newest if it has done so more than once; also when the connection has ended.
   * `null` in plain mode, and of a peer that has said nothing.
   *
   * From the announcement on no channel can be opened, and no message of the connection be sent; channels that are open go on
   * for `drain`.
   */
  readonly goAway: GoAway | null;
  /** Called with each `goaway` event, as a listener is. */
  ongoaway: ((event: Event) => unknown) | null;
  /**
   * As that of `EventTarget`, for the events that there are. `goaway` comes when the peer has announced its end, which
   * {@link goAway} then tells; what came before anybody listened stands there as well.
   */
  addEventListener(
    type: "bufferedamountlow" | "goaway",
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** As that of `EventTarget`. */
  removeEventListener(
    type: "bufferedamountlow" | "goaway",
    listener: Parameters<EventTarget["removeEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
}

/** The function `connect` of `tidegate/channels`. */
export interface ConnectChannels {
  /**
   * As `connect` of `tidegate`, for a socket with channels; `plain` if the server chose another subprotocol. In tidegate mode
   * the server's greeting belongs to connecting: it may take 10 s of `within` at most, and then it is `timeout`.
   */
  <In, Out = In>(
    url: string | URL,
    options: ChannelsOptions<In, Out> & { codec: Codec<In, Out> },
  ): Promise<ChannelSocket<In, Out>>;
  /** As above, without a codec: messages are text, buffers and Blobs as they are. */
  (url: string | URL, options?: ChannelsOptions): Promise<ChannelSocket>;
}

/** The event that a peer's announcement is. */
const GOAWAY = "goaway";

/** What a server has done with which no session began. */
const FAULTS: { readonly [cause in CloseCause]?: string } = {
  peerFault: `chose ${SUBPROTOCOL} and then broke it`,
  toldFault: `chose ${SUBPROTOCOL} and then found a fault with it`,
  refused: `refused the session of ${SUBPROTOCOL}`,
};

/** For how long a server is known as plain, in milliseconds. */
const PLAIN_MEMORY = 600_000;
/** How many are known at most. */
const MOST_PLAIN = 256;
/** Until when, the oldest first. */
const plain = new Map<string, number>();

/** How long the server's first record may take, in milliseconds. */
const HELLO_WITHIN = 10_000;
/** What it is told of how long its silence may be, in milliseconds; its own word counts. */
const PING_AFTER = 20_000;

/** The limits that options name, with these defaults. @internal */
export function limitsOf(
  options: Pick<ChannelsOptions, "maxChannels" | "maxMessageBytes" | "maxQueuedBytes" | "delay">,
  maxChannels: number,
  maxQueuedBytes: number,
  helloMs: number,
  pingMs: number,
  messageBytes: number,
): Limits {
  return [
    checkNumber("maxChannels", options.maxChannels, maxChannels, "0 to 65,535", 65_535),
    checkNumber("maxMessageBytes", options.maxMessageBytes, 14_913_024, "1,024 to 14,913,024", 14_913_024, 1_024),
    checkNumber("maxQueuedBytes", options.maxQueuedBytes, maxQueuedBytes),
    checkNumber("delay", options.delay, 11, "5 to 500", 500, 5),
    helloMs,
    pingMs,
    messageBytes,
  ];
}

/** `connect` with channels, with the wasm that `load` loads. */
export function connectChannelsBy(
  load: (source: WasmSource | undefined) => Promise<unknown> | undefined,
): ConnectChannels {
  return async <In, Out>(url: string | URL, given?: ChannelsOptions<In, Out>) => {
    const options = checkOptions(given, '{ mode: "auto" }');
    const isAuto = checkChoice("mode", options.mode ?? "tidegate", ["tidegate", "auto"]);
    const limits = limitsOf(options, 32, 96 << 20, HELLO_WITHIN, PING_AFTER, Infinity);
    const own = checkProtocols(options.protocols).filter((name) => name !== SUBPROTOCOL);
    const began = now();
    let backed: TidegateBacked | undefined;
    const attempt = async (protocols: string[], within: number | undefined): Promise<ChannelSocket<In, Out>> => {
      let inbox!: CreditInbox;
      let raw!: WebSocketLike;
      const offers = new Offers(() => raw);
      const host = {
        Core: constructorOf(false, limits, () => inbox, offers.take, (made) => (backed = made)),
        load,
        file: "tidegate_v1_bg.wasm",
        inbox(socket: WebSocketLike, maxBytes: number, maxMessages: number) {
          raw = socket;
          const policy = checkChoice("receivePolicy", options.receivePolicy ?? "close", ["close", "dropOldest", "dropNewest"]);
          return (inbox = new CreditInbox(maxBytes, maxMessages, policy || (options.overflowCode ?? 4009)));
        },
      };
      type Connect = (url: string | URL, options: ConnectOptions<In, Out>) => Promise<Socket<In, Out>>;
      const socket = await (connectOn(host) as Connect)(url, { ...options, protocols, within });
      return withChannels(socket, backed!, raw, offers);
    };
    // A token in the query, which may be another each time, makes no difference.
    const address = resolveAddress(url).split("?")[0]!;
    if (isAuto && plain.get(address)! > began) return attempt(own, options.within);
    let socket;
    try {
      socket = await attempt([SUBPROTOCOL, ...own], options.within);
    } catch (error) {
      const left = (options.within ?? 75_000) - (now() - began);
      const { code, closed } = error as TidegateError;
      if (code === "timeout" && backed?.isTidegate) {
        const why = `${shown(address)} has chosen ${SUBPROTOCOL} and then not greeted in time; does it speak it?`;
        throw new TidegateError(code, why, { closed });
      }
      const did = code === "connect" && closed && FAULTS[closed.cause];
      // A server that has chosen the subprotocol speaks it, whatever became of the session; but some choose whatever they are
      // offered, and then say something else.
      const mayBePlain = code === "connect" && (!backed?.isTidegate || closed?.cause === "peerFault");
      if (!isAuto || !mayBePlain || (options.within !== 0 && left < 1)) {
        if (!did) throw error;
        const why = `${shown(address)} ${did} (close code ${closed.code}${closed.reason && `, ${JSON.stringify(closed.reason)}`})`;
        throw new TidegateError(code, why, { closed });
      }
      socket = await attempt(own, options.within === 0 ? 0 : left);
      plain.delete(address);
      if (plain.size >= MOST_PLAIN) plain.delete(plain.keys().next().value!);
      plain.set(address, now() + PLAIN_MEMORY);
    }
    if (isAuto || socket.mode === "tidegate") return socket;
    void socket.close();
    throw new TidegateError("plain", `the server chose the subprotocol ${socket.protocol}, and not ${SUBPROTOCOL}`);
  };
}

/** The channels that the peer has opened and nobody has taken. They may come before there is a socket to take them from. @internal */
export class Offers {
  readonly waiting: ((channel: Channel | undefined) => void)[] = [];
  readonly channels: { channel: Channel; give(): void }[] = [];
  /** For a core. */
  readonly take: Offer;

  constructor(raw: () => WebSocketLike) {
    this.take = (backed, number, name, priority) => {
      const { channel, events, start, give } = make<ChannelMessage, Sendable>(backed, raw(), name, priority, {});
      start(number);
      events.accepted();
      const next = this.waiting.shift();
      if (next) {
        give();
        next(channel);
      } else {
        this.channels.push({ channel, give });
      }
      return events;
    };
  }
}

/** Adds to a socket what it has with channels. @internal */
export function withChannels<In, Out>(
  socket: Socket<In, Out>,
  backed: TidegateBacked,
  raw: WebSocketLike,
  { waiting, channels: offered }: Offers,
): ChannelSocket<In, Out> {
  void socket.closed.then(() => {
    for (const resolve of waiting.splice(0)) resolve(undefined);
  });
  const isOver = (): boolean => backed.isOver || socket.readyState > 2;
  // Not from there, which is inside the wasm.
  backed.onGoAway = () => queueMicrotask(() => socket.dispatchEvent(new Event(GOAWAY)));
  let onGoAway: ChannelSocket["ongoaway"] = null;
  const tell = (event: Event): unknown => onGoAway?.call(socket, event);
  const listening = socket as EventTarget;
  const channels: AsyncIterable<Channel, undefined> = {
    [Symbol.asyncIterator]: () => {
      let left = false;
      // Of those who wait, this loop's.
      const own = new Set<(channel: Channel | undefined) => void>();
      const wait = async (): Promise<Channel | undefined> => {
        let settle!: (channel: Channel | undefined) => void;
        const channel = new Promise<Channel | undefined>((resolve) => waiting.push((settle = resolve)));
        own.add(settle);
        await channel;
        own.delete(settle);
        return channel;
      };
      return {
        async next(): Promise<IteratorResult<Channel, undefined>> {
          const next = offered.shift();
          next?.give();
          const channel =
            next?.channel ??
            (left || isOver() ? undefined : await wait());
          return channel ? { done: false, value: channel } : { done: true, value: undefined };
        },
        async return() {
          left = true;
          // Or the next channel would be given to who does not wait for it any more.
          for (const settle of own) {
            const at = waiting.indexOf(settle);
            if (at < 0) continue;
            waiting.splice(at, 1);
            settle(undefined);
          }
          return { done: true, value: undefined };
        },
      };
    },
  };
  return Object.defineProperties(socket, {
    mode: { get: () => (backed.isTidegate ? "tidegate" : "plain") },
    goAway: { get: () => backed.goAway },
    ongoaway: {
      get: () => onGoAway,
      set(listener: ChannelSocket["ongoaway"]) {
        onGoAway = listener;
        // As one of its own, also if the same function listens otherwise.
        if (listener) listening.addEventListener(GOAWAY, tell);
        else listening.removeEventListener(GOAWAY, tell);
      },
    },
    channels: { value: channels },
    channel: {
      value: async <CIn, COut>(name: string, given?: ChannelOptions<CIn, COut>) => {
        const options = checkOptions(given, '{ priority: "bulk" }');
        const priority = checkChoice("priority", options.priority ?? "normal", PRIORITIES);
        checkAmount("maxSendBytes", options.maxSendBytes, 0);
        checkAmount("maxSendMessages", options.maxSendMessages, 0);
        if (typeof name !== "string" || !name) throw invalid("name", name, "a text that is not empty");
        const { channel, events, start, give } = make<CIn, COut>(backed, raw, name, priority, options);
        const number = backed.open(name, priority, events);
        if (number > 0) {
          start(number);
          give();
          return channel;
        }
        if (number === -1) throw new TidegateError("plain", `the server does not speak ${SUBPROTOCOL}, and knows no channels`);
        if (number === -5) throw invalid("name", `${name.slice(0, 32)}…`, "a shorter one: the peer takes 128 bytes of UTF-8 or what it has said");
        throw new TidegateError("closed", "the connection takes no more channels");
      },
    },
  }) as ChannelSocket<In, Out>;
}

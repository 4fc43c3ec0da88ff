/** From an open socket of `ws` to a handle: checks, the greeting, its deadline. */

import { checkAmount, checkChoice, checkMilliseconds, checkNumber, checkOptions } from "./address.js";
import { Offers, limitsOf, withChannels, type ChannelSocket, type ChannelsOptions } from "./channels-api.js";
import { constructorOf, type TidegateBacked } from "./channels-host.js";
import type { Codec } from "./codec.js";
import { BOUNDS, type ConnectOptions } from "./connect.js";
import { Connections, enter, type Place } from "./connections.js";
import type { Message, Sendable } from "./data.js";
import { TidegateError, invalid } from "./errors.js";
import { PausingInbox, PeerSocket, type PeerSocketLike } from "./peer-socket.js";
import { adopt } from "./socket.js";
import type { Closed } from "./ticket.js";
import init, { isLoaded } from "./wasm-v1.node.js";

/** Options of {@link accept}. Where 0 is no bound or no deadline, so is `Infinity`. */
export interface AcceptOptions<In = Message, Out = Sendable>
  extends Pick<ChannelsOptions<In, Out>, "delay">,
    Pick<
      ConnectOptions<In, Out>,
      | "binaryType"
      | "codec"
      | "wasm"
      | "maxSendBytes"
      | "maxSendMessages"
      | "maxFlowBytes"
      | "maxFlowMessages"
      | "guaranteedShare"
      | "budgetBytes"
      | "maxBytesPerSecond"
    > {
  /** How many channels the client may have open, 16 to 65,535. Default 128; messages without a channel take up to 16. */
  maxChannels?: number | undefined;
  /**
   * The largest message that the client may send, in bytes: 57,344 to 14,913,024, the default. What a client may assume
   * before it is told cannot be less: here and for `maxChannels` a smaller value counts as the least one.
   */
  maxMessageBytes?: number | undefined;
  /**
   * How much may have arrived without having been taken, in bytes, in all channels together. Default 256 MiB. Each message
   * counts for 64 bytes more than its content, for each part that it has come in.
   */
  maxQueuedBytes?: number | undefined;
  /**
   * Most bytes received and not yet taken, in plain mode. Default 64 MiB; 0: no bound. Then nothing more is read until half of
   * it is taken, which makes the client wait.
   */
  maxReceiveBytes?: number | undefined;
  /** Most messages likewise. Default 65,536; 0: no bound. */
  maxReceiveMessages?: number | undefined;
  /** How many milliseconds the client's greeting may take, in tidegate mode. Default 10,000; 0: no deadline. */
  within?: number | undefined;
  /**
   * After how many milliseconds of silence a client is asked whether it is there. Default 20,000; 0: never. One that does not
   * answer is taken for gone, and its socket ends with the cause `silent`: in plain mode after as long again, up to twice that.
   *
   * In tidegate mode after 2.25 times as long, 45 s by default, and up to as long again with much under way; and the client,
   * which is told of it, does the same with a server that is silent. There 1,000 to 300,000 are used, for 0 the most.
   */
  pingAfter?: number | undefined;
  /** From where the client comes, for `maxPerAddress` of {@link ConnectionLimits}. Default: not known. */
  address?: string | undefined;
  /** What `socket.url` says. Default `""`, as a server knows only the path. */
  url?: string | undefined;
  /** Where the connection is counted, and ended when the server goes away. Default: nowhere. */
  connections?: Connections | undefined;
}

/** What every client may send before it is told otherwise, in tidegate mode. Not exported from the package. @internal */
export const LEAST_PAYLOAD = 65_535;

/** The function {@link accept}. */
export interface Accept {
  <In, Out = In>(
    ws: PeerSocketLike,
    options: AcceptOptions<In, Out> & { codec: Codec<In, Out> },
  ): Promise<ChannelSocket<In, Out>>;
  (ws: PeerSocketLike, options?: AcceptOptions): Promise<ChannelSocket>;
}

/**
 * Takes over an open socket of the package `ws`, and gives its handle once the client has greeted; at once in plain mode,
 * which is that of a socket whose `protocol` is not `tidegate.v1`. To be called in the task in which `ws` gives the socket:
 * what comes before is lost.
 *
 * It looks neither at the origin nor at anything else of the request: whoever can open a socket of `ws` gets in, pages of any
 * other site with the cookies of their visitors included. That is what {@link upgrade} is for; else it is the application's,
 * before `ws` has answered (`verifyClient`, or an `upgrade` event of one's own).
 *
 * The server should not accept permessage-deflate (`perMessageDeflate: false`, the default of `ws`): the length of
 * a compressed message tells something of what else is in it. And its `maxPayload` bounds what `ws` collects of one
 * message, which is 100 MiB if nothing is said; tidegate mode needs 65,535, and uses up to 263,168.
 *
 * Rejects with a {@link TidegateError}: `option`, `wasm`; `connect` if the client is gone, or has said something else than a
 * greeting, with `closed`; `timeout`; `refused` if `connections` have no place, whose client has one second for its closing
 * handshake with 1013. The socket is then closed, but for `option`.
 */
export const accept: Accept = <In, Out>(ws: PeerSocketLike, options?: AcceptOptions<In, Out>) =>
  take<In, Out>(ws, options, undefined);

/** As `accept`, in a place that it has already. Not exported from the package. @internal */
export async function take<In, Out>(
  ws: PeerSocketLike,
  given: AcceptOptions<In, Out> | undefined,
  held: Place | undefined,
): Promise<ChannelSocket<In, Out>> {
  const options = checkOptions(given, "{ maxChannels: 16 }");
  if (!ws?.addEventListener || !ws.terminate) throw invalid("ws", ws, "a WebSocket of the package ws");
  const { codec, connections, wasm, url = "" } = options;
  const pingAfter = checkMilliseconds("pingAfter", options.pingAfter, 20_000);
  // Not told in public. What every client may send will do, and 0 is no bound.
  const maxPayload = ws._receiver?._maxPayload ?? LEAST_PAYLOAD;
  const within = checkMilliseconds("within", options.within, 10_000);
  const limits = limitsOf(options, 128, 256 << 20, within, pingAfter, maxPayload || Infinity);
  const bounds = Object.entries(BOUNDS).map(([name, fallback]) =>
    checkAmount(name, options[name as keyof typeof BOUNDS], fallback),
  );
  const pacing = [
    0,
    checkNumber("guaranteedShare", options.guaranteedShare, 1 / 16, "0 to 1/4", 1 / 4),
    checkNumber("budgetBytes", options.budgetBytes, 65_536),
    checkAmount("maxBytesPerSecond", options.maxBytesPerSecond, 0),
  ];
  const { binaryType = "arraybuffer" } = options;
  checkChoice("binaryType", binaryType, ["arraybuffer", "blob"]);
  if (codec != undefined && !(Object(codec).encode && Object(codec).decode)) throw invalid("codec", codec, "encode and decode");
  if (connections != undefined && !(connections instanceof Connections)) {
    throw invalid("connections", connections, "Connections of this package");
  }
  const { readyState } = ws;
  if (!readyState) throw invalid("ws", "a socket that is connecting", "an open one");
  // There may be no event any more that would tell.
  if (readyState > 1) throw new TidegateError("connect", "the client is gone already");
  const place = held ?? connections?.admit(options.address);
  if (connections && !place) {
    turnAway(ws);
    throw new TidegateError("refused", "there is no place for another connection");
  }
  // At once: from here on nothing of what comes is lost.
  const raw = new PeerSocket(ws, url);
  raw.binaryType = binaryType;
  try {
    if (!isLoaded) {
      // What comes meanwhile waits where it is, and not here.
      raw.pause(true);
      await init(wasm ?? undefined).catch((cause: unknown) => {
        throw new TidegateError("wasm", "the wasm could not be loaded; is tidegate_v1_bg.wasm beside the scripts?", { cause });
      });
      raw.pause(false);
    }
    return await new Promise<ChannelSocket<In, Out>>((resolve, reject) => {
      let isOpen = false;
      let backed!: TidegateBacked;
      const inbox = new PausingInbox(raw, bounds[4]!, bounds[5]!);
      const offers = new Offers(() => raw);
      const socket = withChannels(
        adopt<In, Out>({
          Core: constructorOf(true, limits, () => inbox, offers.take, (made) => (backed = made)),
          raw,
          early: [],
          options: pacing,
          bounds,
          inbox,
          codec: codec ?? undefined,
          opened() {
            isOpen = true;
            enter(socket, { backed, raw }, place);
            resolve(socket);
          },
          closed(closed) {
            // The wasm has seen a socket that ended.
            if (raw.isSilent && closed.cause === "peer") Object.assign(closed, { cause: "silent" } satisfies Partial<Closed>);
            // Once open, the end is a result (`Socket.closed`) and not an error.
            if (isOpen) return;
            const isLate = closed.cause === "connectTimeout";
            const why = isLate ? "the client has not greeted in time" : `the client is gone, or spoke something else`;
            reject(new TidegateError(isLate ? "timeout" : "connect", `${why} (close code ${closed.code})`, { closed }));
          },
        }),
        backed,
        raw,
        offers,
      );
      raw.onWritten = () => backed.written();
      raw.begin(pingAfter);
    });
  } catch (error) {
    place?.leave();
    // Nobody has taken it over, or it has ended: what still comes is not kept for anybody.
    raw.removeEventListener();
    throw error;
  }
}

/**
 * Closes a socket for which there is no place. It is read on, so that the client hears of it, but for a moment only, and
 * nothing of what comes is kept: it counts nowhere.
 */
function turnAway(ws: PeerSocketLike): void {
  // Or an error of the connection would end the process.
  ws.on("error", () => {});
  ws.close(TRY_AGAIN_LATER);
  const late = setTimeout(() => ws.terminate(), TURNED_AWAY_WITHIN);
  ws.on("close", () => clearTimeout(late));
}

/** RFC 6455 section 7.4.1 has the registry: the server has more to do than it can. */
const TRY_AGAIN_LATER = 1013;
/** How long one that is turned away has for its closing handshake, in milliseconds, where `ws` would give it 30 s. */
const TURNED_AWAY_WITHIN = 1_000;

/** From a request for an upgrade to a handle: who may connect, and what is spoken. */

import { checkChoice, checkMilliseconds, checkOptions, checkProtocols } from "./address.js";
import { LEAST_PAYLOAD, take, type AcceptOptions } from "./accept.js";
import type { ChannelSocket } from "./channels-api.js";
import { SUBPROTOCOL } from "./channels-host.js";
import type { Codec } from "./codec.js";
import type { Place } from "./connections.js";
import type { Message, Sendable } from "./data.js";
import { TidegateError, invalid } from "./errors.js";
import type { PeerSocketLike } from "./peer-socket.js";

/** What is used of a request: Node's `IncomingMessage`. */
export interface UpgradeRequest {
  readonly url?: string | undefined;
  readonly headers: { readonly origin?: string | undefined };
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
}

// `any`: Node's types are the application's.
/** What is used of the socket of an upgrade: Node's `Duplex`. */
export interface UpgradeSocket {
  readonly destroyed: boolean;
  on(type: any, listener: (...told: any[]) => void): unknown;
  removeListener(type: any, listener: (...told: any[]) => void): unknown;
  end(data: string): unknown;
  destroy(): unknown;
}

/** What is used of a server of `ws`: `new WebSocketServer({ noServer: true })`. */
export interface UpgradeServer {
  readonly options?: { readonly maxPayload?: number | undefined };
  handleUpgrade(request: any, socket: any, head: any, done: (ws: any) => void): void;
}

/**
 * What `authenticate` has found out: `true`, or whom it has found, accepts; a number is the status of the answer that refuses,
 * 400 to 599; everything else refuses as well, so that nobody gets in by what was not meant so.
 */
export type Verdict<Identity = unknown> = boolean | number | { readonly identity: Identity };

/** Whom those verdicts name that accept. */
export type IdentityOf<V> = V extends { readonly identity: infer Identity } ? NonNullable<Identity> : V extends true ? undefined : never;

/** What {@link upgrade} gives: the socket of a client, with who that is. */
export interface UpgradedSocket<In = Message, Out = Sendable, Identity = undefined> extends ChannelSocket<In, Out> {
  /** Whom `authenticate` has named, or `undefined` if it was not asked, or said `true`. */
  readonly identity: Identity;
}

/** Options of {@link upgrade}. */
export interface UpgradeOptions<R = UpgradeRequest, In = Message, Out = Sendable, V extends Verdict = Verdict>
  extends AcceptOptions<In, Out> {
  /**
   * The origins whose pages may connect, such as `["https://example.com"]`, or `"any"`. A page of any other site
   * can open a WebSocket here as well, with the cookies of its visitor: it is answered with 403. `"null"` is the origin of
   * files, and of whatever others put into a sandboxed frame.
   */
  origins: readonly string[] | "any";
  /** What is done with those who name no origin: programs, not pages. Whoever wants no browsers needs no origins. */
  withoutOrigin: "accept" | "refuse";
  /**
   * From where a request comes, for `maxPerAddress` of {@link ConnectionLimits}. Default `address`, and else that of the
   * request's socket. Behind a proxy that is the proxy's, and a header field says whose it is; believe it only if the proxy
   * sets it. What it throws is 500.
   */
  addressBy?: ((request: R) => string | undefined) | undefined;
  /**
   * Who is asking, by the request: called last, for those whose origin is right and for whom there is a place. Only
   * `{ identity: … }`, which the socket then has as its `identity`, and `true` accept; a number is the status of the answer, 400
   * to 599, and everything else is 403, an `identity` of null or undefined too. What it throws is 500, and what takes longer than `within` is 503. A page is shown
   * nothing of the answer but that there was no connection.
   */
  authenticate?: ((request: R) => V | Promise<V>) | undefined;
  /**
   * Told why a client was not accepted, with the request. What it throws is ignored, and so is what comes of a promise that it
   * gives, for which nobody waits.
   */
  onRefused?: ((error: TidegateError, request: R) => unknown) | undefined;
}

/** The function {@link upgrade}. */
export interface Upgrade {
  <In, Out = In, R extends UpgradeRequest = UpgradeRequest, V extends Verdict = Verdict>(
    server: UpgradeServer,
    request: R,
    socket: UpgradeSocket,
    head: unknown,
    options: UpgradeOptions<R, In, Out, V> & { codec: Codec<In, Out> },
  ): Promise<UpgradedSocket<In, Out, IdentityOf<V>> | undefined>;
  <R extends UpgradeRequest, V extends Verdict = Verdict>(
    server: UpgradeServer,
    request: R,
    socket: UpgradeSocket,
    head: unknown,
    options: UpgradeOptions<R, Message, Sendable, V>,
  ): Promise<UpgradedSocket<Message, Sendable, IdentityOf<V>> | undefined>;
}

/**
 * Answers Node's `upgrade` event over a server of `ws`: checks the origin, finds a place among `connections`, asks
 * `authenticate`, and then does as {@link accept}, with who it is as `identity`. Gives `undefined` if there is no connection, which is the client's
 * fault and told to `onRefused` only, since a rejection that nobody handles would end the process.
 *
 * Which subprotocol is spoken is the server's: see {@link handleProtocols}.
 *
 * Rejects with a {@link TidegateError} that no client can bring about: `option`, `wasm`, `environment`. The socket is then
 * destroyed.
 */
export const upgrade: Upgrade = async <R extends UpgradeRequest, In, Out, V extends Verdict>(
  server: UpgradeServer,
  request: R,
  socket: UpgradeSocket,
  head: unknown,
  given: UpgradeOptions<R, In, Out, V>,
): Promise<UpgradedSocket<In, Out, IdentityOf<V>> | undefined> => {
  // Or an error of the connection, while this waits, would end the process.
  socket.on("error", () => {});
  let place: Place | undefined;
  let onRefused: UpgradeOptions<R>["onRefused"];
  try {
    const options = checkOptions(given, '{ origins: ["https://example.com"], withoutOrigin: "refuse" }');
    ({ onRefused } = options);
    const origins = checkOrigins(options.origins);
    const refuses = checkChoice("withoutOrigin", options.withoutOrigin, ["accept", "refuse"]);
    const { maxPayload } = server.options ?? {};
    if (maxPayload && maxPayload < LEAST_PAYLOAD) throw invalid("maxPayload", maxPayload, `at least ${LEAST_PAYLOAD}`);
    const { origin } = request.headers;
    if (origin === undefined ? refuses : origins && !origins.includes(origin)) {
      throw refusal(socket, 403, `the origin ${origin ?? "is missing, which"} is not allowed`);
    }
    const { connections, authenticate } = options;
    place = connections?.admit(addressOf(request, socket, options));
    if (connections && !place) throw refusal(socket, 503, "there is no place for another connection");
    let identity: unknown;
    if (authenticate) {
      const within = checkMilliseconds("within", options.within, 10_000);
      const said = await answer(() => authenticate(request), within);
      if (said.status) throw refusal(socket, said.status, "`authenticate` has refused it", said.cause);
      ({ identity } = said);
    }
    // At once, or what comes with the handshake is lost.
    const begin = (ws: PeerSocketLike): Promise<ChannelSocket<In, Out>> =>
      take<In, Out>(ws, { url: request.url, ...options }, place);
    const peer = await handshake(server, request, socket, head, begin);
    return Object.defineProperty(peer, "identity", { value: identity }) as UpgradedSocket<In, Out, IdentityOf<V>>;
  } catch (error) {
    place?.leave();
    const { code } = error as TidegateError;
    if (code === "refused" || code === "connect" || code === "timeout") {
      // Or whoever is refused could end the process.
      (async () => onRefused?.(error as TidegateError, request))().catch(() => {});
      return undefined;
    }
    socket.destroy();
    throw error;
  }
};

/**
 * For the option of that name of a server of `ws`: chooses `tidegate.v1` where a client offers it, else the first in the
 * client's order that is among `own`, else none, which fails the connection of a browser that has offered something.
 *
 * Throws a {@link TidegateError} `protocols`.
 */
export function handleProtocols(own?: string | readonly string[]): (offered: Iterable<string>) => string | false {
  const names = checkProtocols(own);
  return (offered) => {
    const all = [...offered];
    return all.includes(SUBPROTOCOL) ? SUBPROTOCOL : (all.find((name) => names.includes(name)) ?? false);
  };
}

/** The origins, `undefined` for any. */
function checkOrigins(given: readonly string[] | "any"): readonly string[] | undefined {
  if (given === "any") return undefined;
  if (!Array.isArray(given)) throw invalid("origins", given, 'an array of origins, or "any"');
  for (const origin of given) {
    if (origin === "null") continue;
    // One with a path, or in capitals, would never be the same as what a browser sends.
    const url = URL.canParse(origin) ? new URL(origin) : undefined;
    if (!url || (url.origin !== origin && `${url.protocol}//${url.host}` !== origin)) {
      throw invalid("origins", origin, "such as https://example.com");
    }
  }
  return given;
}

/** From where a request comes. */
function addressOf<R extends UpgradeRequest>(
  request: R,
  socket: UpgradeSocket,
  { address, addressBy }: UpgradeOptions<R, any, any>,
): string | undefined {
  try {
    return addressBy ? addressBy(request) : (address ?? request.socket?.remoteAddress);
  } catch (cause) {
    throw refusal(socket, 500, "`addressBy` has thrown", cause);
  }
}

/** What `ask` has said: whom it accepts, or the status with which it refuses, and what it has thrown. */
interface Answer {
  readonly status?: number;
  readonly cause?: unknown;
  readonly identity?: unknown;
}

async function answer(ask: () => unknown, within: number): Promise<Answer> {
  let timer;
  try {
    const late = new Promise<number>((resolve) => {
      if (within) timer = setTimeout(() => resolve(503), within);
    });
    const said = await Promise.race([ask(), late]);
    if (said === true) return {};
    const { identity } = Object(said) as { identity?: unknown };
    // One that was looked up and is not there is nobody.
    if (identity != undefined) return { identity };
    return { status: Number.isInteger(said) && (said as number) >= 400 && (said as number) < 600 ? (said as number) : 403 };
  } catch (cause) {
    return { status: 500, cause };
  } finally {
    clearTimeout(timer);
  }
}

/** Answers with a status, and gives the error that says why. */
function refusal(socket: UpgradeSocket, status: number, why: string, cause?: unknown): TidegateError {
  if (!socket.destroyed) {
    socket.on("finish", () => socket.destroy());
    socket.end(`HTTP/1.1 ${status} \r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
  return new TidegateError("refused", `${why} (answered with ${status})`, { cause });
}

/** The opening handshake of `ws`, which says nothing of one that fails; then `begin`. */
function handshake<T>(
  server: UpgradeServer,
  request: unknown,
  socket: UpgradeSocket,
  head: unknown,
  begin: (ws: PeerSocketLike) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new TidegateError("connect", "the client is gone, or its request is no opening handshake"));
    if (socket.destroyed) return fail();
    socket.on("close", fail);
    try {
      server.handleUpgrade(request, socket, head, (ws: PeerSocketLike) => {
        socket.removeListener("close", fail);
        resolve(begin(ws));
      });
    } catch (cause) {
      reject(new TidegateError("environment", "the server of `ws` has thrown; see `cause`", { cause }));
    }
  });
}

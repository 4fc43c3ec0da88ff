/** A socket of the package `ws`, as a server has it, in the shape of a browser's. */

import { joined } from "./arriving.js";
import { SUBPROTOCOL } from "./channels-host.js";
import { now } from "./clock.js";
import type { SocketEvent, WebSocketLike } from "./core.js";
import { CreditInbox } from "./credit-inbox.js";
import { bytesOf } from "./data.js";

// `any`: each version of `ws` has types of its own.
/**
 * What is used of a socket of `ws`: `message` and `close` are listened to by `addEventListener`, and `error`, `ping` and `pong` by
 * `on`. In a stand-in `pause`, `resume` and `ping` may do nothing.
 */
export interface PeerSocketLike {
  readonly protocol: string;
  readonly extensions: string;
  readonly readyState: number;
  readonly bufferedAmount?: number;
  /** Not public: the largest message that it takes, 0 for any. @internal */
  readonly _receiver?: { readonly _maxPayload?: number };
  /** Not public: what is below it, a `Socket` of `node:net`. @internal */
  readonly _socket?: {
    readonly bytesRead?: number;
    readonly _handle?: { readonly bytesWritten?: number; readonly writeQueueSize?: number } | null;
  };
  binaryType: string;
  send(data: any, callback: (error?: Error) => void): void;
  ping(): void;
  pause(): void;
  resume(): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(type: any, listener: (...told: any[]) => void): unknown;
  addEventListener(type: any, listener: (event: any) => void): void;
  removeEventListener(type: any, listener: (event: any) => void): void;
}

type Listener = (event: SocketEvent) => void;

const EVENTS = ["message", "close"];

/**
 * One of those, which is open already. What comes is kept until {@link begin}; then it opens, in the eyes of who listens.
 * It never has an `error` event, which `ws` does not tell without a close.
 *
 * @internal
 */
export class PeerSocket implements WebSocketLike {
  readonly url: string;
  binaryType = "arraybuffer";
  /** Whether a close in good order says that this server goes away. */
  isGoingAway = false;
  /** Told when something has been written that could not be at once. */
  onWritten: (() => void) | undefined;
  readonly #peer: PeerSocketLike;
  readonly #isTidegate: boolean;
  /** Bytes given to it whose callbacks have not come. */
  #unwritten = 0;
  #isPaused = false;
  /** What has come before `begin`. */
  #early: SocketEvent[] | undefined = [];
  #listener: Listener | undefined;
  readonly #tell = (event: SocketEvent): void => {
    this.#isHeard = true;
    if (this.#early) this.#early.push(event);
    else this.#listener?.(this.#converted(event));
  };
  #watch: ReturnType<typeof setTimeout> | undefined;
  /** Whether anything has come since the watch has looked last, and else whether the peer was asked. */
  #isHeard = true;
  #isAsked = false;
  /** What has been read, how much of what was written the system has taken, and whether there was more. */
  #traffic = { bytesRead: 0, taken: 0, isStuck: false };
  /** It was given up since it said nothing. */
  isSilent = false;

  constructor(peer: PeerSocketLike, url: string) {
    this.#peer = peer;
    this.url = url;
    this.#isTidegate = peer.protocol === SUBPROTOCOL;
    // Its `error` without a listener ends the process. A close follows, also by something that is listened to no more.
    peer.on("error", () => {});
    // As it has them, without a copy.
    peer.binaryType = "nodebuffer";
    for (const type of EVENTS) peer.addEventListener(type, this.#tell);
  }

  get protocol(): string {
    return this.#peer.protocol;
  }

  get extensions(): string {
    return this.#peer.extensions;
  }

  get readyState(): number {
    return this.#early ? 0 : this.#peer.readyState;
  }

  /** As `ws` says it; where it says nothing, what it has not said to be written. */
  get bufferedAmount(): number {
    return this.#peer.bufferedAmount ?? this.#unwritten;
  }

  send(data: string | ArrayBuffer | ArrayBufferView | Blob): void {
    const { length = 0, byteLength = length, size = byteLength } = data as unknown as Record<string, number>;
    this.#unwritten += size;
    let isLate = false;
    this.#peer.send(data, () => {
      this.#unwritten -= size;
      if (isLate) this.onWritten?.();
    });
    isLate = this.bufferedAmount > 0;
  }

  close(code?: number, reason?: string): void {
    // Or the answer could not be read.
    this.pause(false);
    if (this.isGoingAway && (code ?? 1000) === 1000) this.#peer.close(GOING_AWAY, reason);
    else this.#peer.close(code, reason);
  }

  /** Reads nothing more, or goes on. */
  pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    // What has come meanwhile it has not been asked for.
    this.#isAsked = false;
    if (isPaused) this.#peer.pause();
    else this.#peer.resume();
  }

  addEventListener(_type: string, listener: Listener): void {
    this.#listener = listener;
  }

  /** Nobody listens any more: a socket that has not ended by now is given up, without the 30 s of `ws`. */
  removeEventListener(): void {
    clearTimeout(this.#watch);
    this.#listener = undefined;
    for (const type of EVENTS) this.#peer.removeEventListener(type, this.#tell);
    if (this.#peer.readyState < 3) this.#peer.terminate();
  }

  /** Tells that it is open, and what has come. Peers in plain mode are asked after `pingAfter` of silence; 0: never. */
  begin(pingAfter: number): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#listener?.({ type: "open" });
    for (const event of early) this.#tell(event);
    if (this.#isTidegate || !pingAfter || !this.#listener) return;
    for (const type of ["ping", "pong"]) this.#peer.on(type, () => (this.#isHeard = true));
    this.#look(pingAfter);
  }

  /**
   * Asks a peer of whom nothing has come, and gives up one that has not answered. One that is not read cannot answer: it is
   * asked since that fails where nobody is left.
   */
  #look(after: number): void {
    const due = now() + after;
    this.#watch = setTimeout(() => {
      const hasMoved = this.#hasMoved();
      if (this.#isHeard || hasMoved) this.#isHeard = this.#isAsked = false;
      else {
        // So late this side has slept, or was busy, and an answer may not have been read yet.
        const isLate = now() - due > Math.max(after / 2, LATENESS);
        if (this.#isAsked && !this.#isPaused && !isLate) {
          this.isSilent = true;
          return this.#peer.terminate();
        }
        this.#isAsked = true;
        this.#peer.ping();
      }
      this.#look(after);
    }, after);
    // The connection keeps the process alive, and not this.
    (this.#watch as { unref?(): void }).unref?.();
  }

  /**
   * Whether anything has come since it was asked last, or what was stuck goes on: a long message is told of when it is
   * complete, and in front of a pong it takes as long as it takes.
   */
  #hasMoved(): boolean {
    const { bytesRead = 0, _handle } = this.#peer._socket ?? {};
    const { bytesWritten = 0, writeQueueSize = 0 } = _handle ?? {};
    const last = this.#traffic;
    const taken = bytesWritten - writeQueueSize;
    this.#traffic = { bytesRead, taken, isStuck: writeQueueSize > 0 };
    return bytesRead !== last.bytesRead || (last.isStuck && taken > last.taken);
  }

  /** An event with the message as a browser would have it, or for records as it is. */
  #converted(event: any): SocketEvent {
    const { type, data } = event;
    if (type !== "message" || typeof data === "string") return event;
    const bytes = whole(data);
    if (this.#isTidegate) return { type, data: bytes } as SocketEvent;
    if (this.binaryType === "blob") return { type, data: new Blob([bytes]) } as SocketEvent;
    // A small one is a view of memory that Node shares out.
    const { buffer, byteLength } = bytes;
    return { type, data: byteLength === buffer.byteLength ? buffer : bytes.slice().buffer } as SocketEvent;
  }
}

const GOING_AWAY = 1001;
/** By how many milliseconds a timer may be late on a machine that is only busy. */
const LATENESS = 1_000;

/** The bytes of a message, whichever `binaryType` it has come by. */
function whole(data: ArrayBuffer | ArrayBufferView | readonly ArrayBufferView[]): Uint8Array<ArrayBuffer> {
  return Array.isArray(data) ? joined(data.map(bytesOf)) : bytesOf(data as ArrayBuffer);
}

/** What waits for the application: in plain mode the socket reads on as it is taken, and nothing is dropped. @internal */
export class PausingInbox extends CreditInbox {
  readonly #raw: PeerSocket;
  readonly #maxBytes: number;
  readonly #maxMessages: number;

  constructor(raw: PeerSocket, maxBytes: number, maxMessages: number) {
    super(0, 0, 1);
    this.#raw = raw;
    this.#maxBytes = maxBytes || Infinity;
    this.#maxMessages = maxMessages || Infinity;
  }

  override put(value: unknown, bytes: number): number {
    super.put(value, bytes);
    if (!this.took && this.#isFilled(1)) this.#raw.pause(true);
    return 0;
  }

  override take(): unknown {
    const message = super.take();
    if (!this.took && !this.#isFilled(2)) this.#raw.pause(false);
    return message;
  }

  /** Whether it has come to its bound, or to a part of it. */
  #isFilled(part: number): boolean {
    const { messages, bytes } = this.queued;
    return messages >= this.#maxMessages / part || (messages > 0 && bytes >= this.#maxBytes / part);
  }
}

/** What became of one message, and of a connection. */

/**
 * The end of one message; each has exactly one.
 *
 * - `handedOver`: given to the socket. Nobody but the peer can say whether it arrived.
 * - `cancelled`: by {@link Ticket.cancel} or the signal given to `send`; on a channel also by a reset of it, or by a peer
 *   that wants nothing more. The peer drops what it has of it.
 * - `unsent`: the connection ended first; it was never given to the socket.
 * - `unknown`: the connection ended while it was under way.
 * - `unreadable`: a Blob whose content could not be read, such as a file that has gone.
 * - `expired`: its deadline passed while it was queued, or waited for room; nothing of it was sent.
 * - `superseded`: a newer message of the same `latest` key came while it was queued; nothing of it was sent.
 * - `delivered`: the peer has it, as it has said; in tidegate mode, in the place of `handedOver`.
 * - `tooBig`: it is larger than the peer takes; nothing of it was sent. In tidegate mode.
 */
export type Outcome =
  | "handedOver"
  | "cancelled"
  | "unsent"
  | "unknown"
  | "unreadable"
  | "expired"
  | "superseded"
  | "delivered"
  | "tooBig";

/** In the order of the wasm's numbers, to which `channels-host.ts` adds those of tidegate mode. @internal */
export const OUTCOMES: Outcome[] = ["handedOver", "cancelled", "unsent", "unknown", "unreadable", "expired", "superseded"];

/**
 * Why a connection ended.
 *
 * - `peer`: the peer closed it, or the network broke; `wasClean` tells which.
 * - `aborted`: by the caller's signal, while connecting.
 * - `connectTimeout`: it did not open within the connect deadline; in tidegate mode also: the peer did not greet in time.
 * - `local`: closed from here, and the peer confirmed.
 * - `unconfirmed`: closed from here, and the peer did not confirm within the deadline.
 * - `receiveOverflow`: the application did not take its messages, and the receive queue was full.
 * - `peerFault`, `toldFault`: in tidegate mode, the peer broke the protocol, or says that this side has.
 * - `refused`: the server refused the session; the close code says why.
 * - `superseded`: the session goes on in another connection.
 * - `silent`: in tidegate mode, and on a server, the peer was silent, also when it was asked, for so long that it was taken for
 *   gone.
 */
export type CloseCause =
  | "peer"
  | "aborted"
  | "connectTimeout"
  | "local"
  | "unconfirmed"
  | "receiveOverflow"
  | "peerFault"
  | "toldFault"
  | "refused"
  | "superseded"
  | "silent";

/** As {@link OUTCOMES}. @internal */
export const CAUSES: CloseCause[] = ["peer", "aborted", "connectTimeout", "local", "unconfirmed", "receiveOverflow"];

/** An amount of messages. */
export interface Amount {
  readonly messages: number;
  /** Their size, of text in UTF-8. */
  readonly bytes: number;
}

/** How a connection ended. */
export interface Closed {
  /** The close code received; 1005 if there was none in the close frame, 1006 if there was no frame. */
  readonly code: number;
  /** The reason received, at most 123 bytes of UTF-8. */
  readonly reason: string;
  /** Whether both sides took leave (RFC 6455 section 7.1.4). */
  readonly wasClean: boolean;
  /** Who ended it, and how. */
  readonly cause: CloseCause;
  /** What was queued and never given to the socket. */
  readonly unsent: Amount;
  /**
   * What was given to the socket and is not known to have arrived: everything that was sent, unless the
   * peer confirmed a close from here. One that closes of its own accord at the same moment and with the
   * same code looks the same.
   */
  readonly unknown: Amount;
  /** What was received and dropped for want of room: see {@link Socket.dropped}. Nothing is dropped later. */
  readonly dropped: Amount;
}

/** Options of `Socket.close`. */
export interface CloseOptions {
  /** Milliseconds until it is over even if the peer does not confirm. Default 10,000; 0: no deadline. */
  within?: number | undefined;
  /** Whether to send what is queued first. Default true; else it is dropped and counted as unsent. */
  flush?: boolean | undefined;
}

/** Options of `Socket.end`. */
export interface EndOptions {
  /** Milliseconds the peer has to close. Default 10,000; 0: no deadline. */
  within?: number | undefined;
}

/** A message that was taken by `send`, which alone makes these. Dropping the ticket changes nothing about the message. */
export class Ticket {
  #outcome: Outcome | undefined;
  #promise: Promise<Outcome> | undefined;
  #resolve: ((outcome: Outcome) => void) | undefined;
  #cancel: (() => void) | undefined;

  private constructor(outcome: Outcome | undefined, cancel?: () => void) {
    this.#outcome = outcome;
    this.#cancel = cancel;
  }

  /** The ticket of a message that has ended so, or not yet. @internal */
  static of(outcome: Outcome | undefined, cancel?: () => void): Ticket {
    return new Ticket(outcome, cancel);
  }

  /** Notes the outcome of `ticket`; its promise is made only when somebody asks for it. @internal */
  static settle(ticket: Ticket, outcome: Outcome): void {
    ticket.#outcome = outcome;
    ticket.#cancel = undefined;
    ticket.#resolve?.(outcome);
  }

  /**
   * What became of the message. Never rejects, and is settled at the latest when the connection
   * has ended. The same promise at each call.
   */
  get outcome(): Promise<Outcome> {
    return (this.#promise ??= new Promise((resolve) => {
      if (this.#outcome) resolve(this.#outcome);
      else this.#resolve = resolve;
    }));
  }

  /**
   * Takes the message out of the queue. True: it is not sent, and its outcome is `cancelled`. False:
   * too late, it has left the queue or ended otherwise.
   */
  cancel(): boolean {
    this.#cancel?.();
    return this.#outcome === "cancelled";
  }
}

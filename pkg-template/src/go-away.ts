/** What a peer announces before it ends a session of `tidegate.v1`. */

/**
 * What the peer has announced of its end, in tidegate mode. A server that shuts down says in it when to come back: after
 * `reconnectAfter`, and a random part of `jitter` later, so that not all of its clients come at once. Both are 0 where it has
 * not said so, as in the `close` of a peer, which is announced in the same way.
 *
 * Specification: section 6.6 of `docs/PROTOCOL.md`.
 */
export interface GoAway {
  /** Why, as a number of section 10 of the protocol: 0 if in good order. */
  readonly code: number;
  /** Why, in words for people: up to 256 bytes of the peer's choice. tidegate says the name of the code: `NONE`. */
  readonly reason: string;
  /**
   * For how many milliseconds channels that are open may go on, counted from the announcement. Where the peer sets no end to
   * that it is 2^53 - 1.
   */
  readonly drain: number;
  /** How many milliseconds to wait, when the connection has ended, before another is opened. */
  readonly reconnectAfter: number;
  /** Up to how many more, at random. */
  readonly jitter: number;
}

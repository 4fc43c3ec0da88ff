/**
 * The server's side of a connection, for Node, over the package [`ws`](https://github.com/websockets/ws): clients that speak
 * `tidegate.v1`, and plain ones. Importing it does nothing.
 *
 * Not here: listening, HTTP, certificates, the opening handshake.
 *
 * @packageDocumentation
 */

export { accept, type Accept, type AcceptOptions } from "./accept.js";
export * from "./api.js";
export { Channel, type ChannelEnd, type ChannelMessage, type ChannelOptions, type ChannelSendOptions } from "./channel.js";
export type { ChannelSocket } from "./channels-api.js";
export type { GoAway } from "./go-away.js";
export { Connections, shutdown, type ConnectionCounts, type ConnectionLimits, type ShutdownOptions } from "./connections.js";
export type { PeerSocketLike } from "./peer-socket.js";
export {
  handleProtocols,
  upgrade,
  type IdentityOf,
  type Upgrade,
  type UpgradeOptions,
  type UpgradeRequest,
  type UpgradeServer,
  type UpgradeSocket,
  type UpgradedSocket,
  type Verdict,
} from "./upgrade.js";

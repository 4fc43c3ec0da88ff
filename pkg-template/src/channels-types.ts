/** What `tidegate/channels` exports beside `connect`. */

export { Channel, type ChannelEnd, type ChannelMessage, type ChannelOptions, type ChannelSendOptions } from "./channel.js";
export type { ChannelSocket, ChannelsOptions, ConnectChannels } from "./channels-api.js";
export type { GoAway } from "./go-away.js";

/** A chat, and bulk telemetry beside it on the same connection: the client, in a page. */

import { connect, type ChannelsOptions } from "tidegate/channels";

/** Someone in the chat. */
export interface Member {
  say(line: string): Promise<void>;
  /** Uploads samples as fast as the link and the server take them; gives how many bytes the server has got. */
  report(samples: Iterable<Uint8Array>): Promise<number>;
  leave(): Promise<void>;
}

/** Joins the chat; `show` gets what everybody says. */
export async function join(
  url: string,
  name: string,
  show: (line: string) => void,
  options: ChannelsOptions = {},
): Promise<Member> {
  const socket = await connect(url, options);
  const chat = await socket.channel("chat", { priority: "urgent" });
  socket.ongoaway = () => void chat.close(); // the server shuts down, and waits until its channels have ended
  void (async () => {
    for await (const line of chat) show(line as string);
  })();
  return {
    async say(line) {
      await chat.send(`${name}: ${line}`); // overtakes the telemetry, also in the middle of a sample
    },
    async report(samples) {
      const telemetry = await socket.channel("telemetry", { priority: "bulk", maxSendBytes: 1 << 20 });
      for (const sample of samples) await telemetry.send(sample); // waits for room, a MiB
      await telemetry.close();
      const bytes = await telemetry.recv();
      if (bytes === undefined) throw new Error("the connection was lost before the server has said how much it has got");
      return Number(bytes);
    },
    async leave() {
      await socket.close(1000, `${name} leaves`);
    },
  };
}

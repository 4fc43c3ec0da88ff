/** An upload and a pointer over one connection: the pointer first. */

import { connect, type ConnectOptions, type Stats } from "tidegate";

/**
 * Uploads `photo`, and sends meanwhile where the pointer is; gives the numbers of the connection. `show` gets what the
 * server says, and how much of the upload waits.
 */
export async function share(
  url: string,
  photo: Blob,
  pointer: () => string,
  show: (line: unknown) => void,
  options: ConnectOptions = {},
): Promise<Stats> {
  const socket = await connect(url, { ...options, maxSendBytes: 1 << 20 });
  void (async () => {
    for await (const message of socket) show(message);
  })();
  const timer = setInterval(() => {
    if (socket.readyState !== 1) return; // the server is closing: the upload will find that out
    // Of the positions that have to wait only the newest is worth sending, and only for 200 ms.
    socket.trySend(pointer(), { priority: "urgent", latest: "pointer", deadline: 200 });
  }, 50);
  try {
    for (let at = 0; at < photo.size; at += 65_536) {
      // Waits for room when a MiB is queued, and so goes on as fast as the link does.
      await socket.send(photo.slice(at, at + 65_536), { priority: "bulk", flow: "photo" });
      show(`${socket.stats().classes.bulk.queued.bytes} B wait`);
    }
    await socket.flushed(); // the browser has all of it
  } finally {
    clearInterval(timer);
    await socket.close();
  }
  return socket.stats();
}

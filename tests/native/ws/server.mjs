/**
 * The routes of the suite (tests/client/suite/mod.rs) and some of its own, by the package ws.
 *
 * Prints its ports, plain and TLS, and ends with its standard input. Certificate and key come by the
 * environment.
 */

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { once } from "node:events";
import { WebSocketServer } from "ws";

const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: 2 ** 30,
  handleProtocols: (offered, request) => request.url === "/subprotocol" && [...offered][0],
});

/** A parameter of the query, as it stands there. */
function parameter(request, name) {
  const pairs = request.url.split("?")[1].split("&").map((pair) => pair.split("="));
  return pairs.find((pair) => pair[0] === name)[1];
}

/** Sends, and waits until that has been written. */
const sent = (peer, data, options = {}) =>
  new Promise((resolve) => peer.send(data, options, (error) => resolve(!error)));

function sink(peer) {
  let messages = 0, bytes = 0;
  const digest = createHash("sha256");
  peer.on("message", (data, isBinary) => {
    if (!isBinary && data.toString() === "report") {
      const sha256 = digest.copy().digest("hex");
      peer.send(JSON.stringify({ messages, bytes, sha256 }));
      return;
    }
    messages += 1;
    bytes += data.length;
    digest.update(data);
  });
}

const routes = {
  "/echo": (peer) => peer.on("message", (data, isBinary) => peer.send(data, { binary: isBinary })),
  "/sink": sink,
  "/close": (peer, request) => peer.close(Number(parameter(request, "code")), parameter(request, "reason")),
  "/close-without-code": (peer) => peer.close(),
  "/terminate": (peer) => peer.terminate(),
  "/burst": (peer) => {
    peer.send("one");
    peer.send(Buffer.from([1, 2, 3]));
    peer.send("three");
    peer.close(4001, "done");
  },
  "/flood": async (peer, request) => {
    const data = Buffer.alloc(Number(parameter(request, "bytes")));
    for (let number = 0; number < Number(parameter(request, "messages")); number += 1) {
      const written = sent(peer, data);
      if (number % 100 === 99 && !(await written)) {
        return;
      }
    }
  },
  "/subprotocol": () => {},
  "/no-subprotocol": () => {},
  "/stall": (peer) => peer.pause(),
  // A text in three fragments and a ping between each two, then how many pongs there were.
  "/fragments": async (peer) => {
    const pongs = [];
    peer.on("pong", (payload) => pongs.push(payload.toString()));
    peer.send("\u{1f30a} one", { fin: false });
    peer.ping("a");
    await once(peer, "pong");
    peer.send(" two", { fin: false });
    peer.ping("b");
    await once(peer, "pong");
    peer.send(" three");
    peer.send(pongs.join());
  },
  // Says what it was pinged with.
  "/pinged": async (peer) => {
    const [payload] = await once(peer, "ping");
    peer.send(`pinged with ${payload.length} bytes`);
  },
};

function upgrade(request, socket, head) {
  socket.on("error", () => {});
  const path = request.url.split("?")[0];
  if (path === "/never") {
    return;
  }
  if (path === "/refuse") {
    socket.end("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 6\r\n\r\nlog in");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (peer) => {
    // Without a listener the process would end.
    peer.on("error", () => {});
    routes[path](peer, request);
  });
}

const plain = createServer().on("upgrade", upgrade).listen(0, "127.0.0.1");
const { TIDEGATE_CERTIFICATE: cert, TIDEGATE_KEY: key } = process.env;
const secure = cert && createSecureServer({ cert, key }).on("upgrade", upgrade).listen(0, "127.0.0.1");
await Promise.all([plain, secure].filter(Boolean).map((server) => once(server, "listening")));
console.log(plain.address().port, secure ? secure.address().port : 0);
process.stdin.resume().on("end", () => process.exit());

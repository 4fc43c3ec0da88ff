/** What must compile and what must not, under both module resolutions. Never run. */

import { WebSocket as NodeSocket } from "ws";
import { connect, json, TidegateError, Socket, type Amount, type Closed, type Codec, type ConnectOptions, type ErrorCode, type Message, type Outcome, type Sendable, Ticket } from "tidegate";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { connect as connectChannels, Channel, type ChannelEnd, type ChannelSocket, type GoAway } from "tidegate/channels";
import { accept, Connections, handleProtocols, shutdown, upgrade, type AcceptOptions } from "tidegate/server";
import { connect as connectStreams, type StreamSocket } from "tidegate/streams";

type FromServer = { kind: "welcome"; name: string };
type ToServer = { kind: "hello" } | { kind: "bye"; why: string };

async function plain(): Promise<void> {
  const socket = await connect(new URL("wss://example.com/live"), {
    protocols: ["chat.v2"],
    binaryType: "blob",
    signal: AbortSignal.timeout(1000),
    within: 5000,
    WebSocket: NodeSocket,
    maxSendBytes: 1 << 20,
    receivePolicy: "dropOldest",
  });
  const message: Message | undefined = await socket.recv();
  const ticket: Ticket = await socket.send(new Uint8Array(1), { transfer: true });
  const outcome: Outcome = await ticket.outcome;
  const maybe: Ticket | undefined = socket.trySend(new Blob([]));
  for await (const item of socket) item satisfies Message;
  const closed: Closed = await socket.close(1000, "bye", { within: 3000, flush: false });
  const { messages, bytes }: { messages: number; bytes: number } = closed.unsent;
  closed.cause satisfies
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
  void [message, outcome, maybe, messages, bytes];
  socket.dropped satisfies Amount;
  closed.dropped satisfies Amount;

  socket.addEventListener("bufferedamountlow", (event) => event.type satisfies string);
  socket.addEventListener("bufferedamountlow", { handleEvent() {} }, { once: true });
  socket.removeEventListener("bufferedamountlow", () => {});
  // It serves where any target does.
  socket satisfies EventTarget;
  const target: EventTarget = socket;
  void target;

  // @ts-expect-error an object needs a codec
  await socket.send({ kind: "hello" });
  // @ts-expect-error the code is a number
  await socket.close("1000");
  // @ts-expect-error no such form
  await connect("/live", { binaryType: "nodebuffer" });
  // @ts-expect-error no such policy
  await connect("/live", { receivePolicy: "drop" });
  await connect("/live", { wasm: new URL("ws://example.com/core.wasm") });
  await connect("/live", { wasm: new Uint8Array(1).buffer });
  // @ts-expect-error no source of a module
  await connect("/live", { wasm: 42 });
  // @ts-expect-error nor is an object of one's own
  await connect("/live", { wasm: { path: "core.wasm" } });
  // @ts-expect-error nor a promise
  await connect("/live", { wasm: Promise.resolve(new Uint8Array(1)) });
  // @ts-expect-error not an option
  await connect("/live", { reconnect: true });
  // @ts-expect-error messages do not come as events
  socket.addEventListener("message", () => {});
  // @ts-expect-error nor does the end
  socket.addEventListener("close", () => {});
  // @ts-expect-error nor does the opening, which connect waits for
  socket.addEventListener("open", { handleEvent() {} });
  // @ts-expect-error so that there is nothing to take off
  socket.removeEventListener("message", () => {});
  // @ts-expect-error made by connect only
  new Socket();
  // @ts-expect-error made by send only
  new Ticket();
  // @ts-expect-error whatever is given
  new Ticket("expired");
  (maybe as unknown) instanceof Ticket;
  // @ts-expect-error not writable
  socket.protocol = "other";
  // @ts-expect-error nor what it counts
  socket.dropped.messages = 0;
}

async function streamed(): Promise<void> {
  const socket = await connectStreams("/live", { transport: "stream", binaryType: "blob" });
  socket satisfies Socket;
  const reader: ReadableStreamDefaultReader<Message> = socket.readable.getReader();
  const writer: WritableStreamDefaultWriter<Sendable> = socket.writable.getWriter();
  await new ReadableStream<string>().pipeTo(socket.writable, { preventClose: true });
  void [reader, writer];
  const typed: StreamSocket<FromServer, ToServer> = await connectStreams<FromServer, ToServer>("/live", { codec: json });
  await typed.writable.getWriter().write({ kind: "hello" });
  // @ts-expect-error no such transport
  await connectStreams("/live", { transport: "quic" });
  // @ts-expect-error of the other entry
  await connect("/live", { transport: "stream" });
  // @ts-expect-error not of the type that is sent
  await typed.writable.getWriter().write({ kind: "welcome" });
  // @ts-expect-error nor have these messages as events
  socket.addEventListener("message", () => {});
  // @ts-expect-error a socket of the other entry has none
  (await connect("/live")).readable;
}

async function channelled(): Promise<void> {
  const socket = await connectChannels("/live", { mode: "auto", maxChannels: 8, delay: 5, WebSocket: NodeSocket });
  socket satisfies Socket;
  socket.mode satisfies "tidegate" | "plain";
  const chat: Channel<FromServer, ToServer> = await socket.channel<FromServer, ToServer>("chat", { codec: json, priority: "urgent" });
  const ticket: Ticket = await chat.send({ kind: "hello" }, { deadline: 100, latest: "hello" });
  (await ticket.outcome) satisfies Outcome;
  for await (const { name } of chat) name satisfies string;
  const end: ChannelEnd = await chat.ended;
  if (end.kind === "reset") {
    end.code satisfies number;
    end.detail satisfies Uint8Array;
  }
  // @ts-expect-error only a reset has a code
  end.code;
  (await chat.close()) satisfies ChannelEnd;
  const reader: ReadableStreamDefaultReader<FromServer> = chat.readable.getReader();
  const writer: WritableStreamDefaultWriter<ToServer> = chat.writable.getWriter();
  void [reader, writer];
  for await (const offered of socket.channels) {
    (await offered.recv()) satisfies string | ArrayBuffer | undefined;
    const typed: Channel<ToServer, FromServer> = offered.typed<ToServer, FromServer>(json);
    (await typed.recv()) satisfies ToServer | undefined;
  }
  (await socket.channel("plain", { priority: "bulk" })) satisfies Channel;
  const announced: GoAway | null = socket.goAway;
  announced?.reconnectAfter satisfies number | undefined;
  socket.addEventListener("goaway", ({ target }) => target, { once: true });
  socket.addEventListener("bufferedamountlow", () => {});
  socket.ongoaway = null;
  // @ts-expect-error nor have these messages as events
  socket.addEventListener("message", () => {});
  // @ts-expect-error values need a codec
  await socket.channel<FromServer>("chat");
  // @ts-expect-error also with other options
  await socket.channel<FromServer, ToServer>("chat", { priority: "urgent" });
  // @ts-expect-error nothing is typed by itself
  chat.typed<FromServer>();
  const typed: ChannelSocket<FromServer, ToServer> = await connectChannels<FromServer, ToServer>("/live", { codec: json });
  await typed.send({ kind: "hello" });
  // @ts-expect-error a channel has its own priority and order
  await chat.send({ kind: "hello" }, { priority: "urgent" });
  // @ts-expect-error not of the type that is sent
  await chat.send({ kind: "welcome", name: "x" });
  // @ts-expect-error no such mode
  await connectChannels("/live", { mode: "plain" });
  // @ts-expect-error not an option of the other entry
  await connect("/live", { mode: "auto" });
  // @ts-expect-error made by a socket only
  new Channel();
}

/** With the classes of `ws` and Node as they are. */
function served(): void {
  const connections = new Connections({ maxConnections: 100 });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: handleProtocols(["chat.v2"]) });
  sockets.on("connection", async (ws) => {
    const options: AcceptOptions = { within: 1000, connections, maxReceiveBytes: 1 << 20 };
    const peer: ChannelSocket = await accept(ws, options);
    for await (const channel of peer.channels) channel satisfies Channel;
    const typed: ChannelSocket<ToServer, FromServer> = await accept<ToServer, FromServer>(ws, { codec: json });
    await typed.send({ kind: "welcome", name: "x" });
    // @ts-expect-error a server is told of no receive policy
    await accept(ws, { receivePolicy: "close" });
    // @ts-expect-error types of one's own need a codec
    await accept<ToServer, FromServer>(ws);
  });
  createServer().on("upgrade", async (request, socket, head) => {
    const peer = await upgrade(sockets, request, socket, head, {
      origins: ["https://example.com"],
      withoutOrigin: "refuse",
      addressBy: ({ headers, socket }) => headers["x-real-ip"]?.toString() ?? socket.remoteAddress,
      authenticate: ({ headers }) => (headers.cookie ? true : 401),
      onRefused: (error, { url }) => void [error.code satisfies ErrorCode, url],
    });
    peer?.mode satisfies string | undefined;
    peer?.identity satisfies undefined;
    const named = await upgrade(sockets, request, socket, head, {
      origins: "any",
      withoutOrigin: "accept",
      authenticate: async ({ headers }) => (headers.cookie ? { identity: { name: headers.cookie } } : 401),
      onRefused: async ({ code }) => code,
    });
    named?.identity.name satisfies string | undefined;
    named?.channels satisfies AsyncIterable<Channel> | undefined;
    const typed = await upgrade<ToServer, FromServer>(sockets, request, socket, head, {
      origins: "any",
      withoutOrigin: "accept",
      codec: json,
    });
    (await typed?.recv()) satisfies ToServer | undefined;
    // @ts-expect-error whether those without an origin may is to be said
    await upgrade(sockets, request, socket, head, { origins: "any" });
    // @ts-expect-error which origins may, as well
    await upgrade(sockets, request, socket, head, { withoutOrigin: "accept" });
    const answer = { origins: "any", withoutOrigin: "accept" } as const;
    // @ts-expect-error no answer is no yes
    await upgrade(sockets, request, socket, head, { ...answer, authenticate: () => {} });
  });
  shutdown(connections, { drain: 1000, reconnectAfter: 100, jitter: 1000 }) satisfies Promise<void>;
  for (const socket of connections) socket satisfies ChannelSocket;
  connections.counts.open satisfies number;
}

/** Options that were put together elsewhere, whether they have a codec or not. */
function forwarded(options?: ConnectOptions): Promise<Socket> {
  return connect("/live", options);
}

async function typed(): Promise<void> {
  await using socket = await connect<FromServer, ToServer>("/live", { codec: json });
  await socket.send({ kind: "bye", why: "late" });
  const first: FromServer | undefined = await socket.recv();
  for await (const { name } of socket) name satisfies string;
  void first;

  // @ts-expect-error not of the type that is sent
  await socket.send({ kind: "welcome", name: "x" });
  // @ts-expect-error types of one's own need a codec
  await connect<FromServer, ToServer>("/live");

  const numbers: Codec<number, bigint> = { encode: (value) => value.toString(), decode: Number };
  const counter = await connect("/count", { codec: numbers });
  await counter.send(1n);
  const count: number | undefined = counter.tryRecv();
  // @ts-expect-error the codec takes a bigint
  await counter.send(1);
  void count;
}

function failed(error: unknown): ErrorCode | undefined {
  if (!(error instanceof TidegateError)) return undefined;
  error.closed?.code satisfies number | undefined;
  // @ts-expect-error no such code
  if (error.code === "nonsense") return undefined;
  return error.code;
}

void [plain, streamed, channelled, served, forwarded, typed, failed];

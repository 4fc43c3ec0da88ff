/**
 * A browser's `WebSocketStream` as the rest of the package knows sockets: messages are read and written one at a time.
 * As `src/transport/web_socket_stream.rs` of the crate, which has the reasons.
 */

import type { Core, Host, Options, Sink, SocketEvent, WebSocketLike } from "./core.js";
import { byteLength } from "./data.js";
import { Inbox } from "./inbox.js";

interface NativeInfo {
  readonly readable: ReadableStream<string | Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<unknown>;
  readonly protocol: string;
  readonly extensions: string;
}

interface NativeEnd {
  readonly closeCode?: number | null;
  readonly reason?: string;
}

interface Native {
  readonly opened: Promise<NativeInfo>;
  readonly closed: Promise<NativeEnd>;
  close(info?: NativeEnd): void;
}

declare const WebSocketStream: new (url: string, options: { protocols: string[]; signal: AbortSignal }) => Native;

const nothing = (): void => {};

/** A budget from here on is none. */
const NO_BUDGET = 2 ** 40;

/** See the module's page. `bufferedAmount` is the message that is being written. */
export class SocketOverStream extends EventTarget implements WebSocketLike {
  readonly url: string;
  protocol = "";
  extensions = "";
  readyState = 0;
  bufferedAmount = 0;
  isWriting = false;
  binaryType = "arraybuffer";
  /** Where the messages go; undefined while the wasm is loading, and at the end. */
  inbox: ReadingInbox | undefined;
  /** There is room for a message again. */
  #drained = nothing;
  readonly #stream: Native;
  /** Ends an attempt to connect; without effect later. */
  readonly #controller = new AbortController();
  #reader: ReadableStreamDefaultReader<string | Uint8Array<ArrayBuffer>> | undefined;
  #writer: WritableStreamDefaultWriter<unknown> | undefined;
  /** A message is asked for. */
  #isReading = false;
  /** There is none any more. */
  #isRead = false;
  /** The browser has none any more; and perhaps not all that came could be read. */
  #isEmptied = false;
  #hasGap = false;
  /** It was closed from here. */
  #isClosing = false;
  /** A Blob is being read; and the close that waits for it. */
  #isReadingBlob = false;
  #waitingClose: NativeEnd | undefined;
  /** How it has ended, reported behind the last message. */
  #end: { readonly code: number; readonly reason: string; readonly wasClean: boolean } | undefined;

  constructor(url: string, protocols: string[]) {
    super();
    this.url = url;
    this.#stream = new WebSocketStream(url, { protocols, signal: this.#controller.signal });
    // `closed` is rejected as well, and says more.
    this.#stream.opened.then((info) => this.#open(info), nothing);
    this.#stream.closed.then(
      ({ closeCode, reason }) => this.#ended(closeCode ?? 1005, reason ?? "", true),
      ({ closeCode, reason }: NativeEnd) => this.#ended(closeCode ?? 1006, reason ?? "", false),
    );
  }

  send(data: Blob | ArrayBuffer | Uint8Array<ArrayBuffer> | string): void {
    const writer = this.#writer;
    // Null when the stream has failed or is closing, though nobody has been told yet.
    if (!writer?.desiredSize) throw new TypeError("not open");
    this.bufferedAmount = data instanceof Blob ? data.size : typeof data === "string" ? byteLength(data) : data.byteLength;
    this.isWriting = true;
    const write = (chunk: unknown): Promise<void> =>
      writer.write(chunk).then(
        () => {
          this.bufferedAmount = 0;
          this.isWriting = false;
          if (this.inbox) this.#drained();
        },
        (error) => {
          // It was refused, and not for the end of the connection: then `closed` would not tell.
          if (!(error instanceof DOMException)) this.#fail();
        },
      );
    if (!(data instanceof Blob)) return void write(data);
    // The stream would take a Blob for something to make a text of.
    this.#isReadingBlob = true;
    data.arrayBuffer().then(
      (buffer) => {
        this.#isReadingBlob = false;
        void write(buffer);
        if (this.#waitingClose) this.#stream.close(this.#waitingClose);
      },
      () => this.#fail(),
    );
  }

  close(code?: number, reason?: string): void {
    if (this.readyState > 1) return;
    const isOpen = this.readyState === 1;
    this.readyState = 2;
    this.#isClosing = true;
    if (!isOpen) return this.#controller.abort();
    const end = code === undefined ? {} : { closeCode: code, reason: reason ?? "" };
    if (this.#isReadingBlob) this.#waitingClose = end;
    else this.#stream.close(end);
    // The peer's close stands behind what nobody takes any more.
    this.#pull(1);
  }

  /** Somebody takes the messages, and gives another one when `drained` is called. */
  begin(drained: () => void): void {
    this.#drained = drained;
    this.pull(2);
  }

  /** Asks for the next message if none is asked for, and the receive queue is not filled to that part. */
  pull(part: number): void {
    if (!this.#isReading) this.#pull(part);
  }

  #pull(part: number): void {
    const reader = this.#reader;
    // At its end the browser has one message at most.
    const isOver = this.readyState > 1;
    if (!reader || this.#isReading || this.#isRead || (!isOver && (!this.inbox || this.inbox.isFilled(part)))) return;
    this.#isReading = true;
    reader.read().then(
      ({ done, value }) => {
        this.#isReading = false;
        if (done) return this.#finish();
        this.#hasGap ||= this.#isEmptied;
        if (!this.#isClosing) this.#tell("message", { data: this.#content(value) });
        this.#pull(2);
      },
      () => this.#finish(),
    );
  }

  #content(value: string | Uint8Array<ArrayBuffer>): unknown {
    if (typeof value === "string") return value;
    if (this.binaryType === "blob") return new Blob([value]);
    const { buffer = value, byteLength } = value;
    return byteLength === buffer.byteLength ? buffer : value.slice().buffer;
  }

  #open({ readable, writable, protocol, extensions }: NativeInfo): void {
    const reader = (this.#reader = readable.getReader());
    this.#writer = writable.getWriter();
    reader.closed.then(() => {
      this.#hasGap = !this.#isReading;
      this.#isEmptied = true;
    }, nothing);
    if (this.#isClosing) {
      // It has opened while it was given up.
      this.#stream.close();
      return this.#pull(1);
    }
    this.readyState = 1;
    this.protocol = protocol;
    this.extensions = extensions;
    this.#tell("open");
    this.#pull(2);
  }

  #fail(): void {
    this.#stream.close();
    this.#reader?.cancel().catch(nothing);
    this.#ended(1006, "", false);
    this.#finish();
  }

  #ended(code: number, reason: string, wasClean: boolean): void {
    if (this.#end) return;
    this.#end = { code, reason, wasClean };
    this.readyState = 3;
    this.#pull(1);
    if (this.#isRead || !this.#reader) this.#report();
  }

  #finish(): void {
    if (this.#isRead) return;
    this.#isRead = true;
    if (this.#end) this.#report();
  }

  #report(): void {
    const end = this.#end!;
    // Behind a close from here nobody wants what comes.
    this.#tell("close", { ...end, wasClean: end.wasClean && (this.#isClosing || !this.#hasGap) });
  }

  #tell(type: string, details?: object): void {
    this.dispatchEvent(Object.assign(new Event(type), details));
  }
}

/** What waits for the application, and has the socket read on as it is taken. Nothing is dropped for want of room. */
class ReadingInbox extends Inbox {
  readonly #raw: SocketOverStream;
  readonly #maxBytes: number;
  readonly #maxMessages: number;

  constructor(raw: SocketOverStream, maxBytes: number, maxMessages: number) {
    super(0, 0, 0);
    this.#raw = raw;
    this.#maxBytes = maxBytes || Infinity;
    this.#maxMessages = maxMessages || Infinity;
  }

  isFilled(part: number): boolean {
    const { messages, bytes } = this.queued;
    return !!messages && (messages >= this.#maxMessages / part || bytes >= this.#maxBytes / part);
  }

  override take(): unknown {
    const message = super.take();
    this.#raw.pull(4);
    return message;
  }
}

/**
 * `host` for sockets that are {@link SocketOverStream}s, which read while there is room, and are given a message when
 * they have written the one before.
 */
export function paced(host: Host): Host {
  const Core = class extends host.Core implements Core {
    readonly #raw: SocketOverStream;

    constructor(raw: WebSocketLike, early: SocketEvent[], sink: Sink, [within, share]: Options) {
      // No budget, for a socket that has room or has not.
      super(raw, early, sink, [within!, share!, Infinity, 0]);
      this.#raw = raw as SocketOverStream;
      // No message has the number 0; all that it does is to look at what can be done.
      this.#raw.begin(() => this.cancel(0));
    }

    override stat(index: number): number {
      if (!index) return this.#raw.bufferedAmount;
      // Until something is acknowledged there is no budget, of which the wasm makes one of terabytes, and no rate.
      return super.stat(1) < NO_BUDGET ? super.stat(index) : 0;
    }

    override free(): void {
      this.#raw.inbox = undefined;
      super.free();
    }
  };
  const inbox = (raw: WebSocketLike, maxBytes: number, maxMessages: number): Inbox =>
    ((raw as SocketOverStream).inbox = new ReadingInbox(raw as SocketOverStream, maxBytes, maxMessages));
  return { ...host, Core, inbox };
}

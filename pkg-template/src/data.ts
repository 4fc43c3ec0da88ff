/** What can be sent: telling kinds apart, sizes in bytes, and the copy that is made when one is needed. */

import { TidegateError } from "./errors.js";

/** What `send` takes without a codec. Views send the bytes they show; shared memory is copied. */
export type Sendable = string | ArrayBufferLike | ArrayBufferView | Blob;

/** What is received without a codec: text, or binary in the form that `binaryType` names. */
export type Message = string | ArrayBuffer | Blob;

/** A message on its way into the wasm, described as `Core.send` wants it. */
export interface Parcel {
  /** The value itself. Its bytes never enter the wasm's memory. */
  data: string | ArrayBuffer | ArrayBufferView | Blob;
  /** 0 text, 1 buffer or view, 2 Blob. */
  readonly kind: 0 | 1 | 2;
  /** Size in bytes, of the UTF-8 form for text. */
  readonly bytes: number;
  /** Whether nobody else can change the bytes, so that waiting in a queue needs no snapshot. */
  owned: boolean;
}

/** Below this many UTF-16 units a loop is faster than `encodeInto`, which has to be called into. */
const LOOP_UNITS = 64;
let encoder: TextEncoder | undefined;
let scratch: Uint8Array<ArrayBuffer>;

/** Size of `text` in UTF-8, in bytes. A lone surrogate counts 3: the socket sends U+FFFD for it. */
export function byteLength(text: string): number {
  const units = text.length;
  let bytes = units;
  if (units <= LOOP_UNITS) {
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) bytes += unit > 0x7ff ? 2 : 1;
      // A pair has 4 bytes, of which its two units are counted already: 2 more. A high surrogate
      // got them a line above; its low one is skipped.
      if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++;
    }
    return bytes;
  }
  encoder ??= new TextEncoder();
  scratch ??= new Uint8Array(16384);
  bytes = 0;
  for (let from = 0; from < units; ) {
    const { read, written } = encoder.encodeInto(from ? text.slice(from) : text, scratch);
    from += read;
    bytes += written;
  }
  return bytes;
}

/** `[object ArrayBuffer]` and the like: holds for values of other realms (frames) as well. */
function tag(data: unknown): string {
  return Object.prototype.toString.call(data).slice(8, -1);
}

/**
 * Describes `data` for the wasm. Nothing is copied but shared and resizable memory, which the
 * socket would refuse: those go out as they are now.
 *
 * @throws {@link TidegateError} with the code `unsupported` for anything that is not
 * {@link Sendable}, `detached` for a buffer without memory and for a view that has run out of it.
 */
export function parcel(data: Sendable): Parcel {
  if (typeof data === "string") return { data, kind: 0, bytes: byteLength(data), owned: true };
  const view = ArrayBuffer.isView(data);
  // Asked first, since the tag would be a third of what a send costs.
  const own = data instanceof ArrayBuffer;
  const name = view || own ? "" : tag(data);
  if (name === "Blob" || name === "File") return { data: data as Blob, kind: 2, bytes: (data as Blob).size, owned: true };
  if (!view && !own && !name.endsWith("ArrayBuffer")) {
    throw new TidegateError("unsupported", `${name} cannot be sent; send a string, bytes or a Blob, or give a codec`);
  }
  const source = data as ArrayBuffer | ArrayBufferView;
  const memory = (view ? data.buffer : data) as ArrayBuffer & { readonly resizable?: boolean };
  let bytes;
  try {
    bytes = source.byteLength; // A DataView without memory throws here.
    // The others say 0, as an empty one does; only these two tell.
    if (!bytes) view ? (data as Uint8Array).keys?.() : new Uint8Array(memory);
  } catch (cause) {
    throw new TidegateError("detached", "the buffer is detached or shrunk", { cause });
  }
  const loan = memory.resizable || !(memory instanceof ArrayBuffer);
  return { data: loan ? bytesOf(source).slice() : source, kind: 1, bytes, owned: loan };
}

/** The bytes that `source` shows, where they are. */
export function bytesOf(source: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}

/** Makes the bytes of `message` its own by a copy, so that the caller may change theirs. */
export function snapshot(message: Parcel): void {
  if (message.owned) return;
  message.data = bytesOf(message.data as ArrayBuffer).slice();
  message.owned = true;
}

/**
 * Makes the bytes of `message` its own without a copy: the caller's buffer is detached, and with it
 * every view of it. Text and Blobs cannot change and stay as they are.
 *
 * @throws {@link TidegateError} with the code `detached` for a buffer that cannot be: a wasm memory.
 */
export function transfer(message: Parcel): void {
  if (message.owned) return;
  const { buffer, byteOffset, byteLength } = bytesOf(message.data as ArrayBuffer);
  try {
    // `ArrayBuffer.prototype.transfer` is younger (Node 21).
    message.data = new Uint8Array(structuredClone(buffer, { transfer: [buffer] }), byteOffset, byteLength);
  } catch (cause) {
    throw new TidegateError("detached", "this buffer cannot be transferred; send it without `transfer`", { cause });
  }
  message.owned = true;
}

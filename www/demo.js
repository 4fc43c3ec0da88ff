// @ts-check
/** The demo: one connection, driven by the forms of the page, over the packed npm package. */

import { TidegateError, connect } from "tidegate";
import { sha256, utf8Length } from "./format.js";
import { addRow, feedLabel, finishRow, rows, showRow } from "./log.js";

/** @typedef {import("./log.js").Row} Row */
/** @typedef {"arraybuffer" | "blob"} BinaryType */
/** @typedef {{ row: Row, started: number, received?: string | ArrayBuffer | Blob }} Pending */

/** How long a server may take to confirm a close, in milliseconds. */
const CLOSE_WITHIN = 5_000;

/** What is said of a file that has gone. */
const UNREADABLE = "The file could not be read; it may have been moved or changed. Choose it again.";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const [url, binaryType, text, files, closeCode, closeReason] = ["url", "binary-type", "text", "files", "close-code", "close-reason"].map(byId);

/** What the headless driver reads. @type {{ state: "idle" | "connecting" | "open" | "closed", rows: Row[], error: string | null }} */
const demo = { state: "idle", rows, error: null };
Object.assign(globalThis, { demo });

/** @type {import("tidegate").Socket | undefined} */
let socket;
/** @type {AbortController | undefined} */
let attempt;
/** Whether the server tells what it saw: `?digest=1`. */
let reports = false;
/** Sent and not yet back, oldest first. @type {Pending[]} */
let pending = [];
/** The row of a close asked for here. @type {{ row: Row, code: number, started: number } | undefined} */
let closing;

/** Sends go out in the order in which they were asked for, though files are read first. */
let sending = Promise.resolve();

// ---- state and errors -------------------------------------------------------------------------

/** @param {typeof demo.state} state @param {string} words */
function setState(state, words) {
  demo.state = state;
  const shown = byId("state");
  shown.dataset.state = state;
  shown.textContent = words;
  const [isOpen, isConnecting] = [state === "open", state === "connecting"];
  byId("send-fields").disabled = byId("close-fields").disabled = !isOpen;
  url.disabled = binaryType.disabled = isOpen || isConnecting;
  const button = byId("connect");
  button.disabled = isOpen;
  button.textContent = isOpen ? "Connected" : isConnecting ? "Cancel" : "Connect";
  button.classList.toggle("primary", !isConnecting && !isOpen);
}

/** Where the user can mend an error, by its code. @type {Partial<Record<import("tidegate").ErrorCode, string>>} */
const FIELDS = {
  closeCode: "close-code",
  closeReason: "close-reason",
  detached: "files",
  unsupported: "text",
};

/** The error in words for a human, from the library or from anywhere else. @param {unknown} error */
function words(error) {
  const message = error instanceof Error ? error.message : String(error);
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}

/**
 * Shows an error at the field it is about, and takes the focus there.
 *
 * @param {unknown} error @param {string} field where it is shown unless its code knows better
 */
function showError(error, field) {
  const id = (error instanceof TidegateError && FIELDS[error.code]) || field;
  const message = typeof error === "string" ? error : words(error);
  demo.error = message;
  byId(`${id}-error`).textContent = message;
  byId(id).setAttribute("aria-invalid", "true");
  byId(id).focus({ preventScroll: id === "files" });
}

function clearErrors() {
  demo.error = null;
  for (const error of document.querySelectorAll(".card .error[id]")) error.textContent = "";
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// ---- connecting and receiving -----------------------------------------------------------------

async function open() {
  clearErrors();
  setState("connecting", "Connecting…");
  attempt = new AbortController();
  try {
    socket = await connect(url.value.trim(), { binaryType: /** @type {BinaryType} */ (binaryType.value), signal: attempt.signal });
    reports = new URL(socket.url).searchParams.get("digest") === "1";
    pending = [];
    setState("open", "Connected");
    text.focus();
    void receive(socket);
  } catch (error) {
    setState("idle", "Not connected");
    if (error instanceof TidegateError && error.code === "aborted") return;
    showError(error, "url");
  }
}

/** Takes everything that comes, to the end. @param {import("tidegate").Socket} socket */
async function receive(socket) {
  try {
    for await (const message of socket) await arrived(message);
  } catch (error) {
    // An answer that is none, of a server that does not know `?digest=1`.
    showError(`The server's answer is not what this page expects: ${words(error)}`, "url");
    void socket.close(1000, "unexpected answer", { within: CLOSE_WITHIN });
  }
  ended(await socket.closed);
}

/** Size of a message in bytes. @param {string | ArrayBuffer | Blob} message */
function bytesOf(message) {
  return typeof message === "string" ? utf8Length(message) : message instanceof Blob ? message.size : message.byteLength;
}

/** @param {string | ArrayBuffer | Blob} message */
async function arrived(message) {
  const next = pending[0];
  if (!next) {
    finishRow(addRow({ kind: "text", label: typeof message === "string" ? message : "binary" }), { receivedBytes: bytesOf(message) });
    return;
  }
  const { row } = next;
  if (next.received === undefined) {
    next.received = message;
    row.receivedBytes = bytesOf(message);
    if (reports) return;
  }
  pending.shift();
  const ms = performance.now() - next.started;
  const report = reports ? /** @type {{ bytes: number, sha256: string }} */ (JSON.parse(String(message))) : undefined;
  const receivedSha256 = await sha256(next.received);
  const digests = [row.sentSha256, receivedSha256, ...(report ? [report.sha256] : [])];
  const equal = digests.every((digest) => digest === digests[0]) && row.receivedBytes === row.sentBytes && (!report || report.bytes === row.sentBytes);
  finishRow(row, { receivedSha256, serverSha256: report?.sha256 ?? null, equal, ms });
}

/** @param {import("tidegate").Closed} closed */
function ended({ code, reason, wasClean, cause, unsent }) {
  const lost = unsent.messages ? `; ${unsent.messages} not sent` : "";
  for (const { row, started } of pending.splice(0)) {
    finishRow(row, { error: "The connection ended before the answer came.", ms: performance.now() - started });
  }
  socket = undefined;
  const asked = closing;
  closing = undefined;
  const row = asked?.row ?? addRow({ kind: "close", label: "" });
  row.label = `${code}${reason ? ` ${reason}` : ""}`;
  const error = {
    unconfirmed: `The server did not confirm the close within ${CLOSE_WITHIN / 1000} s${lost}.`,
    receiveOverflow: "Messages came faster than the page took them, so it closed the connection.",
    peer: wasClean ? null : `The connection broke${lost}; connect again.`,
  }[/** @type {"peer"} */ (cause)];
  finishRow(row, {
    equal: asked ? cause === "local" && code === asked.code : null,
    error: error ?? null,
    ms: asked ? performance.now() - asked.started : 0,
  });
  setState("closed", `Closed, ${code}`);
}

// ---- sending ----------------------------------------------------------------------------------

/**
 * Hashes and sends one thing, and leaves the rest to what comes back.
 *
 * @param {"text" | "file"} kind @param {string} label @param {string | File} data
 */
function send(kind, label, data) {
  if (!socket) return showError("Connect first, then send.", "url");
  clearErrors();
  const to = socket;
  const bytes = typeof data === "string" ? utf8Length(data) : data.size;
  const row = addRow({ kind, label, binaryType: to.binaryType, sentBytes: bytes });
  sending = sending.then(async () => {
    try {
      // As a Blob in Blob mode: only the digest then reads its content.
      const message = data instanceof Blob && to.binaryType === "arraybuffer" ? await data.arrayBuffer() : data;
      row.sentSha256 = await sha256(message);
      showRow(row);
      const waiting = { row, started: performance.now() };
      pending.push(waiting);
      try {
        const ticket = await to.send(message, { transfer: true });
        void ticket.outcome.then((outcome) => {
          if (outcome !== "unreadable") return;
          pending.splice(pending.indexOf(waiting), 1);
          finishRow(row, { error: UNREADABLE });
        });
      } catch (error) {
        pending.splice(pending.indexOf(waiting), 1);
        throw error;
      }
    } catch (error) {
      const gone = error instanceof DOMException && kind === "file";
      finishRow(row, { error: gone ? UNREADABLE : words(error) });
      demo.error = row.error;
    }
  });
}

/** @param {Iterable<File> | null | undefined} chosen */
function sendFiles(chosen) {
  for (const file of chosen ?? []) send("file", file.name, file);
}

// ---- feed and close ---------------------------------------------------------------------------

/** Takes the whole feed and compares its digest with the one in the close reason. */
async function follow() {
  clearErrors();
  const button = byId("feed");
  button.disabled = true;
  const started = performance.now();
  /** @type {Row | undefined} */
  let row;
  try {
    // On the server of the address above; on this page's own while that is empty.
    const base = URL.parse?.(url.value.trim() || "/", document.baseURI) ?? document.baseURI;
    const feed = await connect(new URL("/feed", base));
    row = addRow({ kind: "feed", label: feedLabel(0) });
    /** @type {string[]} */
    const lines = [];
    for await (const line of feed) {
      lines.push(String(line));
      row.receivedBytes += utf8Length(String(line));
      if (lines.length % 1000) continue;
      row.label = feedLabel(lines.length);
      showRow(row);
    }
    const { code, reason } = await feed.closed;
    row.label = feedLabel(lines.length);
    const receivedSha256 = await sha256(lines.join("\n"));
    const ms = performance.now() - started;
    if (code === 1000) finishRow(row, { receivedSha256, serverSha256: reason, equal: receivedSha256 === reason, ms });
    else finishRow(row, { receivedSha256, equal: false, ms, error: `The feed ended early, with code ${code}. Follow it again.` });
  } catch (error) {
    if (row) finishRow(row, { error: words(error), ms: performance.now() - started });
    // Before the error is shown: a disabled button takes no focus.
    button.disabled = false;
    showError(error, "feed");
  } finally {
    button.disabled = false;
  }
}

async function close() {
  clearErrors();
  if (!socket) return;
  const typed = closeCode.value.trim();
  const code = typed === "" ? undefined : Number(typed);
  const started = performance.now();
  const result = socket.close(code, closeReason.value, { within: CLOSE_WITHIN });
  // A code or reason that may not be sent is refused at once, and the socket stays open.
  if (socket.readyState !== 1) {
    // A reason without a code goes with 1000; without both there is no code at all.
    const sent = code ?? (closeReason.value ? 1000 : 1005);
    closing = { row: addRow({ kind: "close", label: `${typed} ${closeReason.value}`.trim() }), code: sent, started };
    byId("send-fields").disabled = byId("close-fields").disabled = true;
    byId("state").textContent = "Closing…";
  }
  try {
    await result;
  } catch (error) {
    showError(error, "close-code");
  }
}

// ---- the page ---------------------------------------------------------------------------------

/** @param {string} id @param {() => unknown} action */
function onSubmit(id, action) {
  byId(id).addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    void action();
  });
}

url.value = `${location.origin.replace(/^http/, "ws")}/echo?digest=1`;
onSubmit("connect-form", () => (demo.state === "connecting" ? attempt?.abort() : open()));
onSubmit("close-form", close);
onSubmit("send-form", () => {
  send("text", text.value, text.value);
  text.value = "";
});
text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  // While a word is being composed (Japanese, Chinese), Enter belongs to the composition.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("send-form").requestSubmit();
});
files.addEventListener("change", () => {
  sendFiles([...files.files]);
  files.value = ""; // so that the same file can be chosen again
});
byId("feed").addEventListener("click", () => void follow());

closeReason.addEventListener("input", () => {
  byId("reason-bytes").textContent = closeReason.value ? `${utf8Length(closeReason.value)} of 123 bytes` : "";
});

let inside = 0;
/** @param {DragEvent} event */
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
addEventListener("dragenter", (event) => {
  if (holdsFiles(event) && ++inside) byId("dropping").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (holdsFiles(event) && --inside <= 0) byId("dropping").hidden = true;
});
addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  inside = 0;
  byId("dropping").hidden = true;
  sendFiles(event.dataTransfer?.files);
});

if (!globalThis.crypto?.subtle) {
  showError("This page cannot compute digests here: open it by https or on localhost.", "url");
}

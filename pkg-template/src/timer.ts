/**
 * The script of a worker that does nothing but wait: timers of a hidden page come once a second, and after five
 * minutes once a minute; a worker's are not held up.
 */

const worker = globalThis as unknown as {
  onmessage: (event: { readonly data: readonly [id: number, milliseconds: number] }) => void;
  postMessage(id: number): void;
};

worker.onmessage = ({ data: [id, milliseconds] }) => {
  setTimeout(() => worker.postMessage(id), milliseconds);
};

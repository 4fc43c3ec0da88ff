/** Checks of B1 to B12 and B37: from an address to an open socket. */

/** @type {Record<string, import("./harness.js").Check>} */
export const connecting = {
  async b1_bad_subprotocols_are_typed_errors(t) {
    for (const protocols of ["", "a b", "a,b", "a/b", ["a", "a"], ["ok", ""]]) {
      await t.fails(t.connect("/echo", { protocols }), "protocols");
    }
  },

  async b1_several_subprotocols_are_offered_in_order(t) {
    const socket = await t.connect("/subprotocol", { protocols: ["chat.v2", "chat.v1"] });
    t.equal(socket.protocol, "chat.v2");
  },

  async b2_bad_addresses_are_typed_errors(t) {
    const { connect } = t.environment.tidegate;
    for (const url of ["ftp://127.0.0.1/", `${t.url("/echo")}#top`, `${t.url("/echo")}#`, "ws://"]) {
      await t.fails(connect(url, t.defaults), "url");
    }
  },

  async b2_http_addresses_stand_for_ws(t) {
    const { connect } = t.environment.tidegate;
    const socket = await connect(t.url("/echo").replace(/^ws/, "http"), t.defaults);
    t.ok(socket.url.startsWith("ws"), socket.url);
    await socket.close();
  },

  async b2_relative_addresses_resolve_where_there_is_a_base(t) {
    const { connect } = t.environment.tidegate;
    if (t.host === "node") return void (await t.fails(connect("/echo", t.defaults), "url"));
    for (const url of ["/echo", `//${location.host}/echo`]) {
      const socket = await connect(url);
      t.equal(socket.url, `${location.origin.replace(/^http/, "ws")}/echo`);
      await socket.close();
    }
  },

  async b5_failed_handshakes_reject_once_with_the_close_event(t) {
    // Port 65535 is above every range from which ports are given out on their own.
    const nobody = t.url("/").replace(/:\d+\/$/, ":65535/");
    const attempts = [nobody, "/refuse", "/status?code=401", "/wrong-accept"].map((url) => t.connect(url));
    attempts.push(t.connect("/no-subprotocol", { protocols: ["chat.v2"] }));
    for (const { closed } of await Promise.all(attempts.map((attempt) => t.fails(attempt, "connect")))) {
      t.equal([closed.code, closed.wasClean, closed.cause], [1006, false, "peer"]);
    }
  },

  async b6_b7_aborting_ends_the_handshake(t) {
    const controller = new AbortController();
    const attempt = t.connect("/never", { signal: controller.signal });
    setTimeout(() => controller.abort("enough"), 50);
    const error = await t.fails(attempt, "aborted");
    t.equal(error.cause, "enough");
    await t.fails(t.connect("/echo", { signal: AbortSignal.abort() }), "aborted");
  },

  async b6_the_signal_has_no_effect_once_open(t) {
    const controller = new AbortController();
    const socket = await t.connect("/echo", { signal: controller.signal });
    controller.abort();
    await socket.send("on");
    t.equal(await socket.recv(), "on");
  },

  async b8_the_connect_deadline_is_the_librarys(t) {
    const started = performance.now();
    const error = await t.fails(t.connect("/never", { within: 300 }), "timeout");
    t.equal(error.closed?.cause, "connectTimeout");
    const took = performance.now() - started;
    t.ok(took >= 290 && took < 5000, `rejected after ${took} ms`);
  },

  async b9_messages_in_one_segment_with_the_handshake_arrive_in_order(t) {
    const socket = await t.connect("/burst");
    await new Promise((done) => setTimeout(done)); // The consumer comes one task later.
    const seen = [];
    for await (const message of socket) seen.push(message);
    t.equal(seen, ["one", new Uint8Array([1, 2, 3]), "three"]);
    t.equal((await socket.closed).code, 4001);
  },

  async b10_connect_resolves_when_open_and_tells_what_was_negotiated(t) {
    const socket = await t.connect("/subprotocol", { protocols: "chat.v2" });
    t.equal([socket.readyState, socket.protocol, typeof socket.extensions, socket.url], [1, "chat.v2", "string", t.url("/subprotocol")]);
  },

  async b11_messages_before_the_close_come_out_then_one_end_for_ever(t) {
    const socket = await t.connect("/burst");
    const closed = await socket.closed;
    t.equal([closed.code, closed.wasClean, closed.cause], [4001, true, "peer"]);
    t.equal([socket.tryRecv(), await socket.recv(), await socket.recv()], ["one", new Uint8Array([1, 2, 3]), "three"]);
    t.equal([await socket.recv(), await socket.recv(), socket.tryRecv()], [undefined, undefined, undefined]);
    t.equal(await socket.closed, closed);
  },

  async b12_binary_type_is_kept_whatever_is_sent(t) {
    for (const binaryType of ["arraybuffer", "blob"]) {
      const socket = await t.connect("/echo", { binaryType });
      const isBlob = async () => (await socket.recv()) instanceof Blob;
      for (const data of [new Uint8Array([1]), new Blob(["x"]), new ArrayBuffer(3)]) {
        await socket.send(data);
        t.equal([await isBlob(), socket.binaryType], [binaryType === "blob", binaryType]);
      }
      await socket.close();
    }
  },

  async b37_foreign_listeners_are_left_alone(t) {
    let raw;
    const seen = [];
    class Watched extends t.WebSocket {
      constructor(url, protocols) {
        super(url, protocols);
        raw = this;
        this.onmessage = (event) => seen.push(`on ${event.data}`);
        this.addEventListener("message", (event) => seen.push(`listener ${event.data}`));
        this.addEventListener("close", () => seen.push("close"));
      }
    }
    const socket = await t.connect("/echo", { WebSocket: Watched });
    await socket.send("hello");
    t.equal(await socket.recv(), "hello");
    await socket.close();
    // Its listener was there before ours, but not `ws`'s promise.
    while (!seen.includes("close")) await new Promise((done) => setTimeout(done));
    t.equal(seen.sort(), ["close", "listener hello", "on hello"]);
    t.ok(typeof raw.onmessage === "function", "its handler is still there");
  },
};

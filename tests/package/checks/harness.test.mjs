/** The harness of the checks itself, without a server: `node --test`. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { run } from "./harness.js";

/** What the checks run in, and what was made of their sockets. */
function environment(more) {
  const closed = [];
  const connect = async (url) => ({ close: async () => void closed.push(url) });
  return { closed, here: { tidegate: { connect }, base: "http://127.0.0.1/", full: false, host: "node", ...more } };
}

test("what a failed check has left open is closed before the next one begins", async () => {
  const { closed, here } = environment();
  const { checks } = await run(
    {
      async fails(t) {
        await t.connect("/a");
        throw new Error("on purpose");
      },
      async looks(t) {
        t.equal(closed, ["ws://127.0.0.1/a"]);
      },
    },
    here,
  );
  assert.deepEqual(checks.map(({ status, message }) => [status, message]), [["failed", "Error: on purpose"], ["passed", ""]]);
});

test("what a check connects after its end is closed at once", async () => {
  const { closed, here } = environment();
  let late;
  await run({ passes: async (t) => void (late = () => t.connect("/late")) }, here);
  assert.deepEqual(closed, []);
  await late();
  assert.deepEqual(closed, ["ws://127.0.0.1/late"]);
});

test("a socket that cannot be closed fails its check", async () => {
  const { here } = environment({ tidegate: { connect: async () => ({ close: () => Promise.reject(new Error("broken")) }) } });
  const { failed, checks } = await run({ leaves: async (t) => void (await t.connect("/a")) }, here);
  assert.equal(failed, 1);
  assert.match(checks[0].message, /broken/);
});

test("only the checks that are wanted run, and each is told when it begins", async () => {
  const told = [];
  const { here } = environment({ only: "b2", tell: (name) => told.push(name) });
  const none = async () => {};
  const { checks } = await run({ b1_a: none, b2_b: none, c_b2: none }, here);
  assert.deepEqual([told, checks.map(({ name }) => name)], [["b2_b", "c_b2"], ["b2_b", "c_b2"]]);
});

test("a check without a sign of life is given up, and one that is slow is not", async () => {
  let now = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(performance, "now", () => now);
  try {
    const { here } = environment();
    let result;
    const hangs = () => new Promise(() => {});
    const isSlow = async (t) => {
      for (let step = 0; step < 10; step++) {
        await new Promise((done) => setTimeout(done, 20_000));
        t.alive();
      }
    };
    void run({ hangs, isSlow }, here).then((end) => (result = end));
    while (!result) {
      now += 1_000;
      mock.timers.tick(1_000);
      await new Promise(setImmediate);
    }
    assert.deepEqual(result.checks.map(({ status, ms }) => [status, Math.round(ms / 10_000)]), [["failed", 3], ["passed", 20]]);
    assert.match(result.checks[0].message, /no sign of life/);
  } finally {
    mock.reset();
    mock.timers.reset();
  }
});

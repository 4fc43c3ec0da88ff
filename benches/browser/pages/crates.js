/** The wasm module with the crates of other authors (`benches/browser/contenders`), loaded once, when it is asked for. */

let loaded;

/**
 * @param {string} name the crate's
 * @param {string} url
 * @returns {Promise<import("contenders").Contender>} resolves when open; `free` closes
 */
export async function connectCrate(name, url) {
  loaded ??= import("contenders").then(async (module) => {
    await module.default();
    return module.Contender;
  });
  const Contender = await loaded;
  return Contender.connect(name, url);
}

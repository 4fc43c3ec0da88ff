import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the result is served below the embedded server's root.
  base: "./",
  worker: { format: "es" },
  build: { target: "es2022" },
});

/** The clock of all deadlines and timers. */

/** What `performance.now` said last, and how far it has gone back in all. */
let shown = 0;
let back = 0;

/**
 * `performance.now()`, in milliseconds, but that it never goes back: fake timers that an application's tests install
 * and take away again, and broken clocks, go on from where they were. What says no number stands still.
 */
export function now(): number {
  // 300 years are a clock's end, or what is added to it would change nothing.
  const read = Math.min(performance.now() || shown, 1e13);
  if (read < shown) back += shown - read;
  return (shown = read) + back;
}

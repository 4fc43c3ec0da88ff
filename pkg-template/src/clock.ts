/** The clock of all deadlines and timers. */

/** What `performance.now` said last, and how far it has gone back in all. */
let shown = 0;
let back = 0;

/**
 * `performance.now()`, in milliseconds, but that it never goes back: fake timers that an application's tests install
 * and take away again, and broken clocks, go on from where they were. What says no number stands still.
 */
export function now(): number {
  // 300 years are beyond a clock.
  const said = performance.now();
  const read = Math.abs(said) < 1e13 ? said : shown;
  if (read < shown) back += shown - read;
  return (shown = read) + back;
}

/** A reporter for Node's test runner that writes what xtask reads: `test NAME ... ok`. */
export default async function* (events) {
  const counts = { passed: 0, failed: 0 };
  for await (const { type, data } of events) {
    if (type === "test:stdout" || type === "test:stderr") yield data.message;
    if (type !== "test:pass" && type !== "test:fail") continue;
    // A suite is the sum of its tests, which are reported themselves; a skipped test did not run.
    if (data.details.type === "suite" && data.details.error?.failureType === "subtestsFailed") continue;
    if (data.details.type === "suite" && type === "test:pass") continue;
    if (data.skip !== undefined || data.todo !== undefined) continue;
    const passed = type === "test:pass";
    counts[passed ? "passed" : "failed"] += 1;
    yield `test ${data.name} ... ${passed ? "ok" : "FAILED"}\n`;
    const error = data.details.error;
    if (!passed) yield `${error?.cause?.stack ?? error?.stack ?? error}\n`;
  }
  yield `test result: ${counts.failed === 0 ? "ok" : "FAILED"}. ${counts.passed} passed; ${counts.failed} failed\n`;
}

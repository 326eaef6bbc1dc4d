// node:test reporter for scripts/suites.mjs: failures in full for people, and at the end one machine-readable line
// with the counts. Suites and tests that failed only because a subtest failed are not counted twice.

function explain(data) {
  const error = data.details.error;
  const cause = error?.cause ?? error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return `  FAIL ${data.name} (${data.file ?? ""})\n${text.replace(/^/gm, "    ")}\n`;
}

export default async function* reporter(source) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const skips = new Map();
  for await (const { type, data } of source) {
    if (type === "test:fail") {
      const inherited = data.details.error?.failureType === "subtestsFailed";
      if (!inherited && data.todo === undefined) {
        counts.failed += 1;
        yield explain(data);
      }
    } else if (type === "test:pass" && data.details.type !== "suite") {
      if (data.skip === undefined) counts.passed += 1;
      else {
        counts.skipped += 1;
        const reason = typeof data.skip === "string" && data.skip !== "" ? data.skip : data.name;
        skips.set(reason, (skips.get(reason) ?? 0) + 1);
      }
    } else if (type === "test:stdout" || type === "test:stderr") {
      yield data.message;
    }
  }
  for (const [reason, count] of skips) yield `  skipped ${count}: ${reason}\n`;
  yield `${JSON.stringify({ ripstopCounts: counts })}\n`;
}

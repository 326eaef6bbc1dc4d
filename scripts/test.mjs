// Runs all suites, or those named on the command line; the last line is "N passed, N failed".
import { allSuites, runSuites, usualSuites } from "./suites.mjs";

const known = allSuites();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`test: no suite '${unknown.join("', '")}'; there are: ${known.join(", ")}\n`);
  process.exit(2);
}
const totals = await runSuites(wanted.length > 0 ? wanted : usualSuites());
if (totals.skipped > 0) process.stdout.write(`${totals.skipped} skipped (reasons above)\n`);
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed\n`);
process.exit(totals.failed === 0 ? 0 : 1);

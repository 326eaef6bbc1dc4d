// Runs test suites and counts honestly: a runner that crashes, is killed or runs no test counts as a failure.
// A suite is "native" (GoogleTest) or a folder of test/ with *.test.ts files; nothing has to be listed to be run.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

/** Suites whose tests share the machine's network: one file at a time. The number is seconds allowed to one file. */
const ALONE = { netns: 600, addon: 600, cli: 300 };
const FILE_SECONDS = 180;
/** No network, no root, seconds: what `npm run check` runs. */
export const FAST = ["tidy", "native", "unit"];

/** All suites there are, cheap ones first. */
export function allSuites() {
  const folders = readdirSync("test", { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && testFiles(entry.name).length > 0)
    .map((entry) => entry.name);
  const rank = (name) => (FAST.includes(name) ? FAST.indexOf(name) : name === "netns" ? 99 : 50);
  return ["native", ...folders].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

function testFiles(suite) {
  return readdirSync(join("test", suite), { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join("dist/test", suite, name.replace(/\.ts$/, ".js")))
    .sort();
}

/** Runs a command with its output shown; `onLine` sees each line of stdout and returns true to hide it. */
function execute(command, args, seconds, onLine = () => false) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) if (!onLine(line)) process.stdout.write(`${line}\n`);
    });
    child.on("error", (error) => resolve(`could not start: ${error.message}`));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (rest !== "" && !onLine(rest)) process.stdout.write(`${rest}\n`);
      resolve(code === 0 ? "" : signal ? `ended by ${signal} (allowed: ${seconds} s)` : `exit code ${code}`);
    });
  });
}

async function runNative() {
  const report = ".setup/native-tests.json";
  rmSync(report, { force: true });
  const failure = await execute(
    "build-tests/ripstop_tests",
    ["--gtest_brief=1", `--gtest_output=json:${report}`],
    600,
    (line) => /^\[(=+| {2}PASSED {2})\]|^$/.test(line),
  );
  if (!existsSync(report)) return { passed: 0, failed: 0, skipped: 0, failure: failure || "wrote no report" };
  const tests = JSON.parse(readFileSync(report, "utf8")).testsuites.flatMap((suite) => suite.testsuite);
  const failed = tests.filter((test) => test.failures).length;
  const skipped = tests.filter((test) => test.result === "SKIPPED" || test.status === "NOTRUN").length;
  return { passed: tests.length - failed - skipped, failed, skipped, failure };
}

async function runNode(suite) {
  const seconds = ALONE[suite] ?? FILE_SECONDS;
  const files = testFiles(suite);
  const concurrency = suite in ALONE ? 1 : Math.max(2, availableParallelism());
  let counts = { passed: 0, failed: 0, skipped: 0 };
  const failure = await execute(
    process.execPath,
    [
      "--enable-source-maps",
      "--test",
      "--test-reporter=./scripts/reporter.mjs",
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${seconds * 1000}`,
      ...files,
    ],
    seconds * files.length + 30,
    (line) => {
      if (!line.startsWith('{"ripstopCounts"')) return false;
      counts = JSON.parse(line).ripstopCounts;
      return true;
    },
  );
  return { ...counts, failure };
}

/** Runs the suites one after the other and returns the totals. */
export async function runSuites(suites) {
  mkdirSync(".setup", { recursive: true });
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for (const [index, suite] of suites.entries()) {
    const started = Date.now();
    process.stdout.write(`[${index + 1}/${suites.length}] ${suite} tests\n`);
    const result = suite === "native" ? await runNative() : await runNode(suite);
    let { failed } = result;
    if (result.failure && failed === 0) {
      failed = 1;
      process.stdout.write(`  FAIL the ${suite} runner: ${result.failure}\n`);
    } else if (result.passed + failed === 0) {
      failed = 1;
      process.stdout.write(`  FAIL the ${suite} runner ran no test\n`);
    }
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    const skips = result.skipped > 0 ? `, ${result.skipped} skipped` : "";
    process.stdout.write(`      ${suite}: ${result.passed} passed, ${failed} failed${skips} in ${seconds} s\n`);
    totals.passed += result.passed;
    totals.failed += failed;
    totals.skipped += result.skipped;
  }
  return totals;
}

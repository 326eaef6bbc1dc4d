// Runs test suites and counts honestly: a runner that crashes, is killed or runs no test counts as a failure.
// A suite is "native" (GoogleTest) or a folder of test/ with *.test.ts files; nothing has to be listed to be run.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

/** Suites whose files each get namespaces of their own, so that they cannot meet: seconds allowed to one file. */
const ISOLATED = { netns: 600, addon: 1200, etcd: 300, cli: 300, peers: 600, page: 120 };
const FILE_SECONDS = 180;
/** Need programs that take long to build or are large: run only when named (npm run test:peers, npm run test:page). */
const ON_REQUEST = ["peers", "page"];
/** A test file with this line judges times or rates: nothing else of its suite runs beside it. */
const ALONE = /^\/\/ Alone: /m;
/** A test file with this line takes about a minute or more: what takes long must not be what everything else waits for. */
const FIRST = /^\/\/ First: /m;
/** No network, no root, seconds: what `npm run check` runs. */
export const FAST = ["tidy", "native", "unit"];

/** All suites that run without being named, cheap ones first. */
export function usualSuites() {
  return allSuites().filter((suite) => !ON_REQUEST.includes(suite));
}

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
    .map((name) => join("test", suite, name))
    .sort();
}

const compiled = (file) => join("dist", file.replace(/\.ts$/, ".js"));

/**
 * For files in namespaces of their own, which reach nobody outside: with this variable every start of Node reads a hundred
 * certificates, which takes longer than the rest of the start, and there are a thousand starts.
 */
const { NODE_EXTRA_CA_CERTS: _, ...secluded } = process.env;

/** Runs a command; each line of its output goes to `onLine`. Resolves to what went wrong, or "". */
function execute(command, args, seconds, onLine, env = process.env) {
  return new Promise((resolve) => {
    // A group of its own: what hangs is ended with everything it started.
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    const end = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it has ended by itself
      }
    };
    const timer = setTimeout(end, seconds * 1000);
    process.on("exit", end);
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (chunk) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        lines.forEach(onLine);
      });
      stream.on("end", () => rest !== "" && onLine(rest));
    }
    child.on("error", (error) => resolve(`could not start: ${error.message}`));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      process.removeListener("exit", end);
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
    (line) => /^\[(=+| {2}PASSED {2})\]|^$/.test(line) || process.stdout.write(`${line}\n`),
  );
  if (!existsSync(report)) return { passed: 0, failed: 0, skipped: 0, failure: failure || "wrote no report" };
  const tests = JSON.parse(readFileSync(report, "utf8")).testsuites.flatMap((suite) => suite.testsuite);
  const failed = tests.filter((test) => test.failures).length;
  const skipped = tests.filter((test) => test.result === "SKIPPED" || test.status === "NOTRUN").length;
  return { passed: tests.length - failed - skipped, failed, skipped, failure };
}

/** One process of Node's test runner over some files; `onLine` sees what it prints. */
async function runNode(files, prefix, seconds, onLine) {
  let counts = { passed: 0, failed: 0, skipped: 0 };
  const [command, ...args] = [
    ...prefix,
    process.execPath,
    "--enable-source-maps",
    "--test",
    "--test-reporter=./scripts/reporter.mjs",
    `--test-concurrency=${Math.max(2, availableParallelism())}`,
    `--test-timeout=${seconds * 1000}`,
    ...files.map(compiled),
  ];
  const read = (line) => {
    if (line.startsWith('{"ripstopCounts"')) counts = JSON.parse(line).ripstopCounts;
    else onLine(line);
  };
  const env = prefix.length > 0 ? secluded : process.env;
  const failure = await execute(command, args, seconds * files.length + 30, read, env);
  return { ...counts, failure };
}

/**
 * Each file of some suites in namespaces of its own, more at a time than there are CPUs as most of them wait; then those that must
 * be alone. Resolves to a result for each suite.
 */
async function runIsolated(suites) {
  const totals = new Map(suites.map((suite) => [suite, { passed: 0, failed: 0, skipped: 0, failure: "" }]));
  const runFile = async ({ suite, file }) => {
    const started = Date.now();
    const lines = [];
    const result = await runNode([file], ["scripts/isolated.sh"], ISOLATED[suite], (line) => lines.push(line));
    if (result.failure && result.failed === 0) {
      lines.push(`  FAIL ${file}: ${result.failure}`);
      result.failed = 1;
    }
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    for (const line of lines) process.stdout.write(`${line}\n`);
    process.stdout.write(
      `  ${result.failed ? "FAIL" : "ok  "} ${file}: ${result.passed} passed, ${result.failed} failed in ${seconds} s\n`,
    );
    const total = totals.get(suite);
    for (const key of ["passed", "failed", "skipped"]) total[key] += result[key];
  };
  const files = suites
    .flatMap((suite) => testFiles(suite).map((file) => ({ suite, file, text: readFileSync(file, "utf8") })))
    .sort((a, b) => FIRST.test(b.text) - FIRST.test(a.text) || b.text.length - a.text.length);
  const alone = files.filter(({ text }) => ALONE.test(text));
  const waiting = files.filter(({ text }) => !ALONE.test(text));
  const runner = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) await runFile(file);
  };
  await Promise.all(Array.from({ length: 1 + Math.max(2, availableParallelism()) }, runner));
  for (const file of alone) await runFile(file);
  return totals;
}

const isIsolated = (suite) => suite in ISOLATED && process.geteuid() === 0;

/** Suites that run together: all whose files have namespaces of their own; each of the others by itself. */
function stagesOf(suites) {
  const isolated = suites.filter(isIsolated);
  const stages = suites.filter((suite) => !isIsolated(suite)).map((suite) => [suite]);
  return isolated.length > 0 ? [...stages, isolated] : stages;
}

/** Runs a stage; resolves to a result for each of its suites. */
async function runStage(suites) {
  const [suite] = suites;
  if (isIsolated(suite)) return runIsolated(suites);
  if (suite === "native") return new Map([[suite, await runNative()]]);
  const print = (line) => process.stdout.write(`${line}\n`);
  return new Map([[suite, await runNode(testFiles(suite), [], ISOLATED[suite] ?? FILE_SECONDS, print)]]);
}

/** Runs the suites, cheap ones first, and returns the totals. */
export async function runSuites(suites) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  mkdirSync(".setup", { recursive: true });
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const stages = stagesOf(suites);
  for (const [index, stage] of stages.entries()) {
    const started = Date.now();
    process.stdout.write(`[${index + 1}/${stages.length}] ${stage.join(", ")} tests\n`);
    const results = await runStage(stage);
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    for (const [suite, result] of results) {
      let { failed } = result;
      if (result.failure && failed === 0) {
        failed = 1;
        process.stdout.write(`  FAIL the ${suite} runner: ${result.failure}\n`);
      } else if (result.passed + failed === 0) {
        failed = 1;
        process.stdout.write(`  FAIL the ${suite} runner ran no test\n`);
      }
      const skips = result.skipped > 0 ? `, ${result.skipped} skipped` : "";
      process.stdout.write(`      ${suite}: ${result.passed} passed, ${failed} failed${skips}\n`);
      totals.passed += result.passed;
      totals.failed += failed;
      totals.skipped += result.skipped;
    }
    process.stdout.write(`      in ${seconds} s\n`);
  }
  return totals;
}

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

/** Processes that share the native tests: half of their time they wait for the kernel, each in namespaces of its own. */
const NATIVE_SHARDS = 2;

async function runNative() {
  const shards = await Promise.all(Array.from({ length: NATIVE_SHARDS }, (_, index) => runNativeShard(index)));
  const sum = (key) => shards.reduce((total, shard) => total + shard[key], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped"), failure: "" };
}

async function runNativeShard(index) {
  const report = `.setup/native-tests-${index}.json`;
  rmSync(report, { force: true });
  const failure = await execute(
    "build-tests/ripstop_tests",
    ["--gtest_brief=1", `--gtest_output=json:${report}`],
    600,
    (line) => /^\[(=+| {2}PASSED {2})\]|^$|^Running main|^Note: /.test(line) || process.stdout.write(`${line}\n`),
    { ...process.env, GTEST_TOTAL_SHARDS: `${NATIVE_SHARDS}`, GTEST_SHARD_INDEX: `${index}` },
  );
  const tests = existsSync(report)
    ? JSON.parse(readFileSync(report, "utf8")).testsuites.flatMap((suite) => suite.testsuite)
    : [];
  const failures = tests.filter((test) => test.failures).length;
  const skipped = tests.filter((test) => test.result === "SKIPPED" || test.status === "NOTRUN").length;
  const passed = tests.length - failures - skipped;
  // Whatever the other has to say: a shard that crashes, or runs nothing, has failed.
  const crash = failures > 0 || (failure === "" && passed > 0) ? "" : failure || "ran no test";
  if (crash !== "") process.stdout.write(`  FAIL shard ${index} of the native tests: ${crash}\n`);
  return { passed, failed: failures + (crash === "" ? 0 : 1), skipped };
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
 * be alone. `early` begins with one at a time, beside what else runs; `finish` resolves to a result for each suite.
 */
class IsolatedRun {
  #totals;
  #waiting;
  #alone;
  #early = [];

  constructor(suites) {
    this.#totals = new Map(suites.map((suite) => [suite, { passed: 0, failed: 0, skipped: 0, failure: "" }]));
    const files = suites
      .flatMap((suite) => testFiles(suite).map((file) => ({ suite, file, text: readFileSync(file, "utf8") })))
      .sort((a, b) => FIRST.test(b.text) - FIRST.test(a.text) || b.text.length - a.text.length);
    this.#alone = files.filter(({ text }) => ALONE.test(text));
    this.#waiting = files.filter(({ text }) => !ALONE.test(text));
  }

  early() {
    this.#early.push(this.#runner());
  }

  async finish() {
    const more = 1 + Math.max(2, availableParallelism()) - this.#early.length;
    await Promise.all([...this.#early, ...Array.from({ length: more }, () => this.#runner())]);
    for (const file of this.#alone) await this.#runFile(file);
    return this.#totals;
  }

  async #runner() {
    for (let file = this.#waiting.shift(); file !== undefined; file = this.#waiting.shift()) await this.#runFile(file);
  }

  async #runFile({ suite, file }) {
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
    const total = this.#totals.get(suite);
    for (const key of ["passed", "failed", "skipped"]) total[key] += result[key];
  }
}

const isIsolated = (suite) => suite in ISOLATED && process.geteuid() === 0;

/** Suites that run together: all whose files have namespaces of their own; each of the others by itself. */
function stagesOf(suites) {
  const isolated = suites.filter(isIsolated);
  const stages = suites.filter((suite) => !isIsolated(suite)).map((suite) => [suite]);
  return isolated.length > 0 ? [...stages, isolated] : stages;
}

/** Runs a suite whose files share the machine's namespaces; resolves to its result. */
function runShared(suite) {
  if (suite === "native") return runNative();
  const print = (line) => process.stdout.write(`${line}\n`);
  return runNode(testFiles(suite), [], ISOLATED[suite] ?? FILE_SECONDS, print);
}

/** Runs the suites, cheap ones first, and returns the totals. */
export async function runSuites(suites) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  mkdirSync(".setup", { recursive: true });
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const stages = stagesOf(suites);
  const isolated = suites.some(isIsolated) ? new IsolatedRun(suites.filter(isIsolated)) : null;
  if (stages.length > 1) isolated?.early();
  for (const [index, stage] of stages.entries()) {
    const started = Date.now();
    process.stdout.write(`[${index + 1}/${stages.length}] ${stage.join(", ")} tests\n`);
    const results = isIsolated(stage[0]) ? await isolated.finish() : new Map([[stage[0], await runShared(stage[0])]]);
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

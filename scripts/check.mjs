// npm run check, after set-up (which compiles): formats, lints, generated files, fast tests. Each step is one check;
// the last line is "N passed, N failed" over the checks and the tests.
import { spawnSync } from "node:child_process";
import { allSuites, FAST, runSuites } from "./suites.mjs";

const bin = "node_modules/.bin";
const steps = [
  ["format of TypeScript and JSON", `${bin}/biome`, ["format", "."], "npm run format"],
  ["format of C and C++", "bash", ["scripts/format-native.sh", "--check"], "npm run format"],
  [
    "lint of TypeScript",
    "npx",
    ["--no-install", "biome", "lint", "--error-on-warnings", "."],
    "fix what is named above",
  ],
  [
    "type-aware lint of TypeScript",
    `${bin}/eslint`,
    ["--cache", "--cache-location", ".setup/eslint", "--max-warnings=0", "."],
    "fix what is named above",
  ],
  ["lint of C and C++", "node", ["scripts/lint-native.mjs"], "fix what is named above"],
  ["BPF programs match their sources", "bash", ["scripts/build-bpf.sh", "--check"], "npm run build:bpf"],
];

let passed = 0;
let failed = 0;
for (const [title, command, args, remedy] of steps) {
  const started = Date.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 1 << 26,
  });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  if (status === 0) {
    passed += 1;
    process.stdout.write(`ok   ${title} (${seconds} s)\n`);
  } else {
    failed += 1;
    process.stdout.write(`${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}\nFAIL ${title}: ${remedy}\n`);
  }
}
const tests = await runSuites(allSuites().filter((suite) => FAST.includes(suite)));
process.stdout.write(`${passed + tests.passed} passed, ${failed + tests.failed} failed\n`);
process.exit(failed + tests.failed === 0 ? 0 : 1);

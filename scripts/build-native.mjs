// Builds the CMake side: node scripts/build-native.mjs [tests|bench|fuzz|fuzz-fast|asan|tsan ...] (default: tests).
// Each variant has its own folder build-<variant>, so that switching does not rebuild.
import { execFileSync } from "node:child_process";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const variants = {
  // Of the objects that the addon is made of, so that what is tested is what runs, and nothing is compiled twice.
  tests: ["-DRIPSTOP_TESTS=ON", `-DRIPSTOP_CORE_OBJECTS=${root}/build/Release/obj.target/ripstop`],
  asan: ["-DRIPSTOP_TESTS=ON", "-DRIPSTOP_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug"],
  tsan: ["-DRIPSTOP_TESTS=ON", "-DRIPSTOP_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=Debug"],
  bench: ["-DRIPSTOP_BENCH=ON"],
  fuzz: [
    "-DRIPSTOP_FUZZ=ON",
    "-DCMAKE_C_COMPILER=clang",
    "-DCMAKE_CXX_COMPILER=clang++",
    "-DRIPSTOP_SANITIZE=fuzzer-no-link,address,undefined",
  ],
  // For many runs: assertions and coverage alone, several times as fast.
  "fuzz-fast": [
    "-DRIPSTOP_FUZZ=ON",
    "-DCMAKE_C_COMPILER=clang",
    "-DCMAKE_CXX_COMPILER=clang++",
    "-DCMAKE_BUILD_TYPE=Release",
    "-DRIPSTOP_SANITIZE=fuzzer-no-link",
  ],
};
for (const name of process.argv.length > 2 ? process.argv.slice(2) : ["tests"]) {
  const options = variants[name];
  if (!options) {
    process.stderr.write(`build-native: no variant '${name}'; there are: ${Object.keys(variants).join(", ")}\n`);
    process.exit(2);
  }
  const folder = `build-${name}`;
  const run = (command, args) =>
    execFileSync(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28 });
  try {
    if (name === "tests") run(process.execPath, ["scripts/build-addon.mjs"]);
    run("cmake", ["-S", ".", "-B", folder, "-G", "Ninja", ...options]);
    run("cmake", ["--build", folder]);
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ""}\nbuild-native: ${name} failed (above)\n`);
    process.exit(1);
  }
}

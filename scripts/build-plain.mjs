// Builds build/Release/ripstop.node with nothing but a C++ compiler: for the package as installed, which carries no node-gyp.
// The same sources, defines and flags as binding.gyp; no network. Called by build-addon.mjs.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const require = createRequire(import.meta.url);

function run(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
    child.on("error", (error) => reject(new Error(`${command} cannot be run: ${error.message}`)));
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${said}\n${command} ended with ${code}`))));
  });
}

/** `headers`: a folder with node_api.h. */
export async function buildPlain(root, headers) {
  const sources = JSON.parse(readFileSync(join(root, "native/sources.json"), "utf8"));
  const folder = join(root, "build/Release");
  const objects = join(root, "build/plain");
  mkdirSync(folder, { recursive: true });
  mkdirSync(objects, { recursive: true });
  const common = [
    ...["-fPIC", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra", "-O2", "-D_FILE_OFFSET_BITS=64"],
    ...sources.defines.map((define) => `-D${define}`),
    ...["-Inative", `-I${headers}`, `-I${require("node-addon-api").include_dir}`],
  ];
  const cxx = process.env.CXX ?? "g++";
  const made = [];
  const waiting = [...sources.core, ...sources.addon];
  const worker = async () => {
    for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
      const object = join(objects, `${source.replaceAll("/", "_")}.o`);
      const c = source.endsWith(".c");
      const language = c ? [] : ["-std=c++20", "-fno-exceptions", "-fno-rtti"];
      made.push(object);
      await run(c ? (process.env.CC ?? "gcc") : cxx, [...common, ...language, "-c", source, "-o", object], root);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const link = ["-static-libstdc++", "-static-libgcc", "-Wl,--version-script=native/addon/exports.map", "-pthread"];
  await run(cxx, ["-shared", ...made.sort(), ...link, "-o", join(folder, "ripstop.node")], root);
}

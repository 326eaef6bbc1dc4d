// Builds build/Release/ripstop.node with node-gyp, without network: headers come from beside the running Node, or,
// where a distribution split them off, from the npm package node-api-headers. Where there is no node-gyp, as in an installed
// package, the compiler alone does it (build-plain.mjs).
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPlain } from "./build-plain.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

function nodeDirectory() {
  const prefix = resolve(dirname(process.execPath), "..");
  if (!process.env.RIPSTOP_NODE_API_HEADERS && existsSync(join(prefix, "include/node/node_api.h"))) return prefix;
  // node-gyp wants a prefix with common.gypi; Node-API needs nothing that the real one would say.
  const made = join(root, "build-headers");
  const include = join(made, "include/node");
  mkdirSync(include, { recursive: true });
  cpSync(require("node-api-headers").include_dir, include, { recursive: true });
  writeFileSync(
    join(include, "common.gypi"),
    "{ 'target_defaults': { 'default_configuration': 'Release', 'configurations': { 'Debug': {}, 'Release': {} }, 'cflags': ['-fPIC', '-pthread'] } }\n",
  );
  writeFileSync(join(include, "config.gypi"), "{ 'target_defaults': {}, 'variables': {} }\n");
  return made;
}

function nodeGyp() {
  try {
    return require.resolve("node-gyp/bin/node-gyp.js");
  } catch {
    return null;
  }
}

async function build() {
  const gyp = nodeGyp();
  const headers = nodeDirectory();
  if (gyp === null) return buildPlain(root, join(headers, "include/node"));
  const jobs = process.env.RIPSTOP_BUILD_JOBS ?? "max";
  execFileSync(
    process.execPath,
    [gyp, "configure", "build", `--nodedir=${headers}`, "--jobs", jobs, "--loglevel=warn"],
    {
      cwd: root,
      stdio: process.env.RIPSTOP_VERBOSE ? "inherit" : ["ignore", "pipe", "pipe"],
    },
  );
}

try {
  await build();
} catch (error) {
  process.stderr.write(`${error.stdout ?? ""}${error.stderr ?? error.message}\n`);
  process.stderr.write(
    "build-addon: the build failed (above). Needed: g++ 12, make, python3, libbpf-dev; `npm run setup` installs them.\n",
  );
  process.exit(1);
}

// Finds and loads the native addon. The only file that loads a .node; nothing is loaded at import. Where it looks, in order:
// an explicit path (config/native-path.ts reads RIPSTOP_NATIVE_PATH), prebuilds/, node-gyp's folder, cmake-js' folder.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { RipstopError } from "../lib/errors.js";
import type { Binding } from "./binding.js";

/** What this TypeScript expects of native/addon; both sides grow it together when the border changes. */
export const BORDER_VERSION = 6;

const FILE = "ripstop.node";
const REMEDY =
  "build it with `npm run build:addon` (needs g++, make, python3 and libbpf-dev; `npm run setup` installs them)";

export interface LoadOptions {
  /** Only this file is tried when given. */
  readonly path?: string | undefined;
  /** The package's root folder, for tests. */
  readonly root?: string;
}

/** Candidates in the order in which they are tried. */
export function nativeCandidates(options: LoadOptions = {}): readonly string[] {
  if (options.path !== undefined && options.path !== "") return [resolve(options.path)];
  const root = options.root ?? packageRoot();
  return [
    join(root, "prebuilds", `${process.platform}-${process.arch}`, FILE),
    join(root, "build", "Release", FILE),
    join(root, "build-cmake", "Release", FILE),
  ];
}

/** Rejects with NATIVE_LOAD_FAILED, which lists every path tried and why each did not do. */
export function loadNative(options: LoadOptions = {}): Binding {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const path of nativeCandidates(options)) {
    if (!existsSync(path)) {
      tried.push(`${path} (no such file)`);
      continue;
    }
    try {
      return checkBorder(require(path) as Partial<Binding>, path);
    } catch (cause) {
      if (cause instanceof RipstopError) throw cause;
      tried.push(`${path} (${cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause)})`);
    }
  }
  throw new RipstopError(
    "NATIVE_LOAD_FAILED",
    `cannot load the native addon for ${process.platform}-${process.arch}, Node ${process.versions.node}; tried ${tried.join(", ")}; ${REMEDY}`,
    { op: "dlopen" },
  );
}

function checkBorder(binding: Partial<Binding>, path: string): Binding {
  if (binding.borderVersion !== BORDER_VERSION) {
    throw new RipstopError(
      "NATIVE_BORDER_MISMATCH",
      `${path} speaks border version ${String(binding.borderVersion)}, this Ripstop needs ${BORDER_VERSION}; ${REMEDY}`,
    );
  }
  const missing = [
    ...(typeof binding.open === "function" ? [] : ["open"]),
    ...(typeof binding.confineProcess === "function" ? [] : ["confineProcess"]),
    ...(Array.isArray(binding.counterLayout) ? [] : ["counterLayout"]),
    ...(Array.isArray(binding.dropReasons) ? [] : ["dropReasons"]),
  ];
  if (missing.length > 0) {
    throw new RipstopError("NATIVE_BORDER_MISMATCH", `${path} lacks ${missing.join(", ")}; ${REMEDY}`);
  }
  return binding as Binding;
}

function packageRoot(): string {
  // dist/src/dataplane/native.js -> the folder that holds dist/.
  return resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
}

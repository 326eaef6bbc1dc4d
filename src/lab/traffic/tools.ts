// Where the project's own traffic tools are (native/tools, built with the addon), and how their answers are read.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { RipstopError } from "../../lib/errors.js";

export type Tool = "udp_load" | "tcp_check" | "request_load" | "classic_proxy";

export function toolPath(tool: Tool): string {
  const path = fileURLToPath(new URL(`../../../../build/Release/${tool}`, import.meta.url));
  if (!existsSync(path)) {
    throw new RipstopError("LAB_TOOL_MISSING", `${path} is not built; run \`npm run build:addon\``);
  }
  return path;
}

/** The last line of a tool's output, which is its answer. */
export function lastJson(output: string): unknown {
  const line = output.trim().split("\n").at(-1) ?? "";
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new RipstopError("LAB_TRAFFIC", `a traffic tool answered '${line.slice(0, 200)}' instead of JSON`, {
      cause: error,
    });
  }
}

/** Where a sink listens for what is sent to this address. */
export function anyOf(address: string): string {
  return address.includes(":") ? "::" : "0.0.0.0";
}

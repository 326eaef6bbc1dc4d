// With which options the agent of this node was started, as /proc shows it: for checks that ask what the agent asks. Reads only.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type AgentOptions, parseAgentCommandLine } from "../config/options.js";
import { ripstopVersion } from "../lib/version.js";
import { readEnvironment } from "./running-flanneld.js";

/** A string says why they cannot be known. */
export async function readAgentOptions(pid: number): Promise<AgentOptions | string> {
  try {
    const [, script = "", ...rest] = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
    // Node runs bin/flanneld FLAGS or bin/ripstop agent FLAGS.
    const manners = basename(script) === "flanneld" ? "flanneld" : "ripstop";
    const words = manners === "ripstop" ? rest.slice(1) : rest;
    const outcome = parseAgentCommandLine(words, await readEnvironment(`${pid}`), manners, ripstopVersion());
    return outcome.kind === "run" ? outcome.options : (outcome.stderr.trim().split("\n")[0] ?? "it ends at once");
  } catch (error) {
    return `the agent's command line cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

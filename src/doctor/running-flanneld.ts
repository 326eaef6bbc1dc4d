// The flanneld that runs in our network namespace, as /proc shows it: how it was started is how we would be. Reads only.
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";
import type { Environment } from "../config/environment.js";

export interface RunningFlanneld {
  readonly pid: number;
  /** Without the program's name. */
  readonly words: readonly string[];
  /** Its variables that matter to us, for the same command line. */
  readonly environment: Environment;
}

const OURS = /^(FLANNELD?_|NODE_NAME$|POD_NAME$|POD_NAMESPACE$|KUBERNETES_SERVICE_)/;

/** Null when there is none, or when it is one of ours (a script that Node runs). */
export async function findFlanneld(): Promise<RunningFlanneld | null> {
  const home = await readlink("/proc/self/ns/net");
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const found = await look(entry, home).catch(() => null);
    if (found !== null) return found;
  }
  return null;
}

async function look(pid: string, home: string): Promise<RunningFlanneld | null> {
  const [program, ...words] = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
  if (program === undefined || basename(program) !== "flanneld") return null;
  if ((await readlink(`/proc/${pid}/ns/net`)) !== home) return null;
  return { pid: Number(pid), words, environment: await readEnvironment(pid) };
}

/** Of a process: what concerns us. */
export async function readEnvironment(pid: string): Promise<Environment> {
  const variables = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0").map((text) => {
    const at = text.indexOf("=");
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  return Object.fromEntries(variables.filter(([name]) => OURS.test(name)));
}

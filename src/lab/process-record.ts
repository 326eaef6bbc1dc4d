// Identity of a process that outlives us: its pid together with its start time, so that a recycled pid is never
// mistaken for it. A record is the process's own /proc/PID/stat line, written by itself before it becomes the daemon.
import { readFile } from "node:fs/promises";
import { waitFor } from "./wait.js";

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTicks: number;
}

/** Parses a /proc/PID/stat line; null when it is not one. The command name may hold spaces and brackets. */
export function parseStat(line: string): (ProcessIdentity & { readonly state: string }) | null {
  const open = line.indexOf("(");
  const close = line.lastIndexOf(")");
  if (open < 0 || close < open) return null;
  const fields = line
    .slice(close + 2)
    .trim()
    .split(" ");
  const pid = Number(line.slice(0, open));
  const startTicks = Number(fields[19]);
  const state = fields[0];
  if (!Number.isInteger(pid) || pid <= 0 || !Number.isInteger(startTicks) || state === undefined) return null;
  return { pid, startTicks, state };
}

export async function readRecord(path: string): Promise<ProcessIdentity | null> {
  return parseStat(await readFile(path, "utf8").catch(() => ""));
}

/** The process as it is now; null when there is none, or only a zombie that its parent has not collected. */
export async function identify(pid: number): Promise<ProcessIdentity | null> {
  const found = parseStat(await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""));
  return found === null || found.state === "Z" || found.state === "X" ? null : found;
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identify(identity.pid))?.startTicks === identity.startTicks;
}

/** Asks each to end, then kills what is left after `graceMs`. Returns when all are gone. */
export async function stopProcesses(identities: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const gone = async (): Promise<true | null> => {
    for (const identity of identities) if (await isAlive(identity)) return null;
    return true;
  };
  await signalAll(identities, "SIGTERM");
  try {
    await waitFor("processes to end", gone, { timeoutMs: graceMs });
  } catch {
    await signalAll(identities, "SIGKILL");
    await waitFor("killed processes to disappear", gone, {
      timeoutMs: 30_000,
      remedy: "see `ps` for processes in state D",
    });
  }
}

async function signalAll(identities: readonly ProcessIdentity[], signal: NodeJS.Signals): Promise<void> {
  for (const identity of identities) {
    if (!(await isAlive(identity))) continue;
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

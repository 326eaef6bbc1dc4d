// Which process a number means: a pid is reused, a pid with its start time is not. Reads /proc; nothing else.
import { readFileSync } from "node:fs";
import { z } from "zod";

const identitySchema = z.object({ pid: z.int().positive(), startTicks: z.string().regex(/^\d+$/) });
/** `startTicks` is field 22 of /proc/PID/stat: clock ticks since boot. */
export type ProcessIdentity = z.infer<typeof identitySchema>;

/** Null when there is no such process, or only its zombie. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const found = readStat(pid);
  return found === null || found.state === "Z" || found.state === "X" ? null : { pid, startTicks: found.startTicks };
}

/** By SIGSTOP or a debugger. */
export function isStopped(identity: ProcessIdentity): boolean {
  const found = readStat(identity.pid);
  return found?.startTicks === identity.startTicks && (found.state === "T" || found.state === "t");
}

function readStat(pid: number): { readonly state: string; readonly startTicks: string } | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The second field is the command in brackets and may hold anything, also spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const startTicks = fields[19];
  return state === undefined || startTicks === undefined ? null : { state, startTicks };
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTicks === identity.startTicks;
}

/** Signals the process only if it is still the one that was meant; false when it has gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return false;
  }
}

/** What a pid file says; null when it is absent or unreadable, or its process has gone. */
export function readPidFile(path: string): ProcessIdentity | null {
  try {
    const identity = identitySchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return isRunning(identity) ? identity : null;
  } catch {
    return null;
  }
}

// Which process a number means: a pid is reused, a pid with its start time is not. Reads /proc; nothing else.
import { readFileSync } from "node:fs";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  readonly startTicks: string;
}

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
    const identity = parseIdentity(JSON.parse(readFileSync(path, "utf8")));
    return identity !== null && isRunning(identity) ? identity : null;
  } catch {
    return null;
  }
}

/** By hand: `ripstop status` reads one, and a schema library would cost it more time than everything else. */
function parseIdentity(value: unknown): ProcessIdentity | null {
  const { pid, startTicks } = (value ?? {}) as Partial<Record<keyof ProcessIdentity, unknown>>;
  const valid =
    Number.isSafeInteger(pid) && Number(pid) > 0 && typeof startTicks === "string" && /^\d+$/.test(startTicks);
  return valid ? { pid: Number(pid), startTicks } : null;
}

// Long-lived processes of a lab (agents, etcd, servers): started detached inside a namespace, with a log and a record by
// which any later command finds them. There is no moment in which a started process is unknown: it writes its record
// itself, and holds the lab lock until it has done so.
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { RipstopError } from "../lib/errors.js";
import type { LabLock } from "./lock.js";
import { labFiles } from "./plan.js";
import { type ProcessIdentity, isAlive, readRecord, stopProcesses } from "./process-record.js";
import { waitFor } from "./wait.js";

export interface DaemonSpec {
  /** Unique in the lab: names the record and the log. */
  readonly name: string;
  readonly namespace: string;
  readonly argv: readonly string[];
}

// $0: record, $1: namespace, rest: program. The rename makes the record whole or absent; closing 3 gives up the lock.
const START =
  'IFS= read -r line </proc/$$/stat; echo "$line" >"$0.new" && mv "$0.new" "$0" && exec 3>&- && exec ip netns exec "$@"';

export async function startDaemon(lock: LabLock, directory: string, spec: DaemonSpec): Promise<ProcessIdentity> {
  const record = labFiles.record(directory, spec.name);
  const log = labFiles.log(directory, spec.name);
  await mkdir(dirname(record), { recursive: true });
  await mkdir(dirname(log), { recursive: true });
  await rm(record, { force: true });
  const output = openSync(log, "a");
  try {
    const child = spawn("sh", ["-c", START, record, spec.namespace, ...spec.argv], {
      detached: true,
      stdio: ["ignore", output, output, lock.fd],
    });
    child.on("error", () => undefined);
    child.unref();
  } finally {
    closeSync(output);
  }
  return waitFor(`${spec.name} to start`, () => readRecord(record), { timeoutMs: 30_000, everyMs: 2 });
}

/** The recorded process when it is still that process; null otherwise. */
export async function findDaemon(directory: string, name: string): Promise<ProcessIdentity | null> {
  const identity = await readRecord(labFiles.record(directory, name));
  return identity !== null && (await isAlive(identity)) ? identity : null;
}

/** Where the arguments a daemon was started with are kept, so that a changed plan is noticed. */
export function argumentsFile(directory: string, name: string): string {
  return `${labFiles.record(directory, name)}.args`;
}

export async function stopDaemon(directory: string, name: string, graceMs = 5000): Promise<void> {
  const identity = await findDaemon(directory, name);
  if (identity !== null) await stopProcesses([identity], graceMs);
  await rm(labFiles.record(directory, name), { force: true });
}

/** The last line that says something, for error messages. */
export async function lastLogLine(directory: string, name: string): Promise<string> {
  const text = await readFile(labFiles.log(directory, name), "utf8").catch(() => "");
  const line = text.trim().split("\n").at(-1) ?? "";
  return line === "" ? "" : `${name} last said: ${line.slice(0, 300)}`;
}

export function daemonDied(directory: string, name: string, said: string): RipstopError {
  return new RipstopError(
    "LAB_PROCESS_DIED",
    `${name} ended at once; ${said || "it said nothing"}; see ${labFiles.log(directory, name)}`,
  );
}

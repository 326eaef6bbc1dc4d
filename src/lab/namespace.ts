// Network namespaces by name: list, create, delete, and who lives in them. The lab's names are exact; nothing is ever
// matched by a pattern, so a foreign namespace cannot be hit.
import { constants } from "node:fs";
import { access, readdir, readlink, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { RipstopError } from "../lib/errors.js";
import type { Runner } from "./runner.js";

const NAMESPACES = "/run/netns";
const NSFS_MAGIC = 0x6e736673;

/** Names present under /run/netns, whether or not a namespace is mounted there. */
export async function namespaceNames(): Promise<ReadonlySet<string>> {
  try {
    return new Set(await readdir(NAMESPACES));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Set();
    throw error;
  }
}

/** The kernel's identity of a namespace in the form /proc/PID/ns/net shows; null when the name holds no namespace. */
export async function namespaceIdentity(name: string): Promise<string | null> {
  const path = join(NAMESPACES, name);
  try {
    // An `ip netns add` killed half-way leaves a plain file.
    if ((await statfs(path)).type !== NSFS_MAGIC) return null;
    return `net:[${(await stat(path)).ino}]`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Creates those that are missing; replaces leftovers that hold no namespace. */
export async function ensureNamespaces(runner: Runner, names: readonly string[]): Promise<void> {
  const present = await namespaceNames();
  const commands: string[] = [];
  for (const name of names) {
    if ((await namespaceIdentity(name)) !== null) continue;
    if (present.has(name)) commands.push(`netns delete ${name}`);
    commands.push(`netns add ${name}`);
  }
  await runner.ip(null, commands);
}

/** Deletes those that exist; links inside go with them. */
export async function deleteNamespaces(runner: Runner, names: readonly string[]): Promise<void> {
  const present = await namespaceNames();
  await runner.ip(
    null,
    names.filter((name) => present.has(name)).map((name) => `netns delete ${name}`),
  );
}

/** Process ids whose network namespace is one of these names'. One pass over /proc for all of them. */
export async function processesIn(names: readonly string[]): Promise<number[]> {
  const wanted = new Set<string>();
  for (const name of names) {
    const identity = await namespaceIdentity(name);
    if (identity !== null) wanted.add(identity);
  }
  if (wanted.size === 0) return [];
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const identity = await networkNamespaceOf(Number(entry));
    if (identity !== null && wanted.has(identity)) found.push(Number(entry));
  }
  return found;
}

/** Which network namespace a process is in; null when it is gone or is not ours to see. */
export async function networkNamespaceOf(pid: number): Promise<string | null> {
  try {
    return await readlink(`/proc/${pid}/ns/net`);
  } catch {
    return null;
  }
}

/** One sentence with the remedy when this process could not build namespaces at all. */
export async function requirePrivilege(runner: Runner): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new RipstopError(
      "LAB_NOT_ROOT",
      "a lab needs root to create network namespaces; run the command again with sudo",
    );
  }
  try {
    await access("/proc/self/ns/net", constants.R_OK);
  } catch (error) {
    throw new RipstopError("LAB_NO_NAMESPACES", "this kernel has no network namespaces; use one with CONFIG_NET_NS", {
      cause: error,
    });
  }
  await runner.must("ip", ["-V"]);
}

// Which peers the operator's SubnetAddCommand was told of, written down, so that those which leave while no agent runs can be told
// to SubnetRemoveCommand afterwards. After a reboot nothing of it counts: what the commands made is gone.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../lib/atomic-file.js";
import type { BackendLog } from "../backend.js";

/** What was told, so that exactly this is told again when the peer goes. */
export interface Told {
  readonly variables: Readonly<Record<string, string>>;
  readonly input: string;
}

const SCHEMA = z.object({
  bootId: z.string(),
  told: z.record(z.string(), z.object({ variables: z.record(z.string(), z.string()), input: z.string() })),
});

/** By lease key; empty when there is no such file, none that can be understood, or one of another boot. */
export async function readToldPeers(stateDir: string): Promise<Map<string, Told>> {
  try {
    const { bootId, told } = SCHEMA.parse(JSON.parse(await readFile(toldPeersPath(stateDir), "utf8")));
    return new Map(bootId === (await currentBootId()) ? Object.entries(told) : []);
  } catch {
    return new Map();
  }
}

/** A state directory that cannot be written costs this, not the overlay. */
export async function writeToldPeers(
  stateDir: string,
  told: ReadonlyMap<string, Told>,
  log: BackendLog,
): Promise<void> {
  const path = toldPeersPath(stateDir);
  try {
    const text = JSON.stringify({ bootId: await currentBootId(), told: Object.fromEntries(told) });
    await writeFileAtomic(path, text, { mode: 0o600, directoryMode: 0o700 });
  } catch (error) {
    log.warn({ err: error, path }, "cannot write down the peers; those that leave while no agent runs will stay");
  }
}

export function toldPeersPath(stateDir: string): string {
  return join(stateDir, "extension-peers.json");
}

async function currentBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

// Peers as people ask for them: the agent's list, with what the kernel's FDB and routes add. Reads only.
import type { NodeStatus } from "../agent/node-status.js";
import type { AgentStatus } from "../agent/status.js";
import type { RunPaths } from "../agent/run-dir.js";
import { DataplaneClient, type PeerTraffic } from "../dataplane/client.js";
import { type CommandRunner, runCommand } from "../host/command.js";

const DEADLINE_MS = 1_000;

export interface PeerView {
  readonly subnet: string;
  readonly publicIp: string;
  readonly vtepMac: string | null;
  readonly lease: string;
  /** What carries packets to it. */
  readonly path: "user space" | "kernel" | "direct route";
  readonly mtu: number | null;
  /** Carried by the user-space data plane; null: there is none. */
  readonly traffic: PeerTraffic | null;
  /** Seconds since a packet came from it through user space, or was last sent to it by the kernel's path; null: never. */
  readonly lastSeenSeconds: number | null;
}

interface FdbEntry {
  readonly mac: string;
  readonly dst?: string;
  readonly used?: number;
}

export async function viewPeers(
  { agent, dataplane }: NodeStatus & { readonly agent: AgentStatus },
  { dataplaneSocket }: RunPaths,
  run: CommandRunner = runCommand,
): Promise<readonly PeerView[]> {
  const device = agent.network?.devices[0];
  const used: ReadonlyMap<string, number> =
    device === undefined || agent.network?.backend !== "vxlan" ? new Map() : await lastUses(device, run);
  const carried = dataplane.state === "running" && dataplane.inspection?.running === true;
  const traffic = carried ? await readTraffic(dataplaneSocket) : null;
  return agent.peers.map(({ id, prefix, publicIp, vtepMac, alias, lease, direct }): PeerView => {
    const own = traffic?.get(id) ?? null;
    const ages = [own?.received.lastMs ?? null, used.get(`${alias ?? vtepMac} ${publicIp}`) ?? null];
    const [seenMs, usedSeconds] = ages;
    return {
      subnet: prefix,
      publicIp,
      vtepMac,
      lease,
      path: direct ? "direct route" : carried ? "user space" : "kernel",
      mtu: agent.network?.mtu ?? null,
      traffic: own,
      lastSeenSeconds: seenMs != null ? Math.round(seenMs / 1000) : carried ? null : (usedSeconds ?? null),
    };
  });
}

/** Null when the data plane went away meanwhile. */
async function readTraffic(path: string): Promise<ReadonlyMap<number, PeerTraffic> | null> {
  const client = await DataplaneClient.connect(path, { deadlineMs: DEADLINE_MS }).catch(() => null);
  if (client === null) return null;
  try {
    await client.hello("observe");
    return await client.peers();
  } catch {
    return null;
  } finally {
    client.disconnect();
  }
}

/** By "MAC address". */
async function lastUses(device: string, run: CommandRunner): Promise<ReadonlyMap<string, number>> {
  const result = await run(["bridge", "-json", "-statistics", "fdb", "show", "dev", device]).catch(() => null);
  if (result === null || result.code !== 0) return new Map();
  const entries = JSON.parse(result.stdout) as readonly FdbEntry[];
  return new Map(
    entries.flatMap(({ mac, dst, used }) => (used === undefined ? [] : [[`${mac} ${dst}`, used] as const])),
  );
}

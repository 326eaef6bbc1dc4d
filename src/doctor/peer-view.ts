// Peers as people ask for them: the agent's list, with what the kernel's FDB and routes add. Reads only.
import type { NodeStatus } from "../agent/node-status.js";
import type { AgentStatus } from "../agent/status.js";
import { type CommandRunner, runCommand } from "../host/command.js";

export interface PeerView {
  readonly subnet: string;
  readonly publicIp: string;
  readonly vtepMac: string | null;
  readonly lease: string;
  /** What carries packets to it. */
  readonly path: "user space" | "kernel" | "direct route";
  readonly mtu: number | null;
  /** Since a packet was last sent to it by the kernel's path; null: never, or nobody counts. */
  readonly lastUsedSeconds: number | null;
}

interface FdbEntry {
  readonly mac: string;
  readonly dst?: string;
  readonly used?: number;
}

export async function viewPeers(
  { agent, dataplane }: NodeStatus & { readonly agent: AgentStatus },
  run: CommandRunner = runCommand,
): Promise<readonly PeerView[]> {
  const device = agent.network?.devices[0];
  const used = device === undefined || agent.network?.backend !== "vxlan" ? new Map() : await lastUses(device, run);
  const carried = dataplane.state === "running" && dataplane.inspection?.running === true;
  return agent.peers.map(({ prefix, publicIp, vtepMac, lease, direct }) => ({
    subnet: prefix,
    publicIp,
    vtepMac,
    lease,
    path: direct ? "direct route" : carried ? "user space" : "kernel",
    mtu: agent.network?.mtu ?? null,
    lastUsedSeconds: (used.get(`${vtepMac} ${publicIp}`) as number | undefined) ?? null,
  }));
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

// What this node should look like: as its agent says, or, when no agent answers, as the agent last wrote it down
// (state-dir/snapshot.json). `doctor` compares the host with it. Reads only.
import { formatIpv4 } from "../addr/ipv4.js";
import { formatIpv6 } from "../addr/ipv6.js";
import { formatPrefix } from "../addr/prefix.js";
import { readLocalSnapshot, snapshotPath } from "../agent/local-snapshot.js";
import type { NodeStatus } from "../agent/node-status.js";
import { readVtepMac } from "../backend/vxlan/backend-data.js";
import { parseUdpOptions, parseVxlanOptions } from "../config/backend-options.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import type { Lease } from "../lease/lease.js";

export interface ExpectedPeer {
  readonly lease: string;
  readonly prefix: string;
  readonly publicIp: string;
  readonly vtepMac: string | null;
  /** What the kernel's tables have instead, when another peer claims the same MAC. */
  readonly alias?: string | undefined;
  readonly direct: boolean;
}

export interface Expectation {
  readonly source: "agent" | "snapshot";
  readonly backend: string;
  /** The overlay device; null for backends without one. */
  readonly device: string | null;
  /** UDP port of the encapsulation; null without one. */
  readonly port: number | null;
  /** Bytes that the encapsulation adds, by family of the underlay. */
  readonly overhead: { readonly 4: number; readonly 6: number };
  readonly networks: readonly string[];
  readonly subnets: readonly string[];
  /** Null: only the agent knows. */
  readonly mtu: number | null;
  /** Backend.MTU, that of the underlay; 0: left to the interface. */
  readonly configuredMtu: number;
  readonly externalInterface: string | null;
  readonly publicIps: readonly string[];
  /** What this node's lease announces; null: unknown, or the backend has none. */
  readonly vtepMac: string | null;
  readonly peers: readonly ExpectedPeer[];
  /** Why the network configuration cannot be used; null: it can. */
  readonly configProblem: string | null;
}

const OVERHEAD: Readonly<Record<string, { readonly 4: number; readonly 6: number }>> = {
  vxlan: { 4: 50, 6: 70 },
  udp: { 4: 28, 6: 48 },
};

/** Null when neither an agent nor a snapshot says anything. */
export async function readExpectation(status: NodeStatus, stateDir: string): Promise<Expectation | null> {
  const snapshot = await readLocalSnapshot(snapshotPath(stateDir));
  const network = status.agent?.network ?? null;
  if (network === null && snapshot === null) return null;
  const config = snapshot === null ? null : tryParse(snapshot.networkConfig);
  const parsed = typeof config === "string" ? null : config;
  const backend = network?.backend ?? parsed?.backendType ?? "unknown";
  const own = snapshot?.own ?? null;
  return {
    source: network === null ? "snapshot" : "agent",
    backend,
    device: network?.devices[0] ?? deviceOf(backend, parsed),
    port: portOf(backend, parsed),
    overhead: OVERHEAD[backend] ?? { 4: 0, 6: 0 },
    networks: [parsed?.network ?? null, parsed?.ipv6Network ?? null].filter((one) => one !== null).map(formatPrefix),
    subnets: network === null ? subnetsOf(own) : [network.subnet, network.ipv6Subnet].filter((one) => one !== null),
    mtu: network?.mtu ?? null,
    configuredMtu: backend === "vxlan" && parsed !== null ? parseVxlanOptions(parsed.backend).mtu : 0,
    externalInterface: network?.externalInterface ?? null,
    publicIps: network === null ? publicIpsOf(own) : [network.publicIp, network.publicIpv6].filter((ip) => ip !== null),
    vtepMac: own === null ? null : macOf(own),
    peers: status.agent === null || network === null ? peersOf(snapshot?.leases, own) : status.agent.peers,
    configProblem: typeof config === "string" ? config : null,
  };
}

function tryParse(text: string): NetworkConfig | string {
  try {
    return parseNetworkConfig(text, { allocates: false });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function deviceOf(backend: string, config: NetworkConfig | null): string | null {
  if (backend === "udp") return "flannel0";
  if (backend !== "vxlan") return null;
  return `flannel.${config === null ? 1 : parseVxlanOptions(config.backend).vni}`;
}

function portOf(backend: string, config: NetworkConfig | null): number | null {
  if (backend === "udp") return config === null ? 8285 : parseUdpOptions(config.backend).port;
  if (backend !== "vxlan") return null;
  const port = config === null ? 0 : parseVxlanOptions(config.backend).port;
  return port === 0 ? 8472 : port;
}

function subnetsOf(lease: Lease | null): string[] {
  return [lease?.subnet ?? null, lease?.ipv6Subnet ?? null].filter((one) => one !== null).map(formatPrefix);
}

function publicIpsOf(lease: Lease | null): string[] {
  const { publicIp = null, publicIpv6 = null } = lease?.attrs ?? {};
  return [
    ...(publicIp === null ? [] : [formatIpv4(publicIp)]),
    ...(publicIpv6 === null ? [] : [formatIpv6(publicIpv6)]),
  ];
}

function macOf({ attrs }: Lease): string | null {
  const mac = readVtepMac(attrs.backendData);
  return typeof mac === "string" ? mac : null;
}

/** Without the backend's own checks: enough to say what is missing on this host. */
function peersOf(leases: ReadonlyMap<string, Lease> | undefined, own: Lease | null): ExpectedPeer[] {
  return [...(leases?.values() ?? [])].flatMap((lease) => {
    const [publicIp] = publicIpsOf(lease);
    if (lease.key === own?.key || publicIp === undefined) return [];
    return subnetsOf(lease).map((prefix) => ({
      lease: lease.key,
      prefix,
      publicIp,
      vtepMac: macOf(lease),
      direct: false,
    }));
  });
}

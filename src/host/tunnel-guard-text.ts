// What keeps pods from the overlay's UDP port, in nft's words. A node believes a tunnel packet by its outer source, and the kernel's
// VXLAN device not even by that; a pod that sends one would speak for any pod. Pure.
//
// From a pod is what has a source inside the overlay, wherever it came in, and what has forged one: it came in through a device
// of a kind that pods hang on, and no way leads back to its source through that device. Packets of nodes pass: by the external
// interface with any source outside the overlay, by another one when the way back is the same or the device is a NIC.
import type { Prefix } from "../addr/address.js";
import { formatPrefix } from "../addr/prefix.js";

export interface TunnelGuardRules {
  readonly encapsulation: "vxlan" | "udp";
  /** Of VXLAN. */
  readonly vni: number;
  readonly port: number;
  /** What comes out of these is from pods of other nodes. */
  readonly overlayDevices: readonly string[];
  /** Where packets of other nodes come in. */
  readonly externalInterface: string;
  /** Where only pods are: the overlay, or of one in which nodes have addresses too what is this node's. */
  readonly podSources: readonly Prefix[];
  /** This node's own part of it. */
  readonly subnets: readonly Prefix[];
}

/** Packets dropped so far. */
export interface TunnelGuardCounts {
  readonly ownNode: number;
  readonly otherNodes: number;
}

const COUNTERS = { ownNode: "own_node", otherNodes: "other_nodes" } as const;
const POD_DEVICES = '{ "veth", "bridge" }';

export function guardContents(rules: TunnelGuardRules, counts: TunnelGuardCounts): string {
  const { port, overlayDevices } = rules;
  const toOwnNode = `counter name ${COUNTERS.ownNode} drop`;
  const toOthers = `counter name ${COUNTERS.otherNodes} drop`;
  const chains: Readonly<Record<string, readonly string[]>> = {
    input: [
      "type filter hook input priority filter; policy accept;",
      `iifname != "lo" udp dport ${port} jump to_own_node`,
    ],
    to_own_node: [
      `iifname { ${overlayDevices.map((name) => `"${name}"`).join(", ")} } ${toOwnNode}`,
      ...fromPods(rules, toOwnNode),
      `iifname "${rules.externalInterface}" return`,
      // Every bridge has addresses of link scope, and they say nothing about who sends.
      `meta iifkind ${POD_DEVICES} ip6 saddr fe80::/10 ${toOwnNode}`,
      forged(toOwnNode),
    ],
    forward: ["type filter hook forward priority filter; policy accept;", `udp dport ${port} jump to_other_nodes`],
    to_other_nodes: tunnelPackets(rules, "jump from_pods"),
    from_pods: [
      ...fromPods(rules, toOthers),
      `iifname "${rules.externalInterface}" return`,
      // What a bridge passes from port to port comes here too (br_netfilter): other machines' packets, no business of ours.
      `meta oifkind ${POD_DEVICES} oifname != "${rules.externalInterface}" return`,
      forged(toOthers),
    ],
  };
  const lines = [
    ...(["ownNode", "otherNodes"] as const).map(
      (key) => `  counter ${COUNTERS[key]} { packets ${counts[key]} bytes 0 }`,
    ),
    ...Object.entries(chains).flatMap(([name, body]) => [
      `  chain ${name} {`,
      ...body.map((line) => `    ${line}`),
      "  }",
    ]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** Null: the text is not of such a table. */
export function guardCounts(shown: string): TunnelGuardCounts | null {
  const count = (name: string): number | null => {
    const found = new RegExp(`counter ${name} \\{\\s+packets (\\d+)`).exec(shown)?.[1];
    return found === undefined ? null : Number(found);
  };
  const [ownNode, otherNodes] = [count(COUNTERS.ownNode), count(COUNTERS.otherNodes)];
  return ownNode === null || otherNodes === null ? null : { ownNode, otherNodes };
}

/**
 * Packets that a node's tunnel would take. Towards other pods of this node nothing is one. Of the udp format, which has no
 * header of its own, only what leaves the overlay is looked at: inside, the data plane knows better (drop reason `nested`).
 * A first fragment may hide what it carries.
 */
function tunnelPackets({ encapsulation, vni, podSources, subnets }: TunnelGuardRules, verdict: string): string[] {
  const passed = encapsulation === "vxlan" ? subnets : podSources;
  const looksLikeOne = encapsulation === "vxlan" ? [`@th,96,24 ${vni}`] : ["@th,64,4 { 4, 6 }"];
  const fragments = ["ip frag-off & 0x2000 != 0", "exthdr frag exists"];
  return [
    ...passed.map((prefix) => `${ipOf(prefix)} daddr ${formatPrefix(prefix)} return`),
    ...[...looksLikeOne, ...fragments].map((match) => `${match} ${verdict}`),
  ];
}

function fromPods({ podSources }: TunnelGuardRules, verdict: string): string[] {
  return podSources.map((prefix) => `${ipOf(prefix)} saddr ${formatPrefix(prefix)} ${verdict}`);
}

function forged(verdict: string): string {
  return `meta iifkind ${POD_DEVICES} fib saddr . iif oif missing ${verdict}`;
}

function ipOf({ family }: Prefix): string {
  return family === 4 ? "ip" : "ip6";
}

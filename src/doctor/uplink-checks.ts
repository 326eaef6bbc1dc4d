// Checks of the network device under the overlay: driver, queues, rings and RSS, programs of others, offloads that do not go with
// XDP. Asks ethtool; changes nothing.
import { readdir } from "node:fs/promises";
import type { NodeStatus } from "../agent/node-status.js";
import { type CommandRunner, runCommand } from "../host/command.js";
import type { Expectation } from "./expectation.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";
import type { HostFacts, LinkFact } from "./host-facts.js";

/** A page without what XDP and an skb need in it; longer frames need multi-buffer programs, which ours is not. */
const XDP_MTU_MAX = 3_498;
/** By the kernel's documentation; what a driver really does is seen when an AF_XDP port opens, and then shown. */
const NATIVE_XDP = new Set(
  "amazon,bnxt_en,bonding,cpsw,dpaa2-eth,ena,enetc,fsl_dpa,fsl-dpaa2-eth,gve,hv_netvsc,i40e,ice,igb,igc,ionic,ixgbe,ixgbevf,mana,mlx4_en,mlx5_core,mtk_soc_eth,mvneta,mvpp2,nfp,qede,sfc,st_gmac,stmmaceth,thunder-nicvf,tun,veth,virtio_net,vmxnet3".split(
    ",",
  ),
);
const ZERO_COPY = new Set("fsl-dpaa2-eth,gve,i40e,ice,igb,igc,ixgbe,mlx5_core,nfp,st_gmac,stmmaceth".split(","));

export interface UplinkDetails {
  readonly driver: string;
  /** `ethtool -k`. */
  readonly features: string;
  readonly rxQueues: number;
  /** Queues that RSS sends to; null: the device does not say. */
  readonly spreadOver: number | null;
  /** Now and at most; null: it has none to show. */
  readonly rxRing: { readonly now: number; readonly most: number } | null;
}

export async function readUplink(device: string, run: CommandRunner = runCommand): Promise<UplinkDetails> {
  const ask = async (flag: string) => (await run(["ethtool", flag, device]).catch(() => null))?.stdout ?? "";
  const [info, features, rings, table] = [await ask("-i"), await ask("-k"), await ask("-g"), await ask("-x")];
  const queues = await readdir(`/sys/class/net/${device}/queues`).catch(() => []);
  return {
    driver: /^driver: (.*)$/m.exec(info)?.[1] ?? "unknown",
    features,
    rxQueues: queues.filter((name) => name.startsWith("rx-")).length,
    spreadOver: spread(table),
    rxRing: ringSizes(rings),
  };
}

/** Rows of the indirection table: `    8:      0     1     2     3`. */
export function spread(table: string): number | null {
  const targets = [...table.matchAll(/^\s*\d+:((?:\s+\d+)+)\s*$/gm)].flatMap(([, row = ""]) => row.trim().split(/\s+/));
  return targets.length === 0 ? null : new Set(targets).size;
}

/** `RX:` stands in two sections: what can be, what is. */
export function ringSizes(text: string): UplinkDetails["rxRing"] {
  const [most, now] = [...text.matchAll(/^RX:\s+(\d+)$/gm)].map(([, count]) => Number(count));
  return most === undefined || now === undefined ? null : { now, most };
}

export async function checkUplink(
  facts: HostFacts,
  expected: Expectation,
  status: NodeStatus,
  run: CommandRunner = runCommand,
): Promise<Finding[]> {
  const uplink = facts.links.find(({ ifname }) => ifname === expected.externalInterface);
  if (uplink === undefined) return [skip("uplink", "needs a running agent")];
  const details = await readUplink(uplink.ifname, run);
  const port = status.dataplane.inspection?.ports.find(({ side }) => side === "underlay");
  const vlans = facts.links.some(({ link, linkinfo }) => link === uplink.ifname && linkinfo?.info_kind === "vlan");
  return [
    judgeUplink(uplink, details, port?.kind === "xdp", vlans),
    judgeQueues(uplink.ifname, details, port?.kind ?? null, status.dataplane.inspection?.workers ?? 1),
  ];
}

export function judgeUplink(
  uplink: LinkFact,
  { driver, features }: UplinkDetails,
  xdp: boolean,
  vlans: boolean,
): Finding {
  const foreign = uplink.xdp?.prog !== undefined && !xdp ? uplink.xdp.prog : null;
  const native = NATIVE_XDP.has(driver)
    ? `native XDP${ZERO_COPY.has(driver) ? ", zero-copy" : ""}`
    : "generic XDP only";
  const shown = `${uplink.ifname}, driver ${driver} (${native}), MTU ${uplink.mtu}`;
  if (!uplink.flags.includes("UP"))
    return fail("uplink", `${shown}, down`, "no node is reached", `ip link set ${uplink.ifname} up`);
  if (foreign !== null) {
    return warn(
      "uplink",
      `${shown}, XDP program ${foreign.id} ${foreign.name ?? ""}`.trimEnd(),
      "it sees every packet first and may take or drop encapsulated ones; the xdp port cannot be used beside it",
      `bpftool prog show id ${foreign.id} says whose it is`,
    );
  }
  const on = (name: string) => new RegExp(`^\\s*${name}: on`, "m").test(features);
  const harmful = [
    ...(on("large-receive-offload") ? ["lro"] : []),
    ...(on("rx-gro-hw") ? ["rx-gro-hw"] : []),
    // The tag is not in the frame that XDP sees; it matters only where there are tags.
    ...(vlans && on("rx-vlan-offload") ? ["rxvlan"] : []),
  ];
  if (xdp && harmful.length > 0) {
    return warn(
      "uplink",
      `${shown}, ${harmful.join(", ")} on`,
      "XDP cannot take merged packets, nor see a tag that the device takes off: native mode is refused, or packets are lost",
      `ethtool -K ${uplink.ifname} ${harmful.map((name) => `${name} off`).join(" ")}`,
    );
  }
  if (xdp && uplink.mtu > XDP_MTU_MAX) {
    return warn(
      "uplink",
      `${shown}, AF_XDP`,
      `native XDP takes frames up to an MTU of ${XDP_MTU_MAX}; the port runs in generic mode, which is slower`,
      `ip link set ${uplink.ifname} mtu ${XDP_MTU_MAX}, or --underlay-port=tap`,
    );
  }
  return ok("uplink", shown);
}

export function judgeQueues(
  device: string,
  { rxQueues, spreadOver, rxRing }: UplinkDetails,
  port: string | null,
  workers: number,
): Finding {
  const shown = [
    `${device}: ${rxQueues} rx queue${rxQueues === 1 ? "" : "s"}`,
    spreadOver === null ? "RSS not told" : `RSS over ${spreadOver}`,
    rxRing === null ? "rings not told" : `rx ring ${rxRing.now} of ${rxRing.most}`,
    `used by ${port === null ? "the kernel" : `a ${port} port with ${workers} worker${workers === 1 ? "" : "s"}`}`,
  ].join(", ");
  if (spreadOver !== null && spreadOver < rxQueues) {
    return warn(
      "queues",
      shown,
      "the other queues get no packets, and their workers and CPUs none either",
      `ethtool -X ${device} equal ${rxQueues}`,
    );
  }
  if (workers > 1 && port === "packet" && rxQueues < workers) {
    return warn(
      "queues",
      shown,
      "more workers than queues: the kernel hands packets over from fewer CPUs than read them",
      `ethtool -L ${device} combined ${workers}, or fewer --dataplane-workers`,
    );
  }
  return ok("queues", shown);
}

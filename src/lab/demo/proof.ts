// Who carried the packets? A known number of them, our own counters, and what the kernel counted on its devices: the
// kernel's VXLAN device stands still while we carry, and we stand still while it does.
import type { Ends } from "../ends.js";
import { KERNEL_PEER_DEVICE } from "../kernel-peer.js";
import type { LabNode, LabPlan } from "../plan.js";
import { viewPlane } from "../plane.js";
import { Runner } from "../runner.js";
import { textTable } from "../text-table.js";
import { countedSince, type DeviceCounters, deviceCounters } from "../traffic/device-counters.js";
import { runTcpCheck } from "../traffic/tcp-check.js";
import { runUdpLoad } from "../traffic/udp-load.js";
import { UDP_FLOWS, UDP_RATE, UDP_SIZE } from "./measure.js";
import { type DemoPath, KERNEL } from "./paths.js";

const PACKETS = 5000;
const MEBIBYTES = 16;

export interface Witness {
  readonly path: DemoPath;
  readonly sent: number;
  readonly arrived: number;
  /** By our own counters; null: no data plane. */
  readonly ourEncap: number | null;
  readonly ourDecap: number | null;
  /** By the kernel's counters of flannel.1: sent on the first node, received on the second. */
  readonly kernelEncap: number;
  readonly kernelDecap: number;
  /** Bytes of a TCP stream that were compared, every one of them. */
  readonly compared: number;
}

export async function callWitness(plan: LabPlan, path: DemoPath, ends: Ends): Promise<Witness> {
  const [one, other] = plan.nodes as readonly [LabNode, LabNode];
  const { bytes } = await runTcpCheck({ ...ends, mebibytes: MEBIBYTES });
  const before = await evidence(one, other);
  const load = await runUdpLoad({ ...ends, rate: UDP_RATE, packets: PACKETS, size: UDP_SIZE, flows: UDP_FLOWS });
  const after = await evidence(one, other);
  const ours = (lane: "encap" | "decap"): number | null =>
    before[lane] === null || after[lane] === null ? null : Number(after[lane] - before[lane]);
  return {
    path,
    sent: load.sender.sent,
    arrived: load.sink.unique - load.sink.corrupt,
    ourEncap: ours("encap"),
    ourDecap: ours("decap"),
    kernelEncap: countedSince(before.one, after.one).txPackets,
    kernelDecap: countedSince(before.other, after.other).rxPackets,
    compared: bytes,
  };
}

/**
 * What the counters say. "yes": every packet went the way it was meant to. "shared": every packet is accounted for, and the
 * kernel carried those for which a busy machine gave the data plane no time. "NO": packets are missing, or nobody of ours carried.
 */
export function judge(witness: Witness): "yes" | "shared" | "NO" {
  const { sent, ourEncap, ourDecap, kernelEncap, kernelDecap } = witness;
  if (witness.arrived !== sent) return "NO";
  if (witness.path === KERNEL) return ourEncap === null && kernelEncap === sent && kernelDecap === sent ? "yes" : "NO";
  if (!ourEncap || !ourDecap || ourEncap + kernelEncap !== sent || ourDecap + kernelDecap !== sent) return "NO";
  return kernelEncap === 0 && kernelDecap === 0 ? "yes" : "shared";
}

export function proofTable(witnesses: readonly Witness[]): string {
  const count = (value: number | null): string => (value === null ? "-" : String(value));
  return textTable([
    ["path", "sent", "arrived", "our encap", "our decap", "flannel.1 tx", "flannel.1 rx", "TCP MiB compared", "proved"],
    ...witnesses.map((witness) => [
      witness.path.name,
      count(witness.sent),
      count(witness.arrived),
      count(witness.ourEncap),
      count(witness.ourDecap),
      count(witness.kernelEncap),
      count(witness.kernelDecap),
      count(witness.compared / (1 << 20)),
      judge(witness),
    ]),
  ]);
}

interface Evidence {
  readonly encap: bigint | null;
  readonly decap: bigint | null;
  readonly one: DeviceCounters;
  readonly other: DeviceCounters;
}

async function evidence(one: LabNode, other: LabNode): Promise<Evidence> {
  const runner = new Runner();
  return {
    encap: (await viewPlane(one))?.counters.encap.txPackets ?? null,
    decap: (await viewPlane(other))?.counters.decap.txPackets ?? null,
    one: await deviceCounters(runner, one.namespace, KERNEL_PEER_DEVICE),
    other: await deviceCounters(runner, other.namespace, KERNEL_PEER_DEVICE),
  };
}

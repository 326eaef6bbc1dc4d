// Payload-checked traffic between the pods of two nodes of a lab: bulk TCP, small and full UDP, every byte and packet accounted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";

const PACKETS = 500;
/** A machine that stalls costs a UDP run a few packets, whoever carries them; a path that loses does so every time. */
const ATTEMPTS = 3;
/** flanneld's proxy on a busy machine drops what its socket does not hold, and TCP sends it again, ever later. */
const STREAM_MS = 120_000;
/** The receiver waits so long for what is under way; after a failure longer, as a flanneld that is not scheduled takes 170 ms. */
const QUIET_MS = { first: 50, later: 1_000 };

export async function nodeSubnets(plan: LabPlan): Promise<ReadonlyMap<LabNode, NodeSubnet>> {
  const subnets = new Map<LabNode, NodeSubnet>();
  for (const node of plan.nodes) {
    const subnet = await readSubnetFile(labFiles.subnetFile(node));
    assert.ok(subnet !== null, node.namespace);
    subnets.set(node, subnet);
  }
  return subnets;
}

/**
 * flanneld's udp proxy moves one packet at a time and its socket holds about ninety, so while it is not scheduled what comes is
 * lost there: under load every lost packet was one of its socket's counted drops. These are forgiven, and nothing else.
 */
export interface ClassicProxy {
  /** A node where flanneld carries packets itself. */
  readonly node: LabNode;
  /** Its TUN device. */
  readonly device: string;
}

/** Nothing is lost but what the proxies' own queues dropped and counted. */
export async function exchangeBothWays(
  one: LabNode,
  other: LabNode,
  proxies: readonly ClassicProxy[] = [],
): Promise<void> {
  await exchange(one, other, proxies);
  await exchange(other, one, proxies);
}

async function exchange(from: LabNode, to: LabNode, proxies: readonly ClassicProxy[]): Promise<void> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const way = { from: from.pod, to: to.pod, address: podAddress(subnet) };
  const dropped = () => proxies.reduce((sum, proxy) => sum + dropsOf(proxy), 0);
  await runTcpCheck({ ...way, mebibytes: 16, timeoutMs: STREAM_MS });
  for (const size of [64, subnet.mtu - 28]) {
    const runs: { readonly lost: number; readonly dropped: number }[] = [];
    const fits = () => runs.some((run) => run.lost <= run.dropped && run.lost < PACKETS);
    while (runs.length < ATTEMPTS && !fits()) {
      const before = dropped();
      const { sender, sink, lost } = await runUdpLoad({
        ...way,
        // Packets of an attempt that was given up may still come.
        port: 7777 + runs.length,
        rate: 2_000,
        size,
        packets: PACKETS,
        quietMs: runs.length === 0 ? QUIET_MS.first : QUIET_MS.later,
      });
      const { corrupt, duplicates } = sink;
      assert.deepEqual({ sent: sender.sent, corrupt, duplicates }, { sent: PACKETS, corrupt: 0, duplicates: 0 });
      runs.push({ lost, dropped: dropped() - before });
    }
    const what = `${from.pod} to ${to.pod}: ${PACKETS} packets of ${size} bytes, lost and dropped by flanneld's queues`;
    assert.ok(fits(), `${what}: ${JSON.stringify(runs)}`);
  }
}

/** What the proxy's queues have lost: its UDP socket, the only one on its node, and its TUN device. */
function dropsOf({ node, device }: ClassicProxy): number {
  const inNode = (...argv: readonly string[]) =>
    execFileSync("ip", ["netns", "exec", node.namespace, ...argv], { encoding: "utf8" });
  const [names, values] = inNode("cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith("Udp: "))
    .map((line) => line.split(" "));
  const socket = Number(values?.[names?.indexOf("RcvbufErrors") ?? -1]);
  const [link] = JSON.parse(inNode("ip", "-s", "-j", "link", "show", device)) as readonly {
    readonly stats64: { readonly tx: { readonly dropped: number } };
  }[];
  return socket + (link?.stats64.tx.dropped ?? Number.NaN);
}

// What a test asks of a backend in a lab: whether pods reach each other, what passes and what does not, and which traces of a
// node are left in another one's kernel. In every family the nodes have.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress, podAddressV6, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { assertLaw, restingCounters } from "./accounting.js";
import { wireguardPeers } from "./lab-wireguard.js";

const runner = new Runner();
/** IP and ICMP headers of an echo request. */
const ECHO_BYTES = { 4: 28, 6: 48 } as const;

/** The longest packet of a pod that arrives whole; subnet.env says the one of IPv4 whatever the family, as flannel does. */
export interface Mtu {
  readonly v4: number;
  readonly v6: number;
}

/** Datagrams none of which may be lost on the way. */
export interface Datagrams {
  readonly rate: number;
  readonly packets: number;
}
const TOO_LONG = /(message too long, mtu|Packet too big: mtu)[:= ]+\d+/;
const DATAGRAMS: Datagrams = { rate: 4000, packets: 1000 };

/** A stream each byte of which is compared, datagrams of which none is lost, and the longest packet, one byte not more. */
export async function assertCarries(from: LabNode, to: LabNode, mtu: Mtu, datagrams = DATAGRAMS): Promise<void> {
  await assertReaches(from, to);
  assert.equal((await subnetOf(from)).mtu, mtu.v4);
  for (const { family, address } of await addressesOf(to)) {
    const ends = { from: from.pod, to: to.pod, address };
    await runTcpCheck({ ...ends, mebibytes: 8 });
    const load = await runUdpLoad({ ...ends, ...datagrams, size: 50, flows: 4 });
    const losses = [load.lost, load.sink.corrupt, load.sink.duplicates];
    assert.deepEqual(losses, [0, 0, 0], `IPv${family} from ${from.pod} to ${to.pod}`);
    const fits = (family === 4 ? mtu.v4 : mtu.v6) - ECHO_BYTES[family];
    const passes = async () => (await ping(from, address, fits)).code === 0 || null;
    await waitFor(`${fits} bytes over IPv${family} to pass`, passes, { timeoutMs: 30_000 });
    const refused = async () => {
      const { stderr, stdout } = await ping(from, address, fits + 1);
      return TOO_LONG.test(stderr + stdout) || null;
    };
    await waitFor(`${fits + 1} bytes over IPv${family} to be refused`, refused, { timeoutMs: 30_000 });
  }
}

/** Both ways, in every family. */
export async function assertReaches(from: LabNode, to: LabNode): Promise<void> {
  for (const [one, other] of [
    [from, to],
    [to, from],
  ] as const) {
    for (const { address } of await addressesOf(other)) {
      const asked = async () => (await ping(one, address, 56)).code === 0 || null;
      await waitFor(`${one.pod} to reach ${other.pod} at ${address}`, asked, { timeoutMs: 30_000 });
    }
  }
}

/** Every packet that a node's data plane took is accounted for, and it carried at least `packets`. */
export async function assertCarriedBy(node: LabNode, packets: bigint): Promise<void> {
  const counters = await restingCounters(node);
  assertLaw(counters, node.namespace);
  const carried = counters.encap.txPackets + counters.decap.txPackets;
  assert.ok(carried >= packets, `only ${carried} packets went through the data plane of ${node.namespace}`);
}

/** What a node's kernel and data plane know of subnets and addresses; empty when nothing is left of their owner. */
export async function tracesOf(node: LabNode, words: readonly string[]): Promise<string> {
  const texts = await Promise.all([
    ip(node, "-o", "route", "show", "table", "all"),
    ip(node, "-6", "-o", "route", "show", "table", "all"),
    ip(node, "neighbor", "show", "nud", "permanent"),
    ip(node, "-6", "neighbor", "show", "nud", "permanent"),
    runner.mustIn(node.namespace, "bridge", ["fdb", "show"]),
    wireguardText(node),
  ]);
  const lines = texts.flatMap((text) => text.split("\n"));
  return lines.filter((line) => words.some((word) => mentions(line, word))).join("; ");
}

export async function awaitNoTraces(node: LabNode, words: readonly string[]): Promise<void> {
  const gone = async () => (await tracesOf(node, words)) === "" || null;
  await waitFor(`nothing of ${words.join(", ")} to be left in ${node.namespace}`, gone, {
    timeoutMs: 30_000,
    explain: () => tracesOf(node, words),
  });
}

/** What identifies a node in the tables of another one. */
export async function wordsOf(node: LabNode): Promise<string[]> {
  const { gateway, ipv6 } = await subnetOf(node);
  const underlay = [node.underlay, ...(node.underlayV6 === null ? [] : [node.underlayV6])];
  return [gateway.replace(/\.1$/, ".0"), ...(ipv6 === null ? [] : [ipv6.gateway.replace(/::1$/, "::")]), ...underlay];
}

export async function subnetOf(node: LabNode): Promise<NodeSubnet> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has no subnet.env`);
  return subnet;
}

/** As an operator does with a node that is gone for good. */
export async function deleteLease(plan: LabPlan, { gateway }: NodeSubnet): Promise<void> {
  const folder = join(labFiles.store(plan.directory), "subnets");
  const start = gateway.replace(/\.1$/, ".0-");
  const found = (await readdir(folder)).find((name) => name.startsWith(start));
  assert.ok(found !== undefined, `no lease starts with ${start}`);
  await rm(join(folder, found));
}

export async function ip(node: LabNode, ...words: string[]): Promise<string> {
  return runner.mustIn(node.namespace, "ip", words);
}

async function addressesOf(
  node: LabNode,
): Promise<ReadonlyArray<{ readonly family: 4 | 6; readonly address: string }>> {
  const subnet = await subnetOf(node);
  const v6 = podAddressV6(subnet);
  return [{ family: 4, address: podAddress(subnet) }, ...(v6 === null ? [] : [{ family: 6, address: v6 } as const])];
}

function ping(from: LabNode, address: string, size: number) {
  return runner.runIn(from.pod, "ping", ["-n", "-c", "1", "-W", "1", "-M", "do", "-s", String(size), address]);
}

/** Empty where no agent of a lab made a device. */
async function wireguardText(node: LabNode): Promise<string> {
  return existsSync(join(node.directory, "wgkey")) ? (await wireguardPeers(node)).join("\n") : "";
}

/** The word ends where it ends: 192.168.77.1 is not in 192.168.77.12. */
function mentions(line: string, word: string): boolean {
  return line.split(/[\s/]/).includes(word);
}

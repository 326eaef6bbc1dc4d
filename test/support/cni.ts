// CNI as a container runtime drives it, on a node of a lab: the plugins of a network list one after the other, with the pod's
// namespace and an address book of the node's own.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { waitFor } from "../../src/lab/wait.js";

/** Where Debian's containernetworking-plugins are. */
export const CNI_PLUGINS = "/usr/lib/cni";
export const cniMissing = existsSync(join(CNI_PLUGINS, "bridge")) ? false : "needs containernetworking-plugins";

const runner = new Runner();

export interface Plugin {
  readonly type: string;
  readonly ipam?: object;
}

export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

interface Added {
  readonly ips: ReadonlyArray<{ readonly address: string }>;
}

/** ADD; the addresses that the pod has then. `programs` are plugins that are not in the usual place, by type. */
export async function cniAdd(
  node: LabNode,
  list: NetworkList,
  programs: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const { ips } = (await run(node, "ADD", list, programs)) as Added;
  return ips.map(({ address }) => address.split("/")[0] ?? "");
}

/** DEL; afterwards the pod's link, its port mappings and its addresses are gone. */
export async function cniDelete(
  node: LabNode,
  list: NetworkList,
  programs: Readonly<Record<string, string>> = {},
): Promise<void> {
  await run(node, "DEL", list, programs);
  assert.doesNotMatch(await natRules(node), /8080/);
  assert.doesNotMatch(await runner.mustIn(node.namespace, "ip", ["link", "show"]), /veth/);
  const kept = (await readdir(join(cniState(node), list.name))).filter((name) => /^\d|^fd/.test(name));
  assert.deepEqual(kept, [], "addresses still taken");
}

/** The lab's own pod makes room. */
export async function makeRoom(node: LabNode): Promise<void> {
  await runner.ip(node.namespace, ["link delete pod0", "link delete cni0"]);
}

/** Both pods reach each other at every address, with a stream each byte of which is compared. */
export async function assertPodsTalk(
  one: LabNode,
  atOne: readonly string[],
  other: LabNode,
  atOther: readonly string[],
): Promise<void> {
  const ways = [
    ...atOther.map((address) => ({ from: one.pod, to: other.pod, address })),
    ...atOne.map((address) => ({ from: other.pod, to: one.pod, address })),
  ];
  for (const { from, to, address } of ways) {
    const ping = ["-n", "-c", "1", "-W", "1", address];
    await waitFor(`an answer of ${address}`, async () => (await runner.runIn(from, "ping", ping)).code === 0 || null, {
      timeoutMs: 30_000,
    });
    await runTcpCheck({ from, to, address, mebibytes: 4 });
  }
}

/** The delegate that flannel's plugin builds with its stock network list: which variables it reads, and what becomes of them. */
export async function flannelDelegate(node: LabNode): Promise<object> {
  const said = parseEnv(await readFile(labFiles.subnetFile(node), "utf8"));
  const networks = [said["FLANNEL_NETWORK"], said["FLANNEL_IPV6_NETWORK"]].filter((one) => one !== undefined);
  const subnets = [said["FLANNEL_SUBNET"], said["FLANNEL_IPV6_SUBNET"]].filter((one) => one !== undefined);
  // The plugin masks the host bits of what it read.
  const ranges = subnets.map((subnet) => [{ subnet: subnet.replace(/\.1\//, ".0/").replace("::1/", "::/") }]);
  return {
    type: "bridge",
    hairpinMode: true,
    isDefaultGateway: true,
    isGateway: true,
    ipMasq: said["FLANNEL_IPMASQ"] !== "true",
    mtu: Number(said["FLANNEL_MTU"]),
    ipam: { type: "host-local", ranges, routes: networks.map((dst) => ({ dst })) },
  };
}

export function natRules(node: LabNode): Promise<string> {
  return runner.mustIn(node.namespace, "iptables-save", ["-t", "nat"]);
}

export function cniState(node: LabNode): string {
  return join(node.directory, "cni-state");
}

async function run(
  node: LabNode,
  command: "ADD" | "DEL",
  { name, cniVersion, plugins }: NetworkList,
  programs: Readonly<Record<string, string>>,
): Promise<unknown> {
  let prevResult: unknown;
  for (const plugin of command === "ADD" ? plugins : [...plugins].reverse()) {
    const ipam = plugin.ipam === undefined ? {} : { ipam: { ...plugin.ipam, dataDir: cniState(node) } };
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
    const input = JSON.stringify({ ...plugin, ...ipam, name, cniVersion, runtimeConfig, prevResult });
    const variables = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${node.pod}`,
      `CNI_NETNS=/run/netns/${node.pod}`,
      "CNI_IFNAME=eth0",
      `CNI_PATH=${CNI_PLUGINS}`,
    ];
    const words = [...variables, programs[plugin.type] ?? join(CNI_PLUGINS, plugin.type)];
    const { code, stdout, stderr } = await runner.runIn(node.namespace, "env", words, { input });
    assert.equal(code, 0, `${plugin.type} ${command}: ${stdout}${stderr}`);
    if (command === "ADD") prevResult = JSON.parse(stdout);
  }
  return prevResult;
}

// The CNI network list that the agent writes, run by the real plugins of Debian as a runtime would: ADD on two nodes, the pods
// talk, DEL leaves nothing.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseEnv } from "node:util";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, withLab } from "../support/lab.js";

const PLUGINS = "/usr/lib/cni";
const runner = new Runner();
const skip = rootNeeded || (existsSync(join(PLUGINS, "bridge")) ? false : "needs containernetworking-plugins");

interface Plugin {
  readonly type: string;
  readonly ipam?: object;
}

interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

interface Added {
  readonly ips: ReadonlyArray<{ readonly address: string }>;
}

test("pods that CNI ADD makes on two nodes talk, and DEL leaves nothing", { skip }, () =>
  withLab({ nodes: 2 }, async (plan) => {
    const addresses: string[] = [];
    for (const node of plan.nodes) {
      // The lab's own pod makes room.
      await runner.ip(node.namespace, ["link delete pod0", "link delete cni0"]);
      const added = (await cni(node, "ADD", await writtenList(node))) as Added;
      const address = added.ips[0]?.address.split("/")[0];
      assert.ok(address !== undefined);
      addresses.push(address);
      assert.match(await show(node, "link", "show", "cni0"), /mtu 1450 /);
      assert.match(await rules(node), /--dport 8080 -j DNAT/);
    }
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    for (const [from, to, address] of [
      [one, other, addresses[1]],
      [other, one, addresses[0]],
    ] as const) {
      const ping = ["-n", "-c", "1", "-W", "1", address ?? ""];
      await waitFor("an answer", async () => (await runner.runIn(from.pod, "ping", ping)).code === 0 || null, {
        timeoutMs: 10_000,
      });
      await runTcpCheck({ from: from.pod, to: to.pod, address: address ?? "", mebibytes: 4 });
    }
    for (const node of plan.nodes) {
      await cni(node, "DEL", await writtenList(node));
      assert.doesNotMatch(await rules(node), /8080/);
      assert.doesNotMatch(await show(node, "link", "show"), /veth/);
      const kept = (await readdir(join(stateOf(node), "cbr0"))).filter((name) => /^\d/.test(name));
      assert.deepEqual(kept, [], "addresses still taken");
    }
  }),
);

test("what flannel's CNI plugin makes of our subnet.env gives dual-stack pods that talk", { skip }, () =>
  withLab({ nodes: 2, ipv6: true }, async (plan) => {
    const addresses: string[][] = [];
    for (const node of plan.nodes) {
      await runner.ip(node.namespace, ["link delete pod0", "link delete cni0"]);
      const { ips } = (await cni(node, "ADD", await flannelsList(node))) as Added;
      addresses.push(ips.map(({ address }) => address.split("/")[0] ?? ""));
      assert.equal(ips.length, 2);
      assert.match(await show(node, "link", "show", "cni0"), /mtu 1450 /);
    }
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    for (const address of addresses[1] ?? []) {
      const ping = ["-n", "-c", "1", "-W", "1", address];
      await waitFor("an answer", async () => (await runner.runIn(one.pod, "ping", ping)).code === 0 || null, {
        timeoutMs: 10_000,
      });
      await runTcpCheck({ from: one.pod, to: other.pod, address, mebibytes: 4 });
    }
    for (const node of plan.nodes) {
      await cni(node, "DEL", await flannelsList(node));
      assert.doesNotMatch(await show(node, "link", "show"), /veth/);
    }
  }),
);

async function writtenList(node: LabNode): Promise<NetworkList> {
  return JSON.parse(await readFile(labFiles.cniConfig(node), "utf8")) as NetworkList;
}

/** The delegate that the plugin builds with flannel's stock network list: which variables it reads, and what becomes of them. */
async function flannelsList(node: LabNode): Promise<NetworkList> {
  const said = parseEnv(await readFile(labFiles.subnetFile(node), "utf8"));
  const networks = [said["FLANNEL_NETWORK"], said["FLANNEL_IPV6_NETWORK"]].filter((one) => one !== undefined);
  const subnets = [said["FLANNEL_SUBNET"], said["FLANNEL_IPV6_SUBNET"]].filter((one) => one !== undefined);
  // The plugin masks the host bits of what it read.
  const ranges = subnets.map((subnet) => [{ subnet: subnet.replace(/\.1\//, ".0/").replace("::1/", "::/") }]);
  const delegate = {
    type: "bridge",
    hairpinMode: true,
    isDefaultGateway: true,
    isGateway: true,
    ipMasq: said["FLANNEL_IPMASQ"] !== "true",
    mtu: Number(said["FLANNEL_MTU"]),
    ipam: { type: "host-local", ranges, routes: networks.map((dst) => ({ dst })) },
  };
  return { name: "cbr0", cniVersion: "0.3.1", plugins: [delegate] };
}

/** What a runtime does with a network list; the address book is the node's own. */
async function cni(node: LabNode, command: "ADD" | "DEL", list: NetworkList): Promise<unknown> {
  const { name, cniVersion } = list;
  let prevResult: unknown;
  for (const plugin of command === "ADD" ? list.plugins : [...list.plugins].reverse()) {
    const ipam = plugin.ipam === undefined ? {} : { ipam: { ...plugin.ipam, dataDir: stateOf(node) } };
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
    const input = JSON.stringify({ ...plugin, ...ipam, name, cniVersion, runtimeConfig, prevResult });
    const variables = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${node.pod}`,
      `CNI_NETNS=/run/netns/${node.pod}`,
      "CNI_IFNAME=eth0",
      `CNI_PATH=${PLUGINS}`,
    ];
    const words = [...variables, join(PLUGINS, plugin.type)];
    const { code, stdout, stderr } = await runner.runIn(node.namespace, "env", words, { input });
    assert.equal(code, 0, `${plugin.type} ${command}: ${stdout}${stderr}`);
    if (command === "ADD") prevResult = JSON.parse(stdout);
  }
  return prevResult;
}

function stateOf(node: LabNode): string {
  return join(node.directory, "cni-state");
}

function show(node: LabNode, ...words: string[]): Promise<string> {
  return runner.mustIn(node.namespace, "ip", words);
}

function rules(node: LabNode): Promise<string> {
  return runner.mustIn(node.namespace, "iptables-save", ["-t", "nat"]);
}

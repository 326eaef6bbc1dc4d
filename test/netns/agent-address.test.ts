// The address of the external interface changes under a running agent: the lease says so, the subnet stays, the other nodes
// follow, and traffic flows again. Nothing of it happens while the interface has no address at all.
//   p1 - n1 (agent) - switch - n2 (agent) - p2
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, withLab } from "../support/lab.js";

const runner = new Runner();
const WITHIN = { timeoutMs: 15_000, everyMs: 50 };

test("a node's new address is followed by its lease, its device and its peers, and its subnet stays", {
  skip: rootNeeded,
}, async () => {
  await withLab({ dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const subnetFile = readFileSync(labFiles.subnetFile(one), "utf8");
    const replaced = one.underlay.replace(/\d+$/, "101");
    const { gateway, underlayPrefixLength: length } = plan;
    await ip(one, `address delete ${one.underlay}/${length} dev eth0`);
    await ip(one, "link set eth0 mtu 1400");
    assert.equal(await publicIp(one), one.underlay, "without any address the last one stays announced");
    await ip(one, `address add ${replaced}/${length} dev eth0`);
    await ip(one, `route replace default via ${gateway}`);

    await waitFor("the node to announce it", async () => (await publicIp(one)) === replaced || null, WITHIN);
    await waitFor("its peer to hear of it", async () => (await peerIp(other)) === replaced || null, WITHIN);
    await waitFor("traffic there", () => reaches(one, other), WITHIN);
    await waitFor("traffic back", () => reaches(other, one), WITHIN);
    const device = await ip(one, "-d link show flannel.1");
    assert.match(device, new RegExp(`local ${replaced} dev eth0`));
    assert.match(device, /mtu 1350 /);
    const subnetOf = (text: string) => /FLANNEL_SUBNET=.*/.exec(text)?.[0];
    await waitFor(
      "subnet.env",
      async () => readFileSync(labFiles.subnetFile(one), "utf8").includes("MTU=1350") || null,
      WITHIN,
    );
    assert.equal(subnetOf(readFileSync(labFiles.subnetFile(one), "utf8")), subnetOf(subnetFile));
    assert.doesNotMatch(await fdb(other), new RegExp(`dst ${one.underlay} `), "the old address is forgotten");
  });
});

function ip(node: LabNode, command: string): Promise<string> {
  return runner.must("ip", ["-n", node.namespace, ...command.split(" ")]);
}

function fdb(node: LabNode): Promise<string> {
  return runner.mustIn(node.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"]);
}

async function statusOf(node: LabNode) {
  const { agent } = await readNodeStatus(runPaths(join(node.directory, "run")));
  assert.ok(agent !== null);
  return agent;
}

const publicIp = async (node: LabNode) => (await statusOf(node)).network?.publicIp;
const peerIp = async (node: LabNode) => (await statusOf(node)).peers[0]?.publicIp;

async function reaches(from: LabNode, to: LabNode): Promise<true | null> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const { code } = await runner.runIn(from.pod, "ping", ["-n", "-q", "-c", "1", "-W", "1", podAddress(subnet)]);
  return code === 0 ? true : null;
}

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
import { FileStore } from "../../src/store/file/file-store.js";
import { formatIpv4 } from "../../src/addr/ipv4.js";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { rootNeeded, withLab } from "../support/lab.js";

const runner = new Runner();
const WITHIN = { timeoutMs: 30_000, everyMs: 50 };

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
    const device = async () => ip(one, "-d link show flannel.1");
    const asNow = new RegExp(`mtu 1350 [^]*local ${replaced} dev eth0`);
    await waitFor("the device as the underlay is now", async () => asNow.test(await device()) || null, {
      ...WITHIN,
      explain: device,
    });
    const subnetOf = (text: string) => /FLANNEL_SUBNET=.*/.exec(text)?.[0];
    await waitFor(
      "subnet.env",
      async () => readFileSync(labFiles.subnetFile(one), "utf8").includes("MTU=1350") || null,
      WITHIN,
    );
    assert.equal(subnetOf(readFileSync(labFiles.subnetFile(one), "utf8")), subnetOf(subnetFile));
    const forgotten = async () => !(await fdb(other)).includes(`dst ${one.underlay} `) || null;
    await waitFor("the old address to be forgotten", forgotten, WITHIN);
  });
});

test("a restart with another address keeps the subnet; a copy of the machine gets one of its own", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    const readdress = (last: number) => {
      host.ip("address flush dev eth0 scope global");
      host.ip(`address add 192.168.90.${last}/24 dev eth0`);
      host.ip("route replace default via 192.168.90.254");
    };
    await host.startAgent(["--dataplane=kernel"]);
    const [key = ""] = await host.leases();
    await host.stopAgents();
    readdress(7);
    await host.startAgent(["--dataplane=kernel"]);
    assert.deepEqual(await addressesIn(host), { [key]: "192.168.90.7" });
    assert.match(host.ip("-d link show flannel.1"), /local 192\.168\.90\.7 dev eth0/);
    await host.stopAgents();

    // As a hypervisor clones it: every file the same, and another network card.
    readdress(8);
    host.ip("link set eth0 address 02:00:00:00:90:08");
    await host.startAgent(["--dataplane=kernel"]);
    const now = await addressesIn(host);
    assert.equal(now[key], "192.168.90.7", "the original's record is its own");
    assert.deepEqual(Object.values(now).sort(), ["192.168.90.7", "192.168.90.8"]);
  });
});

/** Public IPs in the store, by subnet. */
async function addressesIn(host: AgentHost): Promise<Record<string, string>> {
  const store = new FileStore({ directory: host.storeDir });
  try {
    const { leases } = await store.listLeases(AbortSignal.timeout(5_000));
    const rows = [...leases.values()].map(({ key, attrs }) => [key, formatIpv4(attrs.publicIp ?? fail(key))]);
    return Object.fromEntries(rows) as Record<string, string>;
  } finally {
    await store.close();
  }
}

function fail(key: string): never {
  throw new Error(`${key} has no IPv4 address`);
}

function ip(node: LabNode, command: string): Promise<string> {
  return runner.must("ip", ["-n", node.namespace, ...command.split(" ")]);
}

function fdb(node: LabNode): Promise<string> {
  return runner.mustIn(node.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"]);
}

async function statusOf(node: LabNode) {
  // An agent that the machine keeps waiting does not answer within the second that status gives it.
  const asked = async () => (await readNodeStatus(runPaths(join(node.directory, "run")))).agent;
  return waitFor(`the agent of ${node.namespace} to answer`, asked, WITHIN);
}

const publicIp = async (node: LabNode) => (await statusOf(node)).network?.publicIp;
const peerIp = async (node: LabNode) => (await statusOf(node)).peers[0]?.publicIp;

async function reaches(from: LabNode, to: LabNode): Promise<true | null> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const { code } = await runner.runIn(from.pod, "ping", ["-n", "-q", "-c", "1", "-W", "1", podAddress(subnet)]);
  return code === 0 ? true : null;
}

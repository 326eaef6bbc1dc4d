// A node comes back with nothing but its state directory, while the store is away: it forwards to the peers that it remembers, says
// so, and follows the store when that is back.
//   p1 - n1 (agent, data plane; reboots) - switch - n2 (agent, data plane) - p2
import assert from "node:assert/strict";
import { readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { prefix4 } from "../../src/addr/prefix.js";
import { ipv4 } from "../../src/addr/ipv4.js";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { FileStore } from "../../src/store/file/file-store.js";
import { planeOf, rootNeeded, withLab } from "../support/lab.js";
import { ReplaceableAgent } from "../support/replaceable-agent.js";

const PATIENT = { timeoutMs: 30_000 };
/** A node that comes while this one cannot hear of it. */
const NEWCOMER = { subnet: prefix4(ipv4(0x0af4c800), 24), ipv6Subnet: null };

test("a node that reboots while the store is away forwards to the peers it remembers, and follows the store afterwards", {
  skip: rootNeeded,
}, async () => {
  const agent = new ReplaceableAgent();
  try {
    await withLab({ dataplane: "userspace" }, async (plan) => {
      const [one, other] = plan.nodes as readonly [LabNode, LabNode];
      const runner = new Runner();
      const subnets = await Promise.all(plan.nodes.map(subnetOf));
      const [, address = ""] = subnets;
      await agent.take(plan, one);
      await waitFor("the peer in the node's memory", async () => remembers(one, 2) || null, PATIENT);

      const store = labFiles.store(plan.directory);
      renameSync(store, `${store}.away`);
      await reboot(plan, one, agent, runner);
      await agent.replace(plan, one);
      const status = () => readNodeStatus(runPaths(join(one.directory, "run")));
      await waitFor(
        "a data plane that carries",
        async () => ((await runningPlane(one))?.inspection.peers === 1 ? true : null),
        PATIENT,
      );
      for (const [from, to, at] of [
        [one, other, address],
        [other, one, subnets[0] ?? ""],
      ] as const) {
        // The kernel's path is made beside the data plane.
        const answers = async () => (await runner.runIn(from.pod, "ping", ["-n", "-c", "1", "-W", "1", at])).code === 0;
        await waitFor(`${from.pod} to reach ${to.pod}`, async () => (await answers()) || null, PATIENT);
        const { lost, sink } = await runUdpLoad({
          from: from.pod,
          to: to.pod,
          address: at,
          rate: 2_000,
          packets: 1_000,
        });
        assert.deepEqual(
          [lost - sink.socket_drops, sink.corrupt, sink.duplicates],
          [0, 0, 0],
          `${from.pod} to ${to.pod}`,
        );
      }
      const away = async () => {
        const { condition, reasons } = await status();
        return (condition === "degraded" && /the store is away/.test(reasons.join())) || null;
      };
      await waitFor("the node to say that the store is away", away, PATIENT);

      await addLease(`${store}.away`);
      renameSync(`${store}.away`, store);
      await waitFor(
        "a node that came meanwhile",
        async () => ((await status()).agent?.peers.length === 2 ? true : null),
        PATIENT,
      );
      await waitFor("all to be well", async () => ((await status()).condition === "ok" ? true : null), PATIENT);
      assert.deepEqual(await Promise.all(plan.nodes.map(subnetOf)), subnets, "the subnets are the same");
    });
  } finally {
    agent.kill();
  }
});

/** Everything that a reboot takes from the node; its pods, which it takes too, are left for the test. */
async function reboot(plan: LabPlan, node: LabNode, agent: ReplaceableAgent, runner: Runner): Promise<void> {
  await agent.stop("SIGKILL");
  const plane = await planeOf(node);
  process.kill(plane.pid, "SIGKILL");
  await runner.ip(node.namespace, ["link delete flannel.1"]);
  rmSync(join(node.directory, "run"), { recursive: true });
  rmSync(labFiles.subnetFile(node));
  const left = (await runner.runIn(node.namespace, "ip", ["route", "show", "proto", "158"])).stdout;
  assert.equal(left, "", `routes of ${plan.directory} go with their device`);
}

function remembers(node: LabNode, leases: number): boolean {
  const path = join(node.directory, "state", "snapshot.json");
  try {
    return (JSON.parse(readFileSync(path, "utf8")) as { leases: unknown[] }).leases.length === leases;
  } catch {
    return false;
  }
}

async function addLease(directory: string): Promise<void> {
  const store = new FileStore({ directory });
  const backendData = { VNI: 1, VtepMAC: "02:00:00:00:02:00" };
  const attrs = { publicIp: ipv4(0xc61200c8), publicIpv6: null, backendType: "vxlan", backendData };
  const { created } = await store.createLease(NEWCOMER, attrs, null, AbortSignal.timeout(30_000));
  await store.close();
  assert.ok(created);
}

async function subnetOf(node: LabNode): Promise<string> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has a subnet`);
  return podAddress(subnet);
}

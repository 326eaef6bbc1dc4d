// Drift: what somebody breaks in the kernel's tables is repaired by events and comparison, within a second.
//   p1 - n1 (agent, kernel path) - switch - n2 - p2
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, withLab } from "../support/lab.js";

test("what somebody breaks in the kernel is repaired within a second", { skip: rootNeeded }, async (context) => {
  await withLab({ dataplane: "kernel" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const runner = new Runner();
    const address = await addressOf(other);
    const subnet = `${address.replace(/\d+$/, "0")}/24`;
    const show = async (command: string) => (await runner.runIn(one.namespace, "ip", command.split(" "))).stdout;
    const mac = /lladdr (\S+)/.exec(await show("neighbor show dev flannel.1"))?.[1] ?? "";
    const faults: ReadonlyArray<
      readonly [what: string, program: string, args: string, healed: () => Promise<boolean>]
    > = [
      ["route deleted", "ip", `route delete ${subnet}`, async () => (await show("route")).includes(subnet)],
      [
        "neighbor deleted",
        "ip",
        `neighbor delete ${subnet.split("/")[0]} dev flannel.1`,
        async () => (await show("neighbor show dev flannel.1")).includes(mac),
      ],
      [
        "FDB entry deleted",
        "bridge",
        `fdb delete ${mac} dev flannel.1 self`,
        async () =>
          (await runner.runIn(one.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"])).stdout.includes(mac),
      ],
      [
        "MTU changed",
        "ip",
        "link set flannel.1 mtu 1280",
        async () => (await show("link show flannel.1")).includes("mtu 1450"),
      ],
      [
        "device set down",
        "ip",
        "link set flannel.1 down",
        async () => /[<,]UP[,>]/.test(await show("link show flannel.1")) && (await show("route")).includes(subnet),
      ],
      ["device deleted", "ip", "link delete flannel.1", async () => (await show("route")).includes(subnet)],
    ];
    for (const [what, program, args, healed] of faults) {
      const done = await runner.runIn(one.namespace, program, args.split(" "));
      assert.equal(done.code, 0, `${what}: ${done.stderr}`);
      const begin = performance.now();
      await waitFor(`repair: ${what}`, async () => (await healed()) || null, { timeoutMs: 5_000, everyMs: 5 });
      const took = performance.now() - begin;
      context.diagnostic(`${what}: repaired in ${took.toFixed(0)} ms`);
      assert.ok(took <= 1_000, `${what}: repaired after ${took.toFixed(0)} ms`);
    }
    await runTcpCheck({ from: one.pod, to: other.pod, address, mebibytes: 1 });
  });
});

async function addressOf(node: LabNode): Promise<string> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has a subnet`);
  return podAddress(subnet);
}

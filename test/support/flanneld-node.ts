// A lab's node handed over from our agent to the real flanneld and back, as an operator swaps the program: the old one ends,
// the new one starts with the same store, interface and files. What the old one left in the kernel stays.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { agentArguments, agentName, ensureAgent } from "../../src/lab/agent-node.js";
import { findDaemon, lastLogLine, startDaemon, stopDaemon } from "../../src/lab/daemon.js";
import { lockLab } from "../../src/lab/lock.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { readSubnetFile } from "../../src/lab/pod.js";
import { retireDataplane } from "../../src/agent/dataplane-start.js";
import { runPaths } from "../../src/agent/run-dir.js";
import { labStore } from "../../src/lab/store.js";
import { createLogger } from "../../src/observe/logger.js";
import { join } from "node:path";
import { until } from "./until.js";

const flanneldName = (node: LabNode) => `flanneld${node.index}`;

/** Agent and data plane; what they made in the kernel stays. */
export async function stopRipstop(plan: LabPlan, node: LabNode): Promise<void> {
  await stopDaemon(plan.directory, agentName(node));
  await retireDataplane(
    runPaths(join(node.directory, "run")).dataplaneSocket,
    createLogger({ level: "error", destination: 2 }),
  );
}

/** `store`: flanneld's flags for it. */
export async function becomeFlanneld(
  plan: LabPlan,
  node: LabNode,
  program: string,
  store: readonly string[],
  variables: readonly string[] = [],
): Promise<void> {
  await stopRipstop(plan, node);
  const before = await readSubnetFile(labFiles.subnetFile(node));
  rmSync(labFiles.subnetFile(node), { force: true });
  const flags = ["--iface=eth0", `--subnet-file=${labFiles.subnetFile(node)}`, "--iptables-forward-rules=false"];
  const argv = ["env", ...variables, program, ...store, ...flags];
  {
    using lock = await lockLab(plan.directory);
    await startDaemon(lock, plan.directory, { name: flanneldName(node), namespace: node.namespace, argv });
  }
  await untilSubnet(plan, node, flanneldName(node));
  assert.deepEqual(await readSubnetFile(labFiles.subnetFile(node)), before, "flanneld keeps our subnet and MTU");
}

/** `store`: the flags for another store than the lab's; our agent is started anew when it runs already. */
export async function becomeRipstop(
  plan: LabPlan,
  node: LabNode,
  store?: readonly string[],
  variables: readonly string[] = [],
): Promise<void> {
  const before = await readSubnetFile(labFiles.subnetFile(node));
  await startRipstop(plan, node, store, variables);
  await untilSubnet(plan, node, agentName(node));
  assert.deepEqual(await readSubnetFile(labFiles.subnetFile(node)), before, "we keep flanneld's subnet and MTU");
}

export async function startRipstop(
  plan: LabPlan,
  node: LabNode,
  store?: readonly string[],
  variables: readonly string[] = [],
): Promise<void> {
  await stopDaemon(plan.directory, flanneldName(node));
  await stopDaemon(plan.directory, agentName(node));
  rmSync(labFiles.subnetFile(node), { force: true });
  using lock = await lockLab(plan.directory);
  if (store === undefined) {
    await ensureAgent(lock, plan, node);
    return;
  }
  const own = agentArguments(plan, node).filter((word) => !labStore(plan).agentArguments.includes(word));
  const argv = ["env", ...variables, ...own, ...store];
  await startDaemon(lock, plan.directory, { name: agentName(node), namespace: node.namespace, argv });
}

async function untilSubnet(plan: LabPlan, node: LabNode, name: string): Promise<void> {
  let ended = false;
  try {
    await until(
      `${name} has a subnet`,
      async () => {
        ended = (await findDaemon(plan.directory, name)) === null;
        return ended || (await readSubnetFile(labFiles.subnetFile(node))) !== null;
      },
      60_000,
    );
  } finally {
    if (ended) assert.fail(`${name} ended: ${await lastLogLine(plan.directory, name)}`);
  }
}

/** The link's MTU, as the node's kernel has it. */
export function deviceMtu(node: LabNode, device: string): number {
  const text = execFileSync("ip", ["-n", node.namespace, "-o", "link", "show", device], { encoding: "utf8" });
  return Number(/ mtu (\d+) /.exec(text)?.[1]);
}

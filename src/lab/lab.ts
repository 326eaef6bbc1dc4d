// Builds, repairs and removes a lab. `labUp` may be called on a lab in any state, half-built ones included; `labDown`
// removes whatever is there, also after `up` was killed. Nothing outside the lab's namespaces and folder is touched.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { RipstopError } from "../lib/errors.js";
import { agentName, agentSubnet, ensureAgent } from "./agent-node.js";
import { stopDaemon } from "./daemon.js";
import { buildKernelPeer, kernelPeerSubnet } from "./kernel-peer.js";
import { type LabLock, lockFile, lockLab, removeLockFile } from "./lock.js";
import { deleteNamespaces, ensureNamespaces, namespaceNames, processesIn, requirePrivilege } from "./namespace.js";
import { inParallel } from "./parallel.js";
import { peerUp } from "./peering.js";
import { carriesTraffic, type LabNode, type LabOptions, type LabPlan, namespacesOf, planLab } from "./plan.js";
import { awaitPlanes } from "./plane.js";
import { type NodeSubnet, connectPod } from "./pod.js";
import { identify, stopProcesses } from "./process-record.js";
import { awaitReachability } from "./reachability.js";
import { Runner } from "./runner.js";
import { readState, removeState, writeState } from "./state.js";
import { kernelPeerLease, labStore, networkConfig } from "./store.js";
import { buildSwitch, connectNode, finishFramesOnCable, prepareNamespaces } from "./underlay.js";

const GRACE_MS = 3000;

export interface LabContext {
  readonly directory: string;
  /** Told in one line what is being done. */
  readonly report: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Brings the lab to what `options` say and returns when every pod reaches the others, if the backend carries anything. */
export async function labUp(options: LabOptions, context: LabContext): Promise<LabPlan> {
  const plan = planLab(options, context.directory);
  await requirePrivilege(new Runner());
  using lock = await lockLab(context.directory);
  const runner = new Runner(lock.fd);
  const before = await readState(context.directory);
  await refuseConflicts(plan, before);
  if (before !== null) await removeSurplus(runner, before, plan);
  await writeState(context.directory, options);

  context.report(`underlay: ${plan.nodes.length} nodes on one switch`);
  await ensureNamespaces(runner, namespacesOf(plan));
  await prepareNamespaces(runner, plan);
  await buildSwitch(runner, plan);
  const finish = options.underlayPort === "xdp";
  await inParallel(plan.nodes, async (node) => {
    context.signal?.throwIfAborted();
    await connectNode(runner, plan, node);
    await finishFramesOnCable(runner, plan, node, finish);
  });

  const subnets = await startNodes(runner, lock, plan, context);
  context.report("pods: one behind cni0 on every node");
  await inParallel(plan.nodes, (node) => connectPod(runner, node, subnetOf(subnets, node)));
  for (const node of await awaitPlanes(plan, context.signal)) {
    context.report(`${node.namespace} has no data plane of its own; the kernel carries its packets`);
  }
  await peerUp(runner, plan, subnets, context.signal);
  if (!carriesTraffic(plan)) return plan;
  context.report("waiting until every pod reaches the next");
  await awaitReachability(runner, plan, subnets, context.signal);
  return plan;
}

/** Removes the lab; true when there was one. */
export async function labDown(context: LabContext): Promise<boolean> {
  await requirePrivilege(new Runner());
  if (!existsSync(context.directory) && !existsSync(lockFile(context.directory))) return false;
  using lock = await lockLab(context.directory);
  const plan = await readState(context.directory);
  if (plan !== null) {
    context.report(`removing ${plan.nodes.length} nodes`);
    await removeNodes(new Runner(lock.fd), plan, plan.nodes, [plan.switchNamespace]);
  }
  await removeState(context.directory);
  removeLockFile(context.directory);
  return plan !== null;
}

async function startNodes(
  runner: Runner,
  lock: LabLock,
  plan: LabPlan,
  context: LabContext,
): Promise<ReadonlyMap<LabNode, NodeSubnet>> {
  const agents = plan.nodes.filter((node) => node.kind === "agent");
  const peers = plan.nodes.filter((node) => node.kind === "kernel-peer");
  const subnets = new Map<LabNode, NodeSubnet>();
  for (const node of peers) {
    await buildKernelPeer(runner, node);
    subnets.set(node, kernelPeerSubnet(node));
  }
  const store = labStore(plan);
  await store.prepare(lock, networkConfig(plan), context.signal);
  for (const node of peers) await store.hold(kernelPeerLease(node));
  if (agents.length > 0) {
    context.report(
      `agents: ${agents.length}, data plane ${plan.options.dataplane}, underlay port ${plan.options.underlayPort}`,
    );
    await inParallel(agents, async (node) => {
      await mkdir(node.directory, { recursive: true });
      await ensureAgent(lock, plan, node);
    });
    for (const node of agents) subnets.set(node, await agentSubnet(plan, node, context.signal));
  }
  return subnets;
}

function subnetOf(subnets: ReadonlyMap<LabNode, NodeSubnet>, node: LabNode): NodeSubnet {
  const subnet = subnets.get(node);
  if (subnet === undefined) throw new Error(`no subnet for ${node.namespace}`);
  return subnet;
}

/** What cannot be changed under a running lab, and names that are not ours to take. */
async function refuseConflicts(plan: LabPlan, before: LabPlan | null): Promise<void> {
  if (before !== null) {
    for (const field of ["prefix", "backend", "store", "ipv6"] as const) {
      if (before.options[field] === plan.options[field]) continue;
      throw new RipstopError(
        "LAB_DIFFERENT",
        `the lab in ${plan.directory} has ${field} ${before.options[field]}, not ${plan.options[field]}; run \`ripstop lab down\` first`,
      );
    }
  }
  const ours = new Set(before === null ? [] : namespacesOf(before));
  const present = await namespaceNames();
  const taken = namespacesOf(plan).filter((name) => present.has(name) && !ours.has(name));
  if (taken.length === 0) return;
  throw new RipstopError(
    "LAB_NAME_TAKEN",
    `namespace ${taken.join(", ")} exists and does not belong to the lab in ${plan.directory}; delete it with \`ip netns delete ${taken[0]}\``,
  );
}

/** A smaller or differently made lab: nodes that the new plan lacks, or has as another kind, go first. */
async function removeSurplus(runner: Runner, before: LabPlan, plan: LabPlan): Promise<void> {
  const surplus = before.nodes.filter((node) => plan.nodes[node.index - 1]?.kind !== node.kind);
  if (surplus.length === 0) return;
  await removeNodes(runner, before, surplus, []);
  for (const node of surplus) if (node.kind === "kernel-peer") await labStore(before).release(kernelPeerLease(node));
}

async function removeNodes(
  runner: Runner,
  plan: LabPlan,
  nodes: readonly LabNode[],
  more: readonly string[],
): Promise<void> {
  // All agents of a node end before its other processes: an agent that lives would start its data plane again.
  await inParallel(nodes, (node) => stopDaemon(plan.directory, agentName(node), GRACE_MS));
  const names = [...nodes.flatMap((node) => [node.namespace, node.pod]), ...more];
  // Data planes, servers and whatever a user started inside: nobody can use a namespace that is going away.
  const living = await Promise.all((await processesIn(names)).map((pid) => identify(pid)));
  await stopProcesses(
    living.filter((identity) => identity !== null),
    GRACE_MS,
  );
  await deleteNamespaces(runner, names);
}

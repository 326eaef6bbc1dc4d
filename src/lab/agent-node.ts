// A node with an agent: starts `ripstop agent` inside the node's namespace with folders of its own, and says when the
// node has a subnet. Starting again with the same arguments leaves a running agent alone.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentFolders, variablesFor } from "../config/agent-folders.js";
import { argumentsFile, daemonDied, findDaemon, lastLogLine, startDaemon, stopDaemon } from "./daemon.js";
import type { LabLock } from "./lock.js";
import { namespaceIdentity, networkNamespaceOf } from "./namespace.js";
import { type LabNode, type LabPlan, labFiles } from "./plan.js";
import { type NodeSubnet, readSubnetFile } from "./pod.js";
import { labStore } from "./store.js";
import { waitFor } from "./wait.js";

const BIN = fileURLToPath(new URL("../../../bin", import.meta.url));
const RIPSTOP = join(BIN, "ripstop");
const SUBNET_TIMEOUT_MS = 30_000;

export function agentName(node: LabNode): string {
  return `agent${node.index}`;
}

function wireguardKey(node: LabNode): string {
  return join(node.directory, "wgkey");
}

export function agentArguments(plan: LabPlan, node: LabNode): string[] {
  const { options } = plan;
  return [
    process.execPath,
    RIPSTOP,
    "agent",
    ...labStore(plan).agentArguments,
    ...Object.entries(agentFolders(node)).map(([flag, path]) => `--${flag}=${path}`),
    `--cni-conf-file=${labFiles.cniConfig(node)}`,
    `--dataplane=${options.dataplane}`,
    `--underlay-port=${options.underlayPort}`,
    ...(options.agentFlags ?? []),
  ];
}

function agentFolders(node: LabNode): AgentFolders {
  return {
    "run-dir": join(node.directory, "run"),
    "state-dir": join(node.directory, "state"),
    "subnet-file": labFiles.subnetFile(node),
  };
}

/** Variables with which `ripstop status` and its like ask this node's agent, and find `ripstop` itself. */
export function agentEnvironment(node: LabNode, path: string): Readonly<Record<string, string>> {
  return { ...variablesFor(agentFolders(node)), PATH: `${BIN}:${path}` };
}

/** Makes the agent run as the plan says: right arguments, right namespace. */
export async function ensureAgent(lock: LabLock, plan: LabPlan, node: LabNode): Promise<void> {
  const name = agentName(node);
  // Nodes share the machine's /run, where all of them would find the same key.
  const key = plan.options.backend === "wireguard" ? ["env", `WIREGUARD_KEY_FILE=${wireguardKey(node)}`] : [];
  const argv = [...key, ...agentArguments(plan, node)];
  const running = await findDaemon(plan.directory, name);
  if (running !== null) {
    const known = await readFile(argumentsFile(plan.directory, name), "utf8").catch(() => "");
    const home = await networkNamespaceOf(running.pid);
    if (known === JSON.stringify(argv) && home === (await namespaceIdentity(node.namespace))) return;
    await stopDaemon(plan.directory, name);
  }
  await mkdir(node.directory, { recursive: true });
  await startDaemon(lock, plan.directory, { name, namespace: node.namespace, argv });
  await writeFile(argumentsFile(plan.directory, name), JSON.stringify(argv));
}

/** Resolves when the agent has written its subnet file; rejects at once when the agent ended instead. */
export async function agentSubnet(plan: LabPlan, node: LabNode, signal?: AbortSignal): Promise<NodeSubnet> {
  const name = agentName(node);
  const ask = async (): Promise<NodeSubnet | null> => {
    const subnet = await readSubnetFile(labFiles.subnetFile(node));
    if (subnet === null && (await findDaemon(plan.directory, name)) === null) {
      throw daemonDied(plan.directory, name, await lastLogLine(plan.directory, name));
    }
    return subnet;
  };
  return waitFor(`a subnet of ${node.namespace}`, ask, {
    timeoutMs: SUBNET_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
    explain: () => lastLogLine(plan.directory, name),
    remedy: `see ${labFiles.log(plan.directory, name)}`,
  });
}

// Programs inside a lab's namespaces, and our own commands as an operator of that node would type them.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { agentName } from "../../src/lab/agent-node.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { until } from "./until.js";

export const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function inNamespace(namespace: string, ...argv: readonly string[]): Finished {
  return spawnSync("ip", ["netns", "exec", namespace, ...argv], { encoding: "utf8", timeout: 60_000 });
}

/** A program that must succeed; its standard output. */
export function must(namespace: string, command: string): string {
  const { status, stdout, stderr } = inNamespace(namespace, ...command.split(" "));
  if (status !== 0) throw new Error(`${command} in ${namespace}: exit code ${status}: ${stderr}`);
  return stdout;
}

/** Where this node's agent keeps its things, as the options of our commands. */
export function whereabouts(node: LabNode): string[] {
  return [
    `--run-dir=${join(node.directory, "run")}`,
    `--state-dir=${join(node.directory, "state")}`,
    `--subnet-file=${labFiles.subnetFile(node)}`,
  ];
}

/** The address of a node's pod. */
export function podOf(node: LabNode): string {
  const subnet = /FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.1/.exec(readFileSync(labFiles.subnetFile(node), "utf8"))?.[1];
  return `${subnet}.2`;
}

/** `ripstop ...` on a node. */
export function ripstop(node: LabNode, ...args: readonly string[]): Finished {
  return inNamespace(node.namespace, process.execPath, RIPSTOP, ...args);
}

/** Starts `ripstop ...` on a node and collects what it says. */
export function startRipstop(
  node: LabNode,
  ...args: readonly string[]
): { child: ChildProcess; out: Buffer[]; err: () => string } {
  const child = spawn("ip", ["netns", "exec", node.namespace, process.execPath, RIPSTOP, ...args]);
  const out: Buffer[] = [];
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  return { child, out, err: () => err };
}

/** Ends a node's agent at once; its data plane goes on. */
export async function killAgent(plan: LabPlan, node: LabNode): Promise<void> {
  const agent = await findDaemon(plan.directory, agentName(node));
  if (agent === null) throw new Error(`${node.namespace} has no agent`);
  process.kill(agent.pid, "SIGKILL");
  await until("the agent is gone", async () => (await findDaemon(plan.directory, agentName(node))) === null);
}

/** Once it has ended and all that it said has been read: on a busy machine its last words come after its end. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  const runs = child.exitCode === null && child.signalCode === null;
  if (runs || [child.stdout, child.stderr].some((stream) => stream?.closed === false))
    await new Promise((resolve) => child.once("close", resolve));
  return child.exitCode;
}

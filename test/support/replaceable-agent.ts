// The agent of a lab node, taken over from the lab, which would start it again by itself and in its own version. Ends with its owner.
import { type ChildProcess, spawn } from "node:child_process";
import { agentArguments, agentName } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";

export class ReplaceableAgent {
  #child: ChildProcess | null = null;

  /** From the lab; the same one goes on. */
  async take(plan: LabPlan, node: LabNode): Promise<void> {
    await stopDaemon(plan.directory, agentName(node));
    await this.replace(plan, node);
  }

  /** By the one of `program`; the lab's when that is absent. */
  async replace(plan: LabPlan, node: LabNode, program?: string): Promise<void> {
    await this.stop();
    const [node20, ripstop, ...args] = agentArguments(plan, node) as [string, string, ...string[]];
    this.#child = spawn("ip", ["netns", "exec", node.namespace, node20, program ?? ripstop, ...args], {
      stdio: "ignore",
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await ended;
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }
}

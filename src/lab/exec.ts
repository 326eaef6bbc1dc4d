// Runs a command inside a pod or node of a lab with our own terminal, and passes its exit code on. In a node, ripstop's commands
// ask that node's agent without being told where it is.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { processEnvironment } from "../config/process-environment.js";
import { RipstopError } from "../lib/errors.js";
import { agentEnvironment } from "./agent-node.js";
import { namespaceIdentity } from "./namespace.js";
import { namespacesOf } from "./plan.js";
import { readState } from "./state.js";

/** `name` is a namespace of the lab, with or without the lab's prefix: rs-p1 or p1. */
export async function labExec(directory: string, name: string, argv: readonly string[]): Promise<number> {
  const plan = await readState(directory);
  if (plan === null) throw noLab(directory);
  const names = namespacesOf(plan);
  const namespace = [name, `${plan.options.prefix}${name}`].find((candidate) => names.includes(candidate));
  if (namespace === undefined) {
    throw new RipstopError(
      "LAB_NO_SUCH_POD",
      `the lab has no ${name}; it has ${names.slice(1).join(", ")} and ${names[0]}`,
    );
  }
  if ((await namespaceIdentity(namespace)) === null) {
    throw new RipstopError("LAB_BROKEN", `namespace ${namespace} is gone; repair the lab with \`ripstop lab up\``);
  }
  const node = plan.nodes.find((candidate) => candidate.namespace === namespace);
  const given = processEnvironment();
  const env = node === undefined ? given : { ...given, ...agentEnvironment(node, given["PATH"] ?? "") };
  const child = spawn("ip", ["netns", "exec", namespace, ...argv], { stdio: "inherit", env });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

export function noLab(directory: string): RipstopError {
  return new RipstopError("LAB_NOT_THERE", `there is no lab in ${directory}; start one with \`ripstop lab up\``, {
    exitCode: 2,
  });
}

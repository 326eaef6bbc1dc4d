// The lease store of a lab: a folder that all agents share, or one etcd on the switch. Network namespaces share the file
// system, so the folder needs no server.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LabPlan, labFiles } from "./plan.js";

/** The network configuration every agent of this lab reads, in flannel's form. */
export function networkConfig(plan: LabPlan): string {
  const { options } = plan;
  const backend: Record<string, unknown> = { Type: options.backend };
  if (options.disable.length > 0) backend.DataPlane = { Disable: options.disable };
  return JSON.stringify({ Network: plan.network, Backend: backend }, null, 2);
}

export function storeArguments(plan: LabPlan): string[] {
  return ["--store=file", `--store-dir=${labFiles.store(plan.directory)}`];
}

/** Puts the network configuration where the agents look for it. */
export async function prepareStore(plan: LabPlan): Promise<void> {
  const folder = labFiles.store(plan.directory);
  await mkdir(folder, { recursive: true });
  const path = join(folder, "config");
  await writeFile(`${path}.new`, networkConfig(plan));
  await rename(`${path}.new`, path);
}

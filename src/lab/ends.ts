// Where traffic goes: the pod that sends, the pod that receives, and the receiver's address.
import { RipstopError } from "../lib/errors.js";
import { labFiles, type LabNode, type LabPlan } from "./plan.js";
import { podAddress, readSubnetFile } from "./pod.js";

export interface Ends {
  readonly from: string;
  readonly to: string;
  readonly address: string;
}

/** From the first node's pod to the second's. */
export async function endsOf(plan: LabPlan): Promise<Ends> {
  const [one, other] = plan.nodes;
  if (one === undefined || other === undefined) throw new Error("traffic needs a lab of two nodes");
  return between(one, other);
}

/** The same two pods, the other way round. */
export async function endsBack(plan: LabPlan): Promise<Ends> {
  const [one, other] = plan.nodes;
  if (one === undefined || other === undefined) throw new Error("traffic needs a lab of two nodes");
  return between(other, one);
}

async function between(one: LabNode, other: LabNode): Promise<Ends> {
  const subnet = await readSubnetFile(labFiles.subnetFile(other));
  if (subnet === null) throw new RipstopError("LAB_BROKEN", `${other.namespace} has no subnet; run \`ripstop lab up\``);
  return { from: one.pod, to: other.pod, address: podAddress(subnet) };
}

// Does every pod reach the next one, in a ring? That is when a lab is up.
import { inParallel } from "./parallel.js";
import type { LabNode, LabPlan } from "./plan.js";
import { type NodeSubnet, podAddress, podAddressV6 } from "./pod.js";
import type { Runner } from "./runner.js";
import { waitFor } from "./wait.js";

const REACH_TIMEOUT_MS = 30_000;

export interface Reach {
  readonly from: LabNode;
  readonly to: LabNode;
  readonly reached: boolean;
}

/** One ping from every pod to the next, in each family they have. Nodes without a subnet are neither asked nor asked for. */
export async function probeRing(runner: Runner, subnets: ReadonlyMap<LabNode, NodeSubnet>): Promise<Reach[]> {
  const ring = [...subnets];
  if (ring.length < 2) return [];
  const pairs = ring.map(([from], at) => {
    const [to, subnet] = ring[(at + 1) % ring.length] as [LabNode, NodeSubnet];
    return { from, to, addresses: [podAddress(subnet), podAddressV6(subnet)].filter((address) => address !== null) };
  });
  return inParallel(pairs, async ({ from, to, addresses }) => {
    const ping = (address: string) => runner.runIn(from.pod, "ping", ["-n", "-q", "-c", "1", "-W", "1", address]);
    const results = await Promise.all(addresses.map(ping));
    return { from, to, reached: results.every(({ code }) => code === 0) };
  });
}

export async function awaitReachability(
  runner: Runner,
  plan: LabPlan,
  subnets: ReadonlyMap<LabNode, NodeSubnet>,
  signal?: AbortSignal,
): Promise<void> {
  let missing: readonly Reach[] = [];
  const ask = async (): Promise<true | null> => {
    missing = (await probeRing(runner, subnets)).filter((reach) => !reach.reached);
    return missing.length === 0 ? true : null;
  };
  await waitFor("all pods to reach each other", ask, {
    timeoutMs: REACH_TIMEOUT_MS,
    everyMs: 50,
    ...(signal === undefined ? {} : { signal }),
    explain: async () => missing.map(({ from, to }) => `${from.pod} does not reach ${to.pod}`).join(", "),
    remedy: `see the logs in ${plan.directory}/log`,
  });
}

// Checks of the store beyond what the agent says of it: every endpoint by itself, its clock, and how long our lease still holds.
import type { NodeStatus } from "../agent/node-status.js";
import type { AgentOptions } from "../config/options.js";
import type { EndpointLook } from "../store/etcd/endpoint-look.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";

/** A write per lease and day does not need more; elections begin at a second. */
const SLOW_MS = 250;
const SKEW_MS = 2_000;
const LEASE_SHORT_MS = 1_800_000;
const KUBE_MS = 3_000;

/** One finding an endpoint. */
export async function checkDatastore(options: AgentOptions | string | null): Promise<Finding[]> {
  if (options === null) return [skip("datastore", "needs a running agent")];
  if (typeof options === "string") return [skip("datastore", options)];
  try {
    if (options.store === "etcd") {
      const { lookAtEndpoints } = await import("../store/etcd/endpoint-look.js");
      return (await lookAtEndpoints(options.etcd)).map(judgeEndpoint);
    }
    if (options.store === "kube") return [await askKubernetes(options)];
    return [ok("datastore", `${options.storeDir}, a directory of this machine`)];
  } catch (error) {
    return [unreachable("datastore", error instanceof Error ? error.message : String(error))];
  }
}

export function judgeEndpoint({ endpoint, version, latencyMs, role, skewMs, failure }: EndpointLook): Finding {
  const facts = [
    version === null ? null : `etcd ${version}`,
    role,
    latencyMs === null ? null : `${latencyMs.toFixed(1)} ms`,
    clock(skewMs),
  ].filter((one) => one !== null);
  const shown = `${endpoint}: ${facts.join(", ") || "no answer"}`;
  if (failure !== null) return unreachable(shown, failure);
  if (role === "no leader") {
    return fail(
      "datastore",
      shown,
      "this member has lost its quorum: it can neither renew leases nor tell of new ones",
      "bring the other members back, or remove this one from -etcd-endpoints",
    );
  }
  if (latencyMs !== null && latencyMs > SLOW_MS) {
    return warn(
      "datastore",
      shown,
      "changes reach this node late, and leases may not be renewed in time",
      "look at etcd's disk and network (etcdctl check perf); it needs a disk of its own",
    );
  }
  return judgeClock(shown, skewMs);
}

function unreachable(shown: string, failure: string): Finding {
  const refused = /auth|permission|password|user/i.test(failure);
  return fail(
    "datastore",
    `${shown} (${failure})`,
    refused
      ? "it does not let this node in"
      : "the agent cannot use it; with no other endpoint left, nodes go unnoticed",
    refused
      ? "check -etcd-username and -etcd-password, or the role of the client certificate"
      : "start it, open the way to its port, or take it out of -etcd-endpoints",
  );
}

function judgeClock(shown: string, skewMs: number | null): Finding {
  if (skewMs === null || Math.abs(skewMs) < SKEW_MS) return ok("datastore", shown);
  return warn(
    "datastore",
    shown,
    "certificates may count as not yet or no longer valid, and log lines of two machines cannot be compared",
    "keep both machines' clocks by NTP (timedatectl set-ntp true; chronyc tracking)",
  );
}

function clock(skewMs: number | null): string | null {
  if (skewMs === null) return null;
  if (Math.abs(skewMs) < SKEW_MS) return "clock as here";
  return `clock ${(Math.abs(skewMs) / 1000).toFixed(0)} s ${skewMs > 0 ? "ahead of" : "behind"} ours`;
}

async function askKubernetes({ kube }: AgentOptions): Promise<Finding> {
  const { KubeHttpApi } = await import("../store/kube/http-api.js");
  const { skewOf } = await import("../store/etcd/endpoint-look.js");
  const api = await KubeHttpApi.open(kube);
  try {
    const sentMs = Date.now();
    const startMs = performance.now();
    const { version, date } = await api.version(AbortSignal.timeout(KUBE_MS));
    const latencyMs = performance.now() - startMs;
    const skewMs = skewOf(date, sentMs, Date.now());
    const facts = [`Kubernetes ${version}`, `${latencyMs.toFixed(1)} ms`, clock(skewMs)].filter((one) => one !== null);
    return judgeClock(`${api.describe()}: ${facts.join(", ")}`, skewMs);
  } finally {
    api.close();
  }
}

export function checkLease({ agent }: NodeStatus): Finding {
  if (agent === null) return skip("lease", "needs a running agent");
  const { leaseExpiresInMs: ms, network } = agent;
  const subnets = [network?.subnet, network?.ipv6Subnet].filter((one) => one != null).join(" and ") || "none yet";
  if (ms === null) return ok("lease", `${subnets}, does not run out`);
  const shown = `${subnets}, runs out in ${(ms / 3_600_000).toFixed(1)} h`;
  if (ms > LEASE_SHORT_MS) return ok("lease", `${shown} unless renewed`);
  return fail(
    "lease",
    shown,
    "it should have been renewed; once it has run out the others drop their routes to this node, and its subnet may go to another",
    "make the store answer (see store, datastore); the agent renews by itself",
  );
}

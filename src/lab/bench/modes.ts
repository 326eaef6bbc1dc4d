// How much is measured: everything, or enough for a first look. Pure.
import { RipstopError } from "../../lib/errors.js";
import { AUTO, CLASSIC, KERNEL, OUR_UDP, RIVALS, type Rival } from "./rivals.js";
import { type Pace, type Workload, WORKLOADS } from "./workloads.js";

export interface BenchMode {
  readonly name: string;
  readonly trials: number;
  readonly interop: boolean;
  readonly rivals: readonly Rival[];
  readonly workloads: readonly Workload[];
  readonly pace: Omit<Pace, "steadyRate" | "starts">;
}

const QUICK_RIVALS = [KERNEL, AUTO, OUR_UDP, CLASSIC];
const QUICK_WORKLOADS = ["tcp-1", "tcp-8", "udp-64-16", "steady", "rr-tcp"];

export interface BenchChoice {
  readonly quick: boolean;
  readonly trials?: number;
  /** Ids; absent: all that the mode has. */
  readonly rivals?: readonly string[];
  readonly workloads?: readonly string[];
}

export function benchMode(choice: BenchChoice): BenchMode {
  const partial = choice.rivals !== undefined || choice.workloads !== undefined;
  const rivals = pick("rival", RIVALS, choice.rivals ?? (choice.quick ? QUICK_RIVALS : undefined));
  const workloads = pick("workload", WORKLOADS, choice.workloads ?? (choice.quick ? QUICK_WORKLOADS : undefined));
  return {
    name: (choice.quick ? "quick" : "full") + (partial ? ", in part" : ""),
    trials: choice.trials ?? (choice.quick ? 2 : 5),
    interop: true,
    rivals,
    workloads,
    pace: choice.quick
      ? { tcpSeconds: 1, probeMs: 250, steadyMs: 1000, requestMs: 500 }
      : { tcpSeconds: 2, probeMs: 250, steadyMs: 1500, requestMs: 800 },
  };
}

function pick<T extends { readonly id: string }>(
  kind: string,
  all: readonly T[],
  ids: readonly string[] | undefined,
): readonly T[] {
  if (ids === undefined) return all;
  const unknown = ids.find((id) => !all.some((one) => one.id === id));
  if (unknown !== undefined) {
    const known = all.map(({ id }) => id).join(", ");
    throw new RipstopError("BENCH_UNKNOWN", `there is no ${kind} '${unknown}'; choose from ${known}`, { exitCode: 64 });
  }
  return all.filter(({ id }) => ids.includes(id));
}

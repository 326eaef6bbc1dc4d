// What the runs say together: medians and quartiles, what the generator cost, and the figures that have to hold. Pure.
import { median, quantile } from "../median.js";
import type { BenchResult, BenchRun } from "./result.js";
import { AUTO, CLASSIC, KERNEL, NULL_PATH, OUR_UDP } from "./rivals.js";
import { SMALL_SEARCH } from "./workloads.js";

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** Null when the rival has no run of this workload with this figure. */
export function spreadOf(
  result: BenchResult,
  rival: string,
  workload: string,
  figure: (run: BenchRun) => number | undefined,
): Spread | null {
  const values = result.runs
    .filter((run) => run.rival === rival && run.workload === workload)
    .map(figure)
    .filter((value) => value !== undefined);
  if (values.length === 0) return null;
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75), count: values.length };
}

export function figureOf(result: BenchResult, rival: string, workload: string, name: string): Spread | null {
  return spreadOf(result, rival, workload, (run) => run.values[name]);
}

/** Microseconds of CPU that a packet cost the whole machine, less what generator and sink cost on the null path. */
export function cpuPerPacket(
  result: BenchResult,
  rival: string,
  part: "busy" | "user" | "system" | "softirq" = "busy",
) {
  const nothing = spreadOf(result, NULL_PATH, "steady", (run) => perPacket(run, part));
  return spreadOf(result, rival, "steady", (run) => {
    const whole = perPacket(run, part);
    return whole === undefined || nothing === null ? undefined : whole - nothing.median;
  });
}

/** Of the time the packets were sent in: the run is longer, by the start and end of its programs. */
function perPacket(run: BenchRun, part: "busy" | "user" | "system" | "softirq"): number | undefined {
  const packets = run.values["packets"];
  return packets === undefined || packets === 0 ? undefined : (run.cpu[part] * run.cpu.seconds * 1e6) / packets;
}

/** Core seconds for each gigabit, generator included: iperf3 needs a stack that a bare cable does not compare with. */
export function cpuPerGigabit(result: BenchResult, rival: string, workload: string): Spread | null {
  return spreadOf(result, rival, workload, (run) => {
    const gbps = run.values["gbps"];
    return gbps === undefined || gbps === 0 ? undefined : run.cpu.busy / gbps;
  });
}

export interface Claim {
  readonly figure: string;
  readonly bar: number;
  readonly aim: number;
  readonly atLeast: boolean;
  /** Null when a rival or workload was not part of the run. */
  readonly value: number | null;
  readonly holds: boolean | null;
}

export function claims(result: BenchResult): readonly Claim[] {
  const ratio = (ours: string, theirs: string, workload: string, name: string): number | null =>
    divide(figureOf(result, ours, workload, name), figureOf(result, theirs, workload, name));
  const small = (theirs: string) => ratio(AUTO, theirs, SMALL_SEARCH, "kpps");
  const rows: ReadonlyArray<readonly [string, number, number, boolean, number | null]> = [
    ["TCP 1 stream, auto / kernel VXLAN", 0.65, 1, true, ratio(AUTO, KERNEL, "tcp-1", "gbps")],
    ["TCP 1 stream, auto / classic proxy", 8, 12, true, ratio(AUTO, CLASSIC, "tcp-1", "gbps")],
    ["TCP 8 streams, auto / kernel VXLAN", 0.65, 1, true, ratio(AUTO, KERNEL, "tcp-8", "gbps")],
    ["64 B UDP, 16 flows, rate under 0.5 % loss, auto / kernel VXLAN", 1, 1.5, true, small(KERNEL)],
    ["64 B UDP, 16 flows, rate under 0.5 % loss, auto / classic proxy", 2.5, 4, true, small(CLASSIC)],
    [
      "CPU a packet at half of kernel VXLAN's rate, auto / kernel VXLAN",
      1.3,
      1,
      false,
      divide(cpuPerPacket(result, AUTO), cpuPerPacket(result, KERNEL)),
    ],
    ["TCP request/response p50, auto / kernel VXLAN", 2, 1, false, ratio(AUTO, KERNEL, "rr-tcp", "p50")],
    ["TCP request/response p99, auto / kernel VXLAN", 3, 1, false, ratio(AUTO, KERNEL, "rr-tcp", "p99")],
    ["TCP 1 stream, our udp / classic proxy", 7, 10, true, ratio(OUR_UDP, CLASSIC, "tcp-1", "gbps")],
  ];
  return rows.map(([figure, bar, aim, atLeast, value]) => ({
    figure,
    bar,
    aim,
    atLeast,
    value,
    holds: value === null ? null : atLeast ? value >= bar : value <= bar,
  }));
}

function divide(above: Spread | null, below: Spread | null): number | null {
  return above === null || below === null || !(below.median > 0) ? null : above.median / below.median;
}

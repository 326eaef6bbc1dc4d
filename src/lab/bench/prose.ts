// What a reader has to know to judge the figures: the conditions of this run, and how all runs are made. Pure.
import { median } from "../median.js";
import type { BenchResult } from "./result.js";

export const METHOD: readonly string[] = [
  "All rivals stand ready in labs of their own (network namespaces on one machine, veth cables, MTU 1500) and take turns within each workload; every trial starts with another rival.",
  "Before any figure every path carries streams that are compared byte by byte and packets that are numbered and sealed, both ways, and our nodes talk to a kernel VXLAN peer. A damaged byte ends the benchmark.",
  "Figures are medians of all trials; quartiles stand in parentheses. Ratios compare with kernel VXLAN of the same run. Absolute figures belong to this machine.",
  "The rate of UDP is searched: up while at most 0.5 % is lost, then halving the distance; loss counts what the receiver's program did not get, for whatever reason.",
  "CPU is the whole machine's: everything that was not idle or stolen. Its split into user, system and softirq is sampled by the kernel's clock tick. What the same generator and sink cost on a bare cable is subtracted from the cost of a packet.",
  "Sender, receiver, both nodes and the network share the machine's cores. The kernel's path runs within the sender's own time; a path in user space needs a core besides.",
  "Our data plane runs with default options unless a row says that a port was forced.",
];

export function conditions(result: BenchResult): string[] {
  const { machine } = result;
  const steal = median(result.runs.map((run) => run.cpu.steal));
  const worst = Math.max(...result.runs.map((run) => run.cpu.steal), 0);
  return [
    `${result.startedAt}, ${result.mode} run of ${result.trials} trials in ${result.seconds} s, version ${result.version}, commit ${result.commit}`,
    `${machine.cores} cores, ${machine.cpu}${machine.hypervisor ? ", virtual machine" : ""}, ${machine.memoryMiB} MiB, idle governor ${machine.idleGovernor}`,
    `Linux ${machine.kernel}, Node ${machine.node}; load average before: ${machine.loadAverage.toFixed(2)}, busy before: ${machine.busyBefore.toFixed(2)} cores`,
    `steal: ${steal.toFixed(3)} cores in the median run, ${worst.toFixed(3)} in the worst`,
  ];
}

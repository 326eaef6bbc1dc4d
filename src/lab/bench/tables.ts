// The tables of every report: which figure of which workload, rivals as rows. Pure.
import type { BenchResult } from "./result.js";
import { KERNEL } from "./rivals.js";
import { claims, cpuPerGigabit, cpuPerPacket, type Spread, figureOf } from "./summary.js";

export interface Figure {
  readonly title: string;
  /** Workload ids in columns; for each, one cell a rival. */
  readonly columns: ReadonlyArray<{ readonly heading: string; readonly workload: string }>;
  readonly of: (result: BenchResult, rival: string, workload: string) => Spread | null;
  readonly digits: number;
  readonly unit: string;
  /** Ratios against kernel VXLAN beside the figures. */
  readonly ratio: boolean;
}

const value =
  (name: string): Figure["of"] =>
  (result, rival, workload) =>
    figureOf(result, rival, workload, name);

const TCP_COLUMNS = [
  { heading: "1 stream", workload: "tcp-1" },
  { heading: "1 back", workload: "tcp-1-back" },
  { heading: "8 streams", workload: "tcp-8" },
  { heading: "8 back", workload: "tcp-8-back" },
];
const UDP_COLUMNS = [
  ...[64, 512, 1400].flatMap((size) =>
    [1, 16, 1024].map((flows) => ({ heading: `${size} B x ${flows}`, workload: `udp-${size}-${flows}` })),
  ),
  { heading: "64 B GSO", workload: "udp-gso" },
];
const REQUEST_COLUMNS = [
  { heading: "TCP idle", workload: "rr-tcp" },
  { heading: "UDP idle", workload: "rr-udp" },
  { heading: "TCP loaded", workload: "rr-tcp-loaded" },
  { heading: "UDP loaded", workload: "rr-udp-loaded" },
];
const STEADY = [{ heading: "all", workload: "steady" }];
const MIX = [{ heading: "mix", workload: "mix" }];

export const FIGURES: readonly Figure[] = [
  { title: "TCP throughput", columns: TCP_COLUMNS, of: value("gbps"), digits: 2, unit: "Gb/s", ratio: true },
  {
    title: "CPU for each gigabit, iperf3 included",
    columns: TCP_COLUMNS,
    of: cpuPerGigabit,
    digits: 3,
    unit: "core seconds",
    ratio: true,
  },
  {
    title: "UDP, highest rate with at most 0.5 % lost",
    columns: UDP_COLUMNS,
    of: value("kpps"),
    digits: 0,
    unit: "kpps",
    ratio: true,
  },
  {
    title: "UDP, highest rate with nothing lost",
    columns: UDP_COLUMNS,
    of: value("kppsNoLoss"),
    digits: 0,
    unit: "kpps",
    ratio: true,
  },
  {
    title: "CPU a packet, 64 B UDP at half of kernel VXLAN's rate, generator subtracted",
    columns: STEADY,
    of: (result, rival) => cpuPerPacket(result, rival),
    digits: 2,
    unit: "us",
    ratio: true,
  },
  ...(["user", "system", "softirq"] as const).map(
    (part): Figure => ({
      title: `of it ${part}`,
      columns: STEADY,
      of: (result, rival) => cpuPerPacket(result, rival, part),
      digits: 2,
      unit: "us",
      ratio: false,
    }),
  ),
  ...(["p50", "p99", "p999"] as const).map(
    (name): Figure => ({
      title: `request/response, ${name}`,
      columns: REQUEST_COLUMNS,
      of: value(name),
      digits: 0,
      unit: "us",
      ratio: true,
    }),
  ),
  {
    title: "one way, 64 B UDP at half of kernel VXLAN's rate, p50",
    columns: STEADY,
    of: value("p50"),
    digits: 0,
    unit: "us",
    ratio: false,
  },
  {
    title: "TCP connections a second, one after the other",
    columns: [{ heading: "rate", workload: "rr-connect" }],
    of: value("rate"),
    digits: 0,
    unit: "1/s",
    ratio: true,
  },
  { title: "two-way mix, TCP out", columns: MIX, of: value("gbps"), digits: 2, unit: "Gb/s", ratio: true },
  { title: "two-way mix, UDP back, p99", columns: MIX, of: value("p99"), digits: 0, unit: "us", ratio: true },
];

/** Heading and one row a rival; only columns that were measured. A cell is "median (quartiles)" and the ratio. */
export function figureRows(result: BenchResult, figure: Figure, spread = false): string[][] {
  const columns = figure.columns.filter(({ workload }) =>
    result.rivals.some(({ id }) => figure.of(result, id, workload) !== null),
  );
  if (columns.length === 0) return [];
  const heading = ["rival"];
  for (const column of columns) {
    heading.push(columns.length === 1 ? figure.unit : `${column.heading}, ${figure.unit}`);
    if (figure.ratio) heading.push("ratio");
  }
  const rows = result.rivals.map(({ id, name }) => [
    name,
    ...columns.flatMap(({ workload }) => {
      const own = figure.of(result, id, workload);
      const kernel = figure.of(result, KERNEL, workload);
      const ratio =
        own === null || kernel === null || !(kernel.median > 0) ? "-" : fixed(own.median / kernel.median, 2);
      return figure.ratio ? [cell(own, figure.digits, spread), ratio] : [cell(own, figure.digits, spread)];
    }),
  ]);
  return [heading, ...rows];
}

export function claimRows(result: BenchResult): string[][] {
  const rows = claims(result).map((claim) => [
    claim.figure,
    claim.value === null ? "-" : fixed(claim.value, 2),
    `${claim.atLeast ? ">=" : "<="} ${claim.bar}`,
    String(claim.aim),
    claim.holds === null ? "not measured" : claim.holds ? "yes" : "NO",
  ]);
  return [["figure", "measured", "bar", "aim", "holds"], ...rows];
}

function cell(spread: Spread | null, digits: number, withSpread: boolean): string {
  if (spread === null) return "-";
  const middle = fixed(spread.median, digits);
  return withSpread ? `${middle} (${fixed(spread.low, digits)}-${fixed(spread.high, digits)})` : middle;
}

function fixed(number: number, digits: number): string {
  return Number.isFinite(number) ? number.toFixed(digits) : "-";
}

// The one file a benchmark leaves behind, bench/results/NAME.json: every run of every trial, so that tables, pages and
// plots can be made from it again. Pure: the schema and its reader.
import { z } from "zod";
import { RipstopError } from "../../lib/errors.js";

const cpuSchema = z.object({
  /** Cores' worth, whole machine. */
  busy: z.number(),
  user: z.number(),
  system: z.number(),
  softirq: z.number(),
  steal: z.number(),
  seconds: z.number(),
});

const runSchema = z.object({
  trial: z.number().int(),
  rival: z.string(),
  workload: z.string(),
  values: z.record(z.string(), z.number()),
  /** Loss over rate, or latency over share, for plots. */
  curve: z.array(z.tuple([z.number(), z.number()])).optional(),
  cpu: cpuSchema,
});

const machineSchema = z.object({
  cpu: z.string(),
  cores: z.number(),
  memoryMiB: z.number(),
  kernel: z.string(),
  hypervisor: z.boolean(),
  idleGovernor: z.string(),
  node: z.string(),
  loadAverage: z.number(),
  /** Cores that others kept busy when the rivals stood ready and nothing was sent. */
  busyBefore: z.number(),
});

export const resultSchema = z.object({
  schema: z.literal(1),
  startedAt: z.string(),
  seconds: z.number(),
  mode: z.string(),
  version: z.string(),
  commit: z.string(),
  machine: machineSchema,
  trials: z.number().int(),
  rivals: z.array(z.object({ id: z.string(), name: z.string(), what: z.string(), carriers: z.array(z.string()) })),
  workloads: z.array(z.object({ id: z.string(), title: z.string() })),
  checks: z.array(z.object({ what: z.string(), detail: z.string() })),
  runs: z.array(runSchema),
});

export type BenchResult = z.infer<typeof resultSchema>;
export type BenchRun = z.infer<typeof runSchema>;
export type Machine = z.infer<typeof machineSchema>;
export type CpuShare = z.infer<typeof cpuSchema>;

export function parseResult(text: string, path: string): BenchResult {
  let value: unknown = null;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below, with the reason that the schema gives.
  }
  const parsed = resultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new RipstopError(
    "BENCH_RESULT_INVALID",
    `${path} is no benchmark result: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}; run \`ripstop bench\` again`,
  );
}

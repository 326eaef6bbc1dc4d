// What a data plane says of itself as JSON carries it, for readers that load no schema library (docs/decisions/0112). Pure: one
// entry for every field there is, so that the compiler asks for a new one.
import type { Inspection, PathMtuReport, PortReport, WorkerReport } from "./binding.js";

/** Numbers that may exceed 2^53 as strings, infinity as null. */
export type SentInspection = Readonly<Record<string, unknown>>;

const FIELDS: { readonly [Field in keyof Inspection]: (sent: never) => Inspection[Field] } = {
  running: (sent: boolean) => sent,
  tableVersion: (sent: string) => BigInt(sent),
  peers: (sent: number) => sent,
  ports: (sent: readonly PortReport[]) => sent.map((port) => ({ ...port, rxKernelDrops: BigInt(port.rxKernelDrops) })),
  steering: (sent: string) => sent,
  heartbeatAgeMs: (sent: number | null) => sent ?? Number.POSITIVE_INFINITY,
  workers: (sent: number) => sent,
  framesTotal: (sent: number) => sent,
  framesFree: (sent: number) => sent,
  perWorker: (sent: readonly WorkerReport[]) => sent.map((worker) => mapDrops(worker, BigInt)),
  pathMtu: (sent: PathMtuReport) => ({ ...sent, heard: BigInt(sent.heard), learned: BigInt(sent.learned) }),
};

export function sendInspection(inspection: Inspection): SentInspection {
  const { tableVersion, ports, heartbeatAgeMs, perWorker, pathMtu } = inspection;
  return {
    ...inspection,
    tableVersion: tableVersion.toString(),
    ports: ports.map((port) => ({ ...port, rxKernelDrops: port.rxKernelDrops.toString() })),
    perWorker: perWorker.map((worker) => mapDrops(worker, String)),
    heartbeatAgeMs: Number.isFinite(heartbeatAgeMs) ? heartbeatAgeMs : null,
    pathMtu: { ...pathMtu, heard: pathMtu.heard.toString(), learned: pathMtu.learned.toString() },
  };
}

/** Null when a field is missing: a process of our version, but of another build. */
export function readInspection(sent: SentInspection): Inspection | null {
  const entries = Object.entries(FIELDS);
  if (entries.some(([field]) => sent[field] === undefined)) return null;
  return Object.fromEntries(
    entries.map(([field, read]) => [field, read(sent[field] as never)]),
  ) as unknown as Inspection;
}

function mapDrops<T>(worker: WorkerReport, convert: (drops: bigint) => T) {
  return {
    ...worker,
    ports: worker.ports.map((port) => ({ ...port, rxKernelDrops: convert(port.rxKernelDrops) })),
  };
}

// One look at a data plane for `ripstop status`: what client.ts asks, without the schemas, whose library takes longer to load
// than the answer takes to come. An answer of our own version has our own shape; any other goes through client.ts.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { Inspection, PathMtuReport, PortReport } from "./binding.js";
import { type Counters, nameCounters } from "./counters.js";
import { encodeMessage, MessageReader } from "./framing.js";
import { PROTOCOL_VERSION } from "./protocol-version.js";
import { checkSocketPath } from "./socket-path.js";

export interface Glance {
  readonly pid: number;
  readonly version: string;
  /** Null: nothing is open. */
  readonly inspection: Inspection | null;
  readonly counters: Counters | null;
}

const QUESTIONS = [{ method: "hello", role: "observe" }, { method: "inspect" }, { method: "counters" }] as const;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Rejects with DATAPLANE_ABSENT when nobody listens, with DATAPLANE_SILENT when the signal fires first. */
export async function glance(path: string, signal: AbortSignal): Promise<Glance> {
  const socket = connect(checkSocketPath(path));
  socket.on("error", () => {});
  try {
    await once(socket, "connect", { signal }).catch((cause: unknown) => {
      throw signal.aborted
        ? silent()
        : new RipstopError("DATAPLANE_ABSENT", `no data plane answers at ${path}`, { cause });
    });
    // All at once: one way there and back, not three.
    for (const [id, question] of QUESTIONS.entries())
      socket.write(encodeMessage({ v: PROTOCOL_VERSION, id: id + 1, ...question }));
    const [hello, inspection, counters] = await answers(socket, signal);
    return read(path, hello, inspection, counters);
  } finally {
    socket.destroy();
  }
}

async function answers(socket: Socket, signal: AbortSignal): Promise<readonly Answer[]> {
  const got: Answer[] = [];
  const reader = new MessageReader();
  const abort = () => socket.destroy();
  signal.addEventListener("abort", abort, { once: true });
  try {
    for await (const chunk of socket) {
      for (const message of reader.push(chunk as Buffer)) got.push(message as Answer);
      if (got.length >= QUESTIONS.length) return got;
    }
  } finally {
    signal.removeEventListener("abort", abort);
  }
  throw signal.aborted ? silent() : new RipstopError("DATAPLANE_GONE", "the data-plane process closed the connection");
}

async function read(path: string, hello?: Answer, inspection?: Answer, counters?: Answer): Promise<Glance> {
  const said = hello?.result as { readonly version?: unknown; readonly pid?: unknown } | undefined;
  if (said?.version !== ripstopVersion()) return carefully(path);
  const own = { pid: Number(said.pid), version: said.version };
  if (!isOpen(inspection) || !isOpen(counters)) return { ...own, inspection: null, counters: null };
  const seen = readInspection(inspection?.result);
  return seen === null ? carefully(path) : { ...own, inspection: seen, counters: readCounters(counters?.result) };
}

/** Another version answers: with every check there is. */
async function carefully(path: string): Promise<Glance> {
  const { DataplaneClient } = await import("./client.js");
  const client = await DataplaneClient.connect(path, { deadlineMs: 1_000 });
  try {
    const { pid, version } = await client.hello("observe");
    const opened = await client.inspect().catch(unlessClosed);
    return { pid, version, inspection: opened, counters: opened === null ? null : await client.counters() };
  } finally {
    client.disconnect();
  }
}

function isOpen(answer: Answer | undefined): boolean {
  if (answer?.error === undefined) return true;
  if (answer.error.code === "NOT_OPEN") return false;
  throw new RipstopError(answer.error.code, answer.error.message);
}

function unlessClosed(error: unknown): null {
  if (error instanceof RipstopError && error.code === "NOT_OPEN") return null;
  throw error;
}

/** As JSON carries it: numbers that may exceed 2^53 as strings, infinity as null. One entry for every field there is. */
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
  pathMtu: (sent: PathMtuReport) => ({ ...sent, heard: BigInt(sent.heard), learned: BigInt(sent.learned) }),
};

/** Null when a field is missing: a process of our version, but of another build. */
function readInspection(result: unknown): Inspection | null {
  const sent = result as Readonly<Record<string, unknown>>;
  const entries = Object.entries(FIELDS);
  if (entries.some(([field]) => sent[field] === undefined)) return null;
  return Object.fromEntries(
    entries.map(([field, read]) => [field, read(sent[field] as never)]),
  ) as unknown as Inspection;
}

function readCounters(result: unknown): Counters {
  const { layout, values } = result as { readonly layout: readonly string[]; readonly values: readonly string[] };
  return nameCounters(layout, values.map(BigInt));
}

function silent(): RipstopError {
  return new RipstopError(
    "DATAPLANE_SILENT",
    "the data-plane process did not answer in time; it is stopped or overloaded",
  );
}

// One look at a data plane for `ripstop status`: what client.ts asks, without the schemas, whose library takes longer to load
// than the answer takes to come. An answer of our own version has our own shape; any other goes through client.ts.
import { connect } from "node:net";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { Inspection } from "./binding.js";
import { type Counters, nameCounters, nameWorkerCounters } from "./counters.js";
import { encodeMessage, MessageReader } from "./framing.js";
import { readInspection, type SentInspection } from "./inspection-wire.js";
import { PROTOCOL_VERSION } from "./protocol-version.js";
import { checkSocketPath } from "./socket-path.js";

export interface Glance {
  readonly pid: number;
  readonly version: string;
  /** Null: nothing is open. */
  readonly inspection: Inspection | null;
  readonly counters: Counters | null;
  /** Of each worker alone, in their order. */
  readonly workerCounters: readonly Counters[] | null;
}

const NO_COUNTERS = { counters: null, workerCounters: null };
const QUESTIONS = [{ method: "hello", role: "observe" }, { method: "inspect" }, { method: "counters" }] as const;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Rejects with DATAPLANE_ABSENT when nobody listens, with DATAPLANE_SILENT when the answers take longer than that. */
export async function glance(path: string, patienceMs: number): Promise<Glance> {
  const [hello, inspection, counters] = await answers(path, patienceMs);
  return read(path, hello, inspection, counters);
}

function answers(path: string, patienceMs: number): Promise<readonly Answer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(checkSocketPath(path));
    const reader = new MessageReader();
    const got: Answer[] = [];
    let connected = false;
    const timer = setTimeout(() => end(silent()), patienceMs);
    const end = (reason: RipstopError | null): void => {
      clearTimeout(timer);
      socket.destroy();
      if (reason === null) resolve(got);
      else reject(reason);
    };
    socket.once("connect", () => {
      connected = true;
    });
    socket.once("error", (cause) =>
      end(
        connected ? gone(cause) : new RipstopError("DATAPLANE_ABSENT", `no data plane answers at ${path}`, { cause }),
      ),
    );
    socket.once("end", () => end(gone()));
    socket.on("data", (chunk) => {
      try {
        for (const message of reader.push(chunk)) got.push(message as Answer);
      } catch (error) {
        return end(error as RipstopError);
      }
      if (got.length >= QUESTIONS.length) end(null);
    });
    // All at once: one way there and back, not three.
    for (const [index, question] of QUESTIONS.entries())
      socket.write(encodeMessage({ v: PROTOCOL_VERSION, id: index + 1, ...question }));
  });
}

function gone(cause?: unknown): RipstopError {
  return new RipstopError("DATAPLANE_GONE", "the data-plane process closed the connection", { cause });
}

async function read(path: string, hello?: Answer, inspection?: Answer, counters?: Answer): Promise<Glance> {
  const said = hello?.result as { readonly version?: unknown; readonly pid?: unknown } | undefined;
  if (said?.version !== ripstopVersion()) return carefully(path);
  const own = { pid: Number(said.pid), version: said.version };
  if (!isOpen(inspection) || !isOpen(counters)) return { ...own, inspection: null, ...NO_COUNTERS };
  const seen = readInspection(inspection?.result as SentInspection);
  return seen === null ? carefully(path) : { ...own, inspection: seen, ...readCounters(counters?.result) };
}

/** Another version answers: with every check there is. */
async function carefully(path: string): Promise<Glance> {
  const { DataplaneClient } = await import("./client.js");
  const client = await DataplaneClient.connect(path, { deadlineMs: 1_000 });
  try {
    const { pid, version } = await client.hello("observe");
    const opened = await client.inspect().catch(unlessClosed);
    if (opened === null) return { pid, version, inspection: null, ...NO_COUNTERS };
    const [counters, workerCounters] = await Promise.all([client.counters(), client.workerCounters()]);
    return { pid, version, inspection: opened, counters, workerCounters };
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

function readCounters(result: unknown): { counters: Counters; workerCounters: readonly Counters[] } {
  const { layout, values } = result as { readonly layout: readonly string[]; readonly values: readonly string[] };
  const numbers = values.map(BigInt);
  return { counters: nameCounters(layout, numbers), workerCounters: nameWorkerCounters(layout, numbers) };
}

function silent(): RipstopError {
  return new RipstopError(
    "DATAPLANE_SILENT",
    "the data-plane process did not answer in time; it is stopped or overloaded",
  );
}

// One connection to a data-plane process, used by the agent (control) and by status and metrics (observe). Every call has a
// deadline: a stopped process must not stop its callers. Reconnecting is the owner's decision (agent/supervisor.ts).
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { z } from "zod";
import { RipstopError } from "../lib/errors.js";
import type { Inspection, NativeCaptureRequest, OpenOptions } from "./binding.js";
import { type Counters, nameCounters, nameWorkerCounters } from "./counters.js";
import { encodeMessage, MessageReader } from "./framing.js";
import {
  answerSchema,
  type CaptureRead,
  captureReadResultSchema,
  captureStartResultSchema,
  countersResultSchema,
  type HelloResult,
  helloResultSchema,
  inspectionSchema,
  PEER_ROW,
  peersResultSchema,
  PROTOCOL_VERSION,
  type Role,
} from "./protocol.js";
import { checkSocketPath } from "./socket-path.js";
import { makePatch } from "./table-patch.js";

/** Opening ports and loading BPF programs takes longer than anything else. */
const OPEN_DEADLINE_MS = 10_000;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface PeerTotals {
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds since the last one; null: never. */
  readonly lastMs: number | null;
}

/** Since the data plane was opened; a node's packets are counted at its first prefix. */
export interface PeerTraffic {
  readonly sent: PeerTotals;
  readonly received: PeerTotals;
}

export interface CaptureStart {
  /** What to add to a record's time to get nanoseconds since 1970. */
  readonly clockOffsetNs: bigint;
  /** By the number that records carry. */
  readonly dropReasons: readonly string[];
}

export interface ClientOptions {
  /** For connecting and for every call but open. */
  readonly deadlineMs: number;
}

export class DataplaneClient {
  readonly #socket: Socket;
  readonly #deadlineMs: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  /** What the data plane has adopted from us. */
  #table: Uint8Array | null = null;
  #patches = true;

  private constructor(socket: Socket, options: ClientOptions) {
    this.#socket = socket;
    this.#deadlineMs = options.deadlineMs;
    this.#ended = new Promise((resolve) => socket.once("close", () => resolve()));
    const reader = new MessageReader();
    socket.on("data", (chunk) => {
      try {
        for (const message of reader.push(chunk)) this.#receive(message);
      } catch (error) {
        this.#fail(error);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () =>
      this.#fail(new RipstopError("DATAPLANE_GONE", "the data-plane process closed the connection")),
    );
  }

  /** Rejects with DATAPLANE_ABSENT when nobody listens at `path`. */
  static async connect(path: string, options: ClientOptions): Promise<DataplaneClient> {
    const socket = connect(checkSocketPath(path));
    try {
      await once(socket, "connect", { signal: AbortSignal.timeout(options.deadlineMs) });
    } catch (cause) {
      socket.destroy();
      throw new RipstopError("DATAPLANE_ABSENT", `no data plane answers at ${path}`, { op: "connect", cause });
    }
    return new DataplaneClient(socket, options);
  }

  /** Settles when the connection has ended, whoever ended it. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  hello(role: Role): Promise<HelloResult> {
    return this.#call(helloResultSchema, { method: "hello", role });
  }

  /** `incarnation` names the devices as they are now; hello() gives it back to whoever may want to adopt. */
  async open(options: OpenOptions, incarnation = ""): Promise<void> {
    this.#table = null;
    await this.#request({ method: "open", options, incarnation }, OPEN_DEADLINE_MS);
  }

  /** Sends what differs from the table before, where that is little. The bytes must not change afterwards. */
  async apply(table: Uint8Array): Promise<void> {
    if (table === this.#table) return;
    if (!(await this.#patch(table))) await this.#request({ method: "apply", table: base64(table) });
    this.#table = table;
  }

  /** False when the table has to be sent whole. */
  async #patch(table: Uint8Array): Promise<boolean> {
    const patch = this.#table === null || !this.#patches ? null : makePatch(this.#table, table);
    if (patch === null) return false;
    const { bytes, crc, copies } = patch;
    const pieces = patch.pieces.map((piece) => ({ at: piece.at, bytes: base64(piece.bytes) }));
    try {
      await this.#request({ method: "patch", bytes, crc, copies, pieces });
      return true;
    } catch (error) {
      const code = error instanceof RipstopError ? error.code : "";
      // An older data plane does not know patches; one that was opened anew has another table.
      if (code === "PROTOCOL_REQUEST") this.#patches = false;
      if (code === "PROTOCOL_REQUEST" || code === "TABLE_UNKNOWN") return false;
      throw error;
    }
  }

  async counters(): Promise<Counters> {
    const { layout, values } = await this.#call(countersResultSchema, { method: "counters" });
    return nameCounters(layout, values);
  }

  /** Of each worker alone, in their order; empty from a data plane that does not tell them apart. */
  async workerCounters(): Promise<readonly Counters[]> {
    const { layout, values } = await this.#call(countersResultSchema, { method: "counters" });
    return nameWorkerCounters(layout, values);
  }

  inspect(): Promise<Inspection> {
    return this.#call(inspectionSchema, { method: "inspect" });
  }

  /** What went to and came from each peer, by the id that it has in the table. */
  async peers(): Promise<ReadonlyMap<number, PeerTraffic>> {
    const { rows } = await this.#call(peersResultSchema, { method: "peers" });
    const all = new Map<number, PeerTraffic>();
    for (let at = 0; at < rows.length; at += PEER_ROW) {
      const [id = 0, txPackets = 0, txBytes = 0, txAge = -1, rxPackets = 0, rxBytes = 0, rxAge = -1] = rows.slice(at);
      const sent = { packets: txPackets, bytes: txBytes, lastMs: txAge < 0 ? null : txAge };
      const received = { packets: rxPackets, bytes: rxBytes, lastMs: rxAge < 0 ? null : rxAge };
      all.set(id, { sent, received });
    }
    return all;
  }

  /** Begins to copy packets; ends with the connection. */
  async captureStart(request: NativeCaptureRequest): Promise<CaptureStart> {
    const { points, snapBytes, filter } = request;
    const { clockOffsetNs, dropReasons } = await this.#call(captureStartResultSchema, {
      method: "captureStart",
      points,
      snapBytes,
      filter: Buffer.from(filter).toString("base64"),
    });
    return { clockOffsetNs: BigInt(clockOffsetNs), dropReasons };
  }

  captureRead(): Promise<CaptureRead> {
    return this.#call(captureReadResultSchema, { method: "captureRead" });
  }

  async close(): Promise<void> {
    await this.#request({ method: "close" }, OPEN_DEADLINE_MS);
  }

  /** Asks the process to end; settles when it has hung up. */
  async shutdown(): Promise<void> {
    await this.#request({ method: "shutdown" }, OPEN_DEADLINE_MS);
    await this.#ended;
  }

  /** Hangs up; the data plane goes on. */
  disconnect(): void {
    this.#socket.destroy();
  }

  async #call<T>(schema: z.ZodType<T>, body: object): Promise<T> {
    const parsed = schema.safeParse(await this.#request(body));
    if (parsed.success) return parsed.data;
    throw new RipstopError(
      "PROTOCOL_MALFORMED",
      "the data plane's answer is not understood; restart it with the agent's version",
      {
        cause: parsed.error,
      },
    );
  }

  async #request(body: object, deadlineMs = this.#deadlineMs): Promise<unknown> {
    const id = this.#nextId++;
    const message = encodeMessage({ v: PROTOCOL_VERSION, id, ...body });
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    if (this.#socket.destroyed)
      this.#fail(new RipstopError("DATAPLANE_GONE", "the data-plane process closed the connection"));
    else this.#socket.write(message);
    const late = setTimeout(() => this.#waiting.get(id)?.reject(silent(deadlineMs)), deadlineMs).unref();
    try {
      return await answer;
    } finally {
      clearTimeout(late);
      this.#waiting.delete(id);
    }
  }

  #receive(message: unknown): void {
    const parsed = answerSchema.safeParse(message);
    if (!parsed.success)
      throw new RipstopError(
        "PROTOCOL_MALFORMED",
        "the data plane answered in an unknown form; restart it with the agent's version",
      );
    const { id, error, result } = parsed.data;
    const waiting = this.#waiting.get(id);
    // An answer that comes after its deadline has nobody left to hear it. Id 0 answers what could not be read.
    if (error === undefined) waiting?.resolve(result);
    else if (id === 0) this.#fail(toError(error));
    else waiting?.reject(toError(error));
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#socket.destroy();
  }
}

function silent(deadlineMs: number): RipstopError {
  return new RipstopError(
    "DATAPLANE_SILENT",
    `the data-plane process did not answer within ${deadlineMs} ms; it is stopped or overloaded`,
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function toError(error: {
  code: string;
  message: string;
  op?: string | undefined;
  errno?: number | undefined;
}): RipstopError {
  return new RipstopError(error.code, error.message, {
    ...(error.op === undefined ? {} : { op: error.op }),
    ...(error.errno === undefined ? {} : { errno: error.errno }),
  });
}

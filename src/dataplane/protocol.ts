// The protocol between agent and data-plane process, version 1: request `{ v, id, method, ... }`, answer `{ v, id, result }`
// or `{ v, id, error }`, one answer per request, in order. Both sides check what they receive with these schemas. A change
// that an older peer would misread needs a new version number.
import { z } from "zod";
import { openOptionsSchema, PORT_KINDS } from "./options.js";
import { PROTOCOL_VERSION } from "./protocol-version.js";

export { PROTOCOL_VERSION };

const unsigned = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform((text) => BigInt(text));
const id = z.int().min(0);
const base64 = z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64")));

/** More than the largest table there is. */
const TABLE_MAX_BYTES = 2 * 1024 * 1024;

/** Only one connection at a time may change anything; any number up to the server's limit may look. */
export const roleSchema = z.enum(["control", "observe"]);
export type Role = z.infer<typeof roleSchema>;

export const requestSchema = z.discriminatedUnion("method", [
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("hello"), role: roleSchema }),
  // The options' fields are checked by dataplane.ts, whose messages name the field.
  z.strictObject({
    v: z.literal(PROTOCOL_VERSION),
    id,
    method: z.literal("open"),
    incarnation: z.string().max(500),
    options: z.record(z.string(), z.unknown()),
  }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("apply"), table: base64 }),
  // Newer than `apply`: a client that is told it is unknown goes on with that one.
  z.strictObject({
    v: z.literal(PROTOCOL_VERSION),
    id,
    method: z.literal("patch"),
    bytes: z.int().min(0).max(TABLE_MAX_BYTES),
    crc: z.int(),
    copies: z.array(z.int().min(0)),
    pieces: z.array(z.strictObject({ at: z.int().min(0), bytes: base64 })),
  }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("counters") }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("inspect") }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("peers") }),
  z.strictObject({
    v: z.literal(PROTOCOL_VERSION),
    id,
    method: z.literal("captureStart"),
    points: z.int().min(1).max(7),
    snapBytes: z
      .int()
      .min(64)
      .max(1 << 18),
    filter: base64,
  }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("captureRead") }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("close") }),
  z.strictObject({ v: z.literal(PROTOCOL_VERSION), id, method: z.literal("shutdown") }),
]);
export type Request = z.infer<typeof requestSchema>;
export type Method = Request["method"];
export const READ_ONLY: ReadonlySet<Method> = new Set<Method>([
  "hello",
  "counters",
  "inspect",
  "peers",
  "captureStart",
  "captureRead",
]);

/** What can be said of a request that does not fit: enough to answer it. */
export const envelopeSchema = z.object({ v: z.unknown(), id: id.catch(0) });

export const errorSchema = z.object({
  code: z.string(),
  message: z.string(),
  op: z.string().optional(),
  errno: z.int().optional(),
});
export const answerSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  id,
  result: z.unknown().optional(),
  error: errorSchema.optional(),
});

export const helloResultSchema = z.object({
  /** Ripstop's version in the data-plane process. */
  version: z.string(),
  pid: z.int().positive(),
  /** What is open, so that a new agent can tell whether it may adopt it; null: nothing. */
  opened: openOptionsSchema.nullable(),
  /** What the client that opened it called the devices it was opened on; "" when nothing is open. */
  incarnation: z.string(),
  /** It has given up its privileges and can open nothing any more; absent in older versions, which never do. */
  confined: z.boolean().default(false),
});
export type HelloResult = z.infer<typeof helloResultSchema>;

export const countersResultSchema = z
  .object({ layout: z.array(z.string()), values: z.array(unsigned) })
  .refine(({ layout, values }) => layout.length > 0 && values.length > 0 && values.length % layout.length === 0);

export const captureStartResultSchema = z.object({
  /** What to add to a record's time to get nanoseconds since 1970. */
  clockOffsetNs: z.string().regex(/^-?\d{1,20}$/),
  /** By the number that records carry. */
  dropReasons: z.array(z.string()),
});
export const captureReadResultSchema = z.object({
  records: base64,
  matched: z.int(),
  lost: z.int(),
});
export type CaptureRead = z.infer<typeof captureReadResultSchema>;

/** Rows of seven numbers, see NativeDataplane.readPeers. */
export const peersResultSchema = z
  .object({ rows: z.array(z.number()) })
  .refine(({ rows }) => rows.length % PEER_ROW === 0);
export const PEER_ROW = 7;

const portReportSchema = z.object({
  side: z.enum(["overlay", "underlay"]),
  kind: z.enum(PORT_KINDS),
  description: z.string(),
  reason: z.string(),
  rxKernelDrops: unsigned,
});
const workerReportSchema = z.object({
  heartbeatAgeMs: z.number(),
  framesTotal: z.int(),
  framesFree: z.int(),
  ports: z.array(
    z.object({
      side: z.enum(["overlay", "underlay"]),
      kind: z.enum(PORT_KINDS),
      rxKernelDrops: unsigned,
      txPending: z.int(),
      queues: z.array(
        z.object({
          device: z.string(),
          id: z.int(),
          mode: z.string(),
          ringSize: z.int(),
          rxWaiting: z.int(),
          rxFree: z.int(),
          txWaiting: z.int(),
        }),
      ),
    }),
  ),
});
export const inspectionSchema = z.object({
  running: z.boolean(),
  tableVersion: unsigned,
  peers: z.int(),
  ports: z.array(portReportSchema),
  steering: z.string(),
  // JSON has no infinity: a worker that never beat.
  heartbeatAgeMs: z
    .number()
    .nullable()
    .transform((age) => age ?? Number.POSITIVE_INFINITY),
  workers: z.int().default(1),
  framesTotal: z.int(),
  framesFree: z.int(),
  perWorker: z.array(workerReportSchema).default([]),
  pathMtu: z
    .object({ listener: z.string(), heard: unsigned, learned: unsigned, pathsLowered: z.int() })
    // A data plane that an older version started.
    .default({ listener: "not reported", heard: 0n, learned: 0n, pathsLowered: 0 }),
});

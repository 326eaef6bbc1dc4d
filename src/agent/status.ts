// What an agent says of itself: served on its socket, to `ripstop status` and to whoever asks.
// The schema is the contract; fields may be added, never renamed.
import { z } from "zod";

export const conditionSchema = z.enum(["starting", "ok", "degraded", "stopping"]);
export type Condition = z.infer<typeof conditionSchema>;

const peerSchema = z.object({
  /** By which the data plane counts its traffic. */
  id: z.int().default(0),
  lease: z.string(),
  prefix: z.string(),
  publicIp: z.string(),
  vtepMac: z.string().nullable(),
  /** What the kernel's tables here have instead, when another peer claims the same MAC. */
  alias: z.string().optional(),
  direct: z.boolean(),
});

export const agentStatusSchema = z.object({
  version: z.string(),
  pid: z.int(),
  startedAt: z.string(),
  condition: conditionSchema,
  /** Why it is not "ok"; empty when it is. */
  reasons: z.array(z.string()),
  store: z.object({
    kind: z.string(),
    connected: z.boolean(),
    lastSyncAgeMs: z.number().nullable(),
    resyncs: z.int().optional(),
    detail: z.string(),
  }),
  network: z
    .object({
      backend: z.string(),
      subnet: z.string().nullable(),
      ipv6Subnet: z.string().nullable(),
      externalInterface: z.string(),
      publicIp: z.string().nullable(),
      publicIpv6: z.string().nullable(),
      devices: z.array(z.string()),
      mtu: z.int(),
      subnetFile: z.string(),
    })
    .nullable(),
  dataplane: z.object({
    mode: z.enum(["auto", "kernel", "userspace"]),
    /** "off": nobody wants one, or the backend cannot be carried. */
    phase: z.enum(["off", "starting", "running", "unavailable", "waiting"]),
    reason: z.string().nullable(),
    pid: z.int().nullable(),
    version: z.string().nullable(),
    restarts: z.int(),
    /** Its last words to the agent, for who asks while it is slow; null: none, or none that an older agent would tell. */
    heard: z
      .object({ ageMs: z.number(), inspection: z.record(z.string(), z.unknown()) })
      .nullable()
      .default(null),
  }),
  /** What keeps pods from the overlay's UDP port; null: no overlay, or none that could be entered so. */
  guard: z
    .object({
      /** nft's name of the table. */
      table: z.string(),
      /** Why it cannot be made; null: it is there, as of the last look. */
      problem: z.string().nullable(),
      /** Packets of pods that were dropped on their way to a node's port, as of the last look. */
      dropped: z.object({ ownNode: z.number(), otherNodes: z.number() }),
    })
    .nullable()
    .default(null),
  /** The network configuration in the store, where it is not what this node works with. */
  config: z
    .object({
      /** What waits for a restart of the agent. */
      restartFor: z.array(z.string()),
      /** Why the newest one is not used; null: it is. */
      refused: z.string().nullable(),
    })
    .default({ restartFor: [], refused: null }),
  peers: z.array(peerSchema),
  /** Milliseconds until our own lease runs out unless it is renewed; null: never, or nobody knows. */
  leaseExpiresInMs: z.number().nullable().default(null),
  /** Leases that could not be used, each for its own reason. */
  refused: z.array(z.object({ key: z.string(), reason: z.string() })),
  /** Leases that are used, though others claim the same VTEP MAC. */
  contested: z.array(z.object({ key: z.string(), reason: z.string() })).default([]),
  /** Kernel objects that could not be made as wanted in the last pass. */
  kernelFailures: z.array(z.object({ object: z.string(), message: z.string() })),
});
export type AgentStatus = z.infer<typeof agentStatusSchema>;
/** The same without the peers themselves, which are many: for metrics. */
export type AgentOverview = Omit<AgentStatus, "peers"> & { readonly peerCount: number };
export type ConfigStatus = AgentStatus["config"];
export type PeerStatus = AgentStatus["peers"][number];

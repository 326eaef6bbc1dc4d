// What the agent is composed of, as interfaces: compose.ts fills them with the real things, tests with others.
import type { Backend, BackendContext } from "../backend/backend.js";
import type { Host } from "../host/host.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import type { Clock } from "../lib/clock.js";
import type { Logger } from "../observe/logger.js";
import type { Store } from "../store/store.js";
import type { Launcher } from "./dataplane-process.js";

export interface AcquiredLease {
  readonly lease: Lease;
  /** Made by this call: a start that fails afterwards gives it back. */
  readonly fresh: boolean;
}

/** This node's own lease over its life. */
export interface LeaseSource {
  /** Takes a lease, or finds the one that is ours; waits for the store; rejects when the network has no room or the signal aborts. */
  acquire(attrs: LeaseAttrs, signal: AbortSignal): Promise<AcquiredLease>;
  /** Renews until the signal; yields the lease whenever it is another than `lease` or the one before. Never rejects. */
  hold(lease: Lease, attrs: LeaseAttrs, signal: AbortSignal): AsyncIterable<Lease>;
  release(lease: Lease, signal: AbortSignal): Promise<void>;
}

export interface AgentParts {
  readonly store: Store;
  readonly leases: LeaseSource;
  readonly host: Host;
  readonly makeBackend: (context: BackendContext) => Promise<Backend>;
  readonly launch: Launcher;
  readonly clock: Clock;
  readonly logger: Logger;
}

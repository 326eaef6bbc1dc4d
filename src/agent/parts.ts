// What the agent is composed of: compose.ts fills these with the real things, tests with others.
import type { Backend, BackendContext } from "../backend/backend.js";
import type { Host } from "../host/host.js";
import type { PacketFilter } from "../host/masquerade/rules.js";
import type { TunnelGuard } from "../host/tunnel-guard.js";
import type { Clock } from "../lib/clock.js";
import type { Logger } from "../observe/logger.js";
import type { Store } from "../store/store.js";
import type { Launcher } from "./dataplane-process.js";

export interface AgentParts {
  readonly store: Store;
  readonly host: Host;
  readonly makeBackend: (context: BackendContext) => Backend;
  readonly makePacketFilter: (mode: PacketFilter["mode"]) => PacketFilter;
  /** For the overlay of this device. */
  readonly makeTunnelGuard: (device: string) => TunnelGuard;
  readonly launch: Launcher;
  readonly clock: Clock;
  readonly logger: Logger;
}

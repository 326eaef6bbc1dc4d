// The data plane over an agent's life: there is one while the session's backend can be carried in user space, and none while
// only the kernel can. Owned by the agent, across its sessions. Ends a data plane only where the kernel's path is to carry
// instead; that of an agent that ends goes on.
import type { Backend } from "../backend/backend.js";
import type { DataPlaneChoice } from "../config/network-config.js";
import { RipstopError } from "../lib/errors.js";
import type { Teardown } from "../lib/teardown.js";
import { retireDataplane, startDataplane } from "./dataplane-start.js";
import type { AgentParts } from "./parts.js";
import type { RunPaths } from "./run-dir.js";
import type { Session } from "./session.js";
import type { StatusBoard } from "./status-board.js";
import { type DesiredDataplane, Supervisor } from "./supervisor.js";

export interface PlaneKeeperOptions {
  readonly paths: RunPaths;
  readonly parts: AgentParts;
  readonly board: StatusBoard;
}

interface Kept {
  readonly supervisor: Supervisor;
  readonly retire: AbortController;
  /** Null before the loop runs. */
  readonly ended: Promise<void> | null;
}

export class PlaneKeeper {
  readonly #given: PlaneKeeperOptions;
  #mode: DataPlaneChoice["mode"] = "kernel";
  #kept: Kept | null = null;

  constructor(given: PlaneKeeperOptions) {
    this.#given = given;
  }

  /** For the first session, which has its device. With `userspace` rejects when there can be no data plane. */
  async start(mode: DataPlaneChoice["mode"], session: Session, undo: Teardown, signal: AbortSignal): Promise<void> {
    const { paths, parts } = this.#given;
    this.#mode = mode;
    const desired = session.desired.current;
    if (mode === "kernel" || desired === undefined) return this.#none();
    this.#keep(await startDataplane(mode, desired, paths, parts, undo, signal));
  }

  /** Hands on what the session wants until `ended`; what keeps the data plane itself runs until `signal`. */
  async follow(session: Session, ended: AbortSignal, signal: AbortSignal): Promise<void> {
    if (this.#mode === "kernel") return;
    for await (const desired of session.desired.follow(ended)) {
      const kept = this.#kept ?? this.#keep(this.#make(desired));
      kept.supervisor.want(desired);
      if (kept.ended === null) this.#kept = { ...kept, ended: kept.supervisor.run(signal, kept.retire.signal) };
    }
  }

  /**
   * Before the next session makes its device: where its backend cannot be carried, the data plane ends first, so that the
   * kernel's path carries over the device that there still is.
   */
  async makeWay(backend: Backend): Promise<void> {
    const kept = this.#kept;
    if (kept === null || backend.carriable) return;
    this.#given.parts.logger.info("the overlay is carried by the kernel alone from here on");
    this.#kept = null;
    kept.retire.abort();
    await kept.ended;
    await this.#none();
  }

  /** With the agent: what runs ends, the data plane goes on. */
  async ended(): Promise<void> {
    await this.#kept?.ended;
  }

  #make(desired: DesiredDataplane): Supervisor {
    const { launch, clock, logger } = this.#given.parts;
    return new Supervisor({ socketPath: this.#given.paths.dataplaneSocket, launch, clock, logger }, desired);
  }

  #keep(supervisor: Supervisor): Kept {
    this.#given.board.dataplane(this.#mode, supervisor);
    this.#kept = { supervisor, retire: new AbortController(), ended: null };
    return this.#kept;
  }

  async #none(): Promise<void> {
    const { board, paths, parts } = this.#given;
    board.dataplane(this.#mode, null);
    await retireDataplane(paths.dataplaneSocket, parts.logger);
  }
}

/** Throws DATAPLANE_UNSUITABLE where a data plane is demanded and the backend can have none. */
export function requireCarriable(mode: DataPlaneChoice["mode"], backend: Backend): void {
  if (mode !== "userspace" || backend.carriable) return;
  throw new RipstopError(
    "DATAPLANE_UNSUITABLE",
    `the ${backend.type} backend as it is configured is not carried in user space; use --dataplane=auto, or vxlan without GBP`,
  );
}

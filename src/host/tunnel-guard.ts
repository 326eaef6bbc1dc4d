// Keeps pods from the overlay's UDP port: one nft table per overlay, named after its device, in every mode of the packet filter.
// Owner: the agent; nothing of it is on the packets' own path through the data plane. Counts survive repairs and restarts.
import { type CommandRunner, runCommand } from "./command.js";
import { NftTable } from "./nft-table.js";
import { guardContents, guardCounts, type TunnelGuardCounts, type TunnelGuardRules } from "./tunnel-guard-text.js";

export const GUARD_TABLE = "inet ripstop-";

export interface GuardReport {
  readonly changed: boolean;
  readonly dropped: TunnelGuardCounts;
}

export class TunnelGuard {
  /** "inet ripstop-flannel.1". */
  readonly table: string;
  readonly #nft: NftTable;
  #dropped: TunnelGuardCounts = { ownNode: 0, otherNodes: 0 };

  /** `device` is the overlay's. */
  constructor(device: string, run: CommandRunner = runCommand) {
    this.table = `${GUARD_TABLE}${device}`;
    this.#nft = new NftTable(run, this.table);
  }

  /** Makes the table as the rules say, if one look says that it is not. */
  async reconcile(rules: TunnelGuardRules): Promise<GuardReport> {
    const { changed, shown } = await this.#nft.settle((before) => {
      this.#dropped = (before === null ? null : guardCounts(before)) ?? this.#dropped;
      return guardContents(rules, this.#dropped);
    });
    this.#dropped = guardCounts(shown) ?? this.#dropped;
    return { changed, dropped: this.#dropped };
  }

  /** True when there was one. */
  remove(): Promise<boolean> {
    return this.#nft.remove();
  }
}

/** Devices whose overlays have a guard on this host, whoever made it. */
export async function guardedDevices(run: CommandRunner = runCommand): Promise<readonly string[]> {
  const { code, stdout } = await run(["nft", "list", "tables", "inet"]).catch(() => ({ code: null, stdout: "" }));
  if (code !== 0) return [];
  const start = `table ${GUARD_TABLE}`;
  return stdout.split("\n").flatMap((line) => (line.startsWith(start) ? [line.slice(start.length)] : []));
}

// Our rules through nft. Versions of nft print the same rule differently, so what we fed in is not compared with what it shows:
// the text it showed right after we made the table is kept, and any later difference is tampering. After a restart the table is
// made once more, which is one atomic replacement and costs nobody a packet.
import type { HostChange } from "../host.js";
import { type CommandRunner, outputOf } from "../command.js";
import { RipstopError } from "../../lib/errors.js";
import { NFT_TABLES, removalText, tableText } from "./nftables-text.js";
import type { FilterRules, PacketFilter } from "./rules.js";

interface Made {
  readonly wanted: string;
  readonly shown: string;
}

export class NftablesFilter implements PacketFilter {
  readonly mode = "nftables";
  readonly #run: CommandRunner;
  readonly #made = new Map<4 | 6, Made>();

  constructor(run: CommandRunner) {
    this.#run = run;
  }

  async reconcile(rules: FilterRules): Promise<readonly HostChange[]> {
    const changes: HostChange[] = [];
    for (const family of [4, 6] as const) {
      const of = rules.families.find((one) => one.family === family);
      if (of === undefined || (!rules.masquerade && !rules.forward)) changes.push(...(await this.#drop(family)));
      else changes.push(...(await this.#settle(family, tableText(rules, of))));
    }
    return changes;
  }

  async remove(): Promise<readonly HostChange[]> {
    return [...(await this.#drop(4)), ...(await this.#drop(6))];
  }

  async #settle(family: 4 | 6, wanted: string): Promise<readonly HostChange[]> {
    const made = this.#made.get(family);
    if (made?.wanted === wanted && (await this.#show(family)) === made.shown) return [];
    await outputOf(this.#run, ["nft", "-f", "-"], wanted);
    const shown = await this.#show(family);
    if (shown === null) {
      throw new RipstopError("COMMAND_FAILED", `nft made table ${NFT_TABLES[family]} but does not show it; try again`);
    }
    this.#made.set(family, { wanted, shown });
    return [{ object: `nft table ${NFT_TABLES[family]}`, action: "replace" }];
  }

  async #drop(family: 4 | 6): Promise<readonly HostChange[]> {
    this.#made.delete(family);
    if ((await this.#show(family)) === null) return [];
    await outputOf(this.#run, ["nft", "-f", "-"], removalText(family));
    return [{ object: `nft table ${NFT_TABLES[family]}`, action: "delete" }];
  }

  /** Null: no such table, or no nft at all. */
  async #show(family: 4 | 6): Promise<string | null> {
    try {
      const { code, stdout } = await this.#run(["nft", "-s", "list", "table", ...NFT_TABLES[family].split(" ")]);
      return code === 0 ? stdout : null;
    } catch (error) {
      if (error instanceof RipstopError && error.code === "COMMAND_MISSING") return null;
      throw error;
    }
  }
}

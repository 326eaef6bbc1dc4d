// Our rules through nft, one table a family.
import type { HostChange } from "../host.js";
import type { CommandRunner } from "../command.js";
import { NftTable } from "../nft-table.js";
import { NFT_TABLES, tableContents } from "./nftables-text.js";
import type { FilterRules, PacketFilter } from "./rules.js";

export class NftablesFilter implements PacketFilter {
  readonly mode = "nftables";
  readonly #tables: Readonly<Record<4 | 6, NftTable>>;

  constructor(run: CommandRunner) {
    this.#tables = { 4: new NftTable(run, NFT_TABLES[4]), 6: new NftTable(run, NFT_TABLES[6]) };
  }

  async reconcile(rules: FilterRules): Promise<readonly HostChange[]> {
    const changes: HostChange[] = [];
    for (const family of [4, 6] as const) {
      const of = rules.families.find((one) => one.family === family);
      if (of === undefined || (!rules.masquerade && !rules.forward)) {
        changes.push(...(await this.#drop(family)));
        continue;
      }
      const { changed } = await this.#tables[family].settle(() => tableContents(rules, of));
      if (changed) changes.push({ object: `nft table ${NFT_TABLES[family]}`, action: "replace" });
    }
    return changes;
  }

  async remove(): Promise<readonly HostChange[]> {
    return [...(await this.#drop(4)), ...(await this.#drop(6))];
  }

  async #drop(family: 4 | 6): Promise<readonly HostChange[]> {
    const removed = await this.#tables[family].remove();
    return removed ? [{ object: `nft table ${NFT_TABLES[family]}`, action: "delete" }] : [];
  }
}

// Our rules through iptables-save and iptables-restore: one process to look, one more only to repair. The caller decides when;
// nothing here keeps time. Where a family has no rules to make and no tool, that family is passed over.
import type { HostChange } from "../host.js";
import { type CommandRunner, outputOf } from "../command.js";
import { RipstopError } from "../../lib/errors.js";
import { isSettled, noChains, type OwnChain, parseSave, restoreText, wantedChains } from "./iptables-text.js";
import type { FilterRules, PacketFilter } from "./rules.js";

const TOOLS: Readonly<Record<4 | 6, string>> = { 4: "iptables", 6: "ip6tables" };

export class IptablesFilter implements PacketFilter {
  readonly mode = "iptables";
  readonly #run: CommandRunner;
  /** Families that are not ours to filter and have nothing of ours: looking starts a program, which is not free. */
  readonly #clean = new Set<4 | 6>();
  #randomKnown: boolean | null = null;

  constructor(run: CommandRunner) {
    this.#run = run;
  }

  async reconcile(rules: FilterRules): Promise<readonly HostChange[]> {
    const changes: HostChange[] = [];
    const fullyRandom = rules.fullyRandom && rules.masquerade && (await this.#knowsRandomFully());
    for (const family of [4, 6] as const) {
      const of = rules.families.find((one) => one.family === family);
      if (of === undefined && this.#clean.has(family)) continue;
      const wanted = of === undefined ? noChains() : wantedChains({ ...rules, fullyRandom }, of);
      changes.push(...(await this.#settle(family, wanted, of !== undefined)));
      if (of === undefined) this.#clean.add(family);
    }
    return changes;
  }

  async remove(): Promise<readonly HostChange[]> {
    return [...(await this.#settle(4, noChains(), false)), ...(await this.#settle(6, noChains(), false))];
  }

  async #settle(family: 4 | 6, wanted: readonly OwnChain[], needed: boolean): Promise<readonly HostChange[]> {
    const tool = TOOLS[family];
    let shown: string;
    try {
      shown = await outputOf(this.#run, [`${tool}-save`]);
    } catch (error) {
      if (!needed && error instanceof RipstopError) return [];
      throw error;
    }
    const tables = parseSave(shown);
    const wrong = wanted.filter((chain) => !isSettled(chain, tables));
    if (wrong.length === 0) return [];
    const restore = [`${tool}-restore`, "--noflush", "--wait", "10"];
    await outputOf(this.#run, restore, restoreText(wrong, tables));
    return wrong.map(({ name, table, rules }) => ({
      object: `${tool} ${table} ${name}`,
      action: rules === null ? "delete" : "replace",
    }));
  }

  /** Since iptables 1.6.2. */
  async #knowsRandomFully(): Promise<boolean> {
    if (this.#randomKnown !== null) return this.#randomKnown;
    const text = await outputOf(this.#run, ["iptables", "--version"]);
    const version = /v(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [];
    const [major = 0, minor = 0, patch = 0] = version;
    this.#randomKnown = major * 1e6 + minor * 1e3 + patch >= 1_006_002;
    return this.#randomKnown;
  }
}

// The packet filter of the mode the network configuration asks for. On its first pass it removes what the other mode left, so
// that a switch leaves no rule behind and never masquerades twice.
import type { HostChange } from "../host.js";
import { type CommandRunner, runCommand } from "../command.js";
import { IptablesFilter } from "./iptables.js";
import { NftablesFilter } from "./nftables.js";
import type { FilterRules, PacketFilter } from "./rules.js";

export function makePacketFilter(mode: PacketFilter["mode"], run: CommandRunner = runCommand): PacketFilter {
  const iptables = new IptablesFilter(run);
  const nftables = new NftablesFilter(run);
  return mode === "iptables" ? new SwitchedFilter(iptables, nftables) : new SwitchedFilter(nftables, iptables);
}

class SwitchedFilter implements PacketFilter {
  readonly mode: PacketFilter["mode"];
  readonly #own: PacketFilter;
  readonly #other: PacketFilter;
  #otherGone = false;

  constructor(own: PacketFilter, other: PacketFilter) {
    this.mode = own.mode;
    this.#own = own;
    this.#other = other;
  }

  /** Ours first: a moment with both sets is harmless, one without any is not. */
  async reconcile(rules: FilterRules): Promise<readonly HostChange[]> {
    const changes = [...(await this.#own.reconcile(rules))];
    if (!this.#otherGone) {
      changes.push(...(await this.#other.remove()));
      this.#otherGone = true;
    }
    return changes;
  }

  async remove(): Promise<readonly HostChange[]> {
    return [...(await this.#own.remove()), ...(await this.#other.remove())];
  }
}

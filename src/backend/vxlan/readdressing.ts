// The kernel's way to peers that share a VTEP MAC (mac-claims.ts): its tables know each by an alias, and the last thing before an
// encapsulated packet leaves, a rule of nft writes the MAC that the peer's own device has. The alias has the same Internet
// checksum, so none has to be corrected. Without contested MACs there is no table and no nft is run. Owned by one overlay.
import type { Mac } from "../../addr/address.js";
import type { Peer } from "../../dataplane/peer-table.js";
import { type CommandRunner, runCommand } from "../../host/command.js";
import type { ReconcileReport } from "../../host/host.js";
import { NftTable } from "../../host/nft-table.js";
import { formatUnderlay } from "../../host/text.js";
import type { Readdressing } from "../routed-overlay.js";

/** Behind the UDP header: VXLAN header 8 bytes, then the inner frame begins. */
const INNER_DESTINATION = "@th,128,48";
const NOTHING: ReconcileReport = { changes: [], failures: [] };

export class VtepReaddressing implements Readdressing {
  readonly #nft: NftTable;
  readonly #port: number;
  #rules: readonly string[] = [];

  constructor(run: CommandRunner, vni: number, port: number) {
    this.#nft = readdressingTable(vni, run);
    this.#port = port;
  }

  prepare(peers: readonly Peer[], compare: boolean): Promise<ReconcileReport> {
    return this.#settle([...new Set([...this.#rules, ...this.#rulesFor(peers)])], compare);
  }

  finish(peers: readonly Peer[]): Promise<ReconcileReport> {
    return this.#settle(this.#rulesFor(peers), false);
  }

  async #settle(rules: readonly string[], compare: boolean): Promise<ReconcileReport> {
    const same = rules.length === this.#rules.length && rules.every((rule, i) => rule === this.#rules[i]);
    if (same && (rules.length === 0 || !compare)) return NOTHING;
    const object = `nft table ${this.#nft.name}`;
    try {
      const changed =
        rules.length === 0 ? await this.#nft.remove() : (await this.#nft.settle(() => contentsOf(rules))).changed;
      this.#rules = rules;
      if (!changed) return NOTHING;
      return { changes: [{ object, action: rules.length === 0 ? "delete" : "replace" }], failures: [] };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `${why}; until then only the data plane reaches the pods of nodes that share a VTEP MAC`;
      return { changes: [], failures: [{ object, errno: 0, message }] };
    }
  }

  #rulesFor(peers: readonly Peer[]): readonly string[] {
    return peers.flatMap(({ underlay, vtepMac, alias, direct }) => {
      if (alias === undefined || vtepMac === null || direct) return [];
      const to = `${underlay.family === 4 ? "ip" : "ip6"} daddr ${formatUnderlay(underlay)} udp dport ${this.#port}`;
      return [`${to} ${INNER_DESTINATION} ${number(alias)} ${INNER_DESTINATION} set ${number(vtepMac)}`];
    });
  }
}

/** Of the overlay with this VNI. */
export function readdressingTable(vni: number, run: CommandRunner = runCommand): NftTable {
  return new NftTable(run, `inet ripstop_vteps_${vni}`);
}

function contentsOf(rules: readonly string[]): string {
  const lines = ["chain output {", "  type filter hook output priority mangle; policy accept;"];
  return [...lines, ...rules.map((rule) => `  ${rule}`), "}"].map((line) => `  ${line}\n`).join("");
}

function number(mac: Mac): string {
  return `0x${mac.replaceAll(":", "")}`;
}

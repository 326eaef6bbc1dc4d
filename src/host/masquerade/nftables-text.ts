// Our rules for nft, in flannel's table and chain names but with the meaning of the iptables rules: flannel's own nft set
// compares the kube mark exactly and tests the wrong networks in its fourth rule, so that traffic from outside to remote pods is
// never masqueraded. Pure.
import { formatPrefix } from "../../addr/prefix.js";
import { type FamilyRules, type FilterRules, KUBE_MARK, MULTICAST } from "./rules.js";

export const NFT_TABLES: Readonly<Record<4 | 6, string>> = { 4: "ip flannel-ipv4", 6: "ip6 flannel-ipv6" };

export function tableContents(rules: FilterRules, family: FamilyRules): string {
  const lines: string[] = [];
  if (rules.masquerade) {
    lines.push("  chain postrtg {", "    type nat hook postrouting priority srcnat; policy accept;");
    lines.push(...masqueradeRules(family, rules.fullyRandom).map((rule) => `    ${rule}`), "  }");
  }
  if (rules.forward) {
    lines.push("  chain forward {", "    type filter hook forward priority filter; policy accept;");
    lines.push(...forwardRules(family).map((rule) => `    ${rule}`), "  }");
  }
  return lines.map((line) => `${line}\n`).join("");
}

function masqueradeRules({ family, network, subnet, neverMasquerade }: FamilyRules, random: boolean): string[] {
  const ip = family === 4 ? "ip" : "ip6";
  const n = formatPrefix(network);
  const p = formatPrefix(subnet);
  const never = neverMasquerade.filter((one) => one.family === family).map(formatPrefix);
  const masquerade = `masquerade${random ? " fully-random" : ""}`;
  return [
    `meta mark & ${KUBE_MARK} == ${KUBE_MARK} return`,
    `${ip} saddr ${p} ${ip} daddr ${n} return`,
    `${ip} saddr ${n} ${ip} daddr ${p} return`,
    `${ip} saddr != ${n} ${ip} daddr ${p} return`,
    ...never.map((one) => `${ip} saddr ${n} ${ip} daddr ${one} return`),
    `${ip} saddr ${n} ${ip} daddr != ${MULTICAST[family]} ${masquerade}`,
    `${ip} saddr != ${n} ${ip} daddr ${n} ${masquerade}`,
  ];
}

function forwardRules({ family, network }: FamilyRules): string[] {
  const ip = family === 4 ? "ip" : "ip6";
  const n = formatPrefix(network);
  return [`${ip} saddr ${n} accept`, `${ip} daddr ${n} accept`];
}

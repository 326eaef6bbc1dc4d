// Checks of the packet filters: FORWARD that drops the overlay, INPUT that drops the encapsulation, tools that were mixed.
// Reads `iptables-save` and `nft list ruleset`; understands the plain forms that people write, and says what it saw. Pure.
import { type Finding, fail, ok, warn } from "./finding.js";
import { GUARD_TABLE } from "../host/tunnel-guard.js";
import { guardCounts } from "../host/tunnel-guard-text.js";
import type { HostFacts } from "./host-facts.js";

interface Chain {
  readonly policy: string;
  readonly rules: readonly string[];
}

/** The filter table of one iptables-save text; a later family adds to an earlier one. */
function filterChains(saved: string): ReadonlyMap<string, Chain> {
  const chains = new Map<string, { policy: string; rules: string[] }>();
  let table = "";
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1);
    if (table !== "filter") continue;
    const declared = /^:(\S+) (\S+)/.exec(line);
    if (declared !== null) {
      const [, name = "", policy = ""] = declared;
      if (!chains.has(name)) chains.set(name, { policy, rules: [] });
    }
    const rule = /^-A (\S+) (.*)$/.exec(line);
    if (rule !== null) chains.get(rule[1] ?? "")?.rules.push(rule[2] ?? "");
  }
  return chains;
}

/** Rules of a chain, and of the chains it jumps to, in order. */
function walk(chains: ReadonlyMap<string, Chain>, name: string, depth = 0): string[] {
  const chain = chains.get(name);
  if (chain === undefined || depth > 8) return [];
  return chain.rules.flatMap((rule) => {
    const target = /-j (\S+)/.exec(rule)?.[1] ?? "";
    return chains.has(target) ? [rule, ...walk(chains, target, depth + 1)] : [rule];
  });
}

const DROPS = /-j (DROP|REJECT)\b/;

export function checkForwardChain(facts: HostFacts, networks: readonly string[]): Finding {
  const chains = filterChains(facts.iptables);
  const forward = walk(chains, "FORWARD");
  const accepts = forward.findIndex(
    (rule) =>
      / -j ACCEPT\b/.test(` ${rule}`) && (networks.some((net) => rule.includes(net)) || /^-j ACCEPT/.test(rule)),
  );
  const drops = forward.findIndex((rule) => DROPS.test(rule) && isPlainFor(rule, networks));
  const policy = chains.get("FORWARD")?.policy ?? "ACCEPT";
  if (drops >= 0 && (accepts < 0 || drops < accepts)) {
    return fail(
      "forward",
      `iptables FORWARD: ${forward[drops]}`,
      "packets of the overlay are dropped before anything accepts them",
      "delete that rule or put it behind those of FLANNEL-FWD; the agent's --iptables-forward-rules adds them",
    );
  }
  if (policy === "DROP" && accepts < 0) {
    return fail(
      "forward",
      "iptables FORWARD policy DROP, and no rule accepts the overlay",
      "packets between pods of different nodes are dropped (Docker sets this policy since 1.13)",
      "run the agent with --iptables-forward-rules=true, or: iptables -P FORWARD ACCEPT",
    );
  }
  const other = nftDrops(facts.nftables, "forward");
  if (other !== null) {
    return warn(
      "forward",
      other,
      "this nftables chain drops forwarded packets; an accept in another chain does not help against it",
      `accept ${networks.join(" and ") || "the overlay's network"} in that very chain (firewalld: put flannel.1 and cni0 into the trusted zone)`,
    );
  }
  return ok("forward", `policy ${policy}${accepts >= 0 ? ", the overlay is accepted" : ""}`);
}

/** Without a match that narrows it to other traffic. */
function isPlainFor(rule: string, networks: readonly string[]): boolean {
  const narrowed = /-(p|i|o|m) /.test(rule.replace(/-m comment --comment ("[^"]*"|\S+)/, ""));
  const addressed = /-[sd] (\S+)/.exec(rule);
  return !narrowed && (addressed === null || networks.includes(addressed[1] ?? ""));
}

export function checkEncapsulationPort(facts: HostFacts, port: number | null): Finding {
  if (port === null) return ok("udp_port", "this backend uses none");
  const chains = filterChains(facts.iptables);
  const input = walk(chains, "INPUT");
  const accepts = input.findIndex(
    (rule) => /-j ACCEPT/.test(rule) && (/^-j ACCEPT/.test(rule) || matchesPort(rule, port)),
  );
  const drops = input.findIndex((rule) => DROPS.test(rule) && (matchesPort(rule, port) || /^-j /.test(rule)));
  const fix = `iptables -I INPUT -p udp --dport ${port} -j ACCEPT (and allow it in the cloud's or the site's firewall)`;
  const meaning =
    "peers' encapsulated packets are dropped when the kernel's path carries them: no traffic from other nodes";
  if (drops >= 0 && (accepts < 0 || drops < accepts))
    return fail("udp_port", `iptables INPUT: ${input[drops]}`, meaning, fix);
  const policy = chains.get("INPUT")?.policy ?? "ACCEPT";
  if (policy === "DROP" && accepts < 0)
    return fail("udp_port", `iptables INPUT policy DROP, and no rule accepts UDP ${port}`, meaning, fix);
  const other = nftDrops(facts.nftables, "input", port);
  if (other !== null)
    return fail("udp_port", other, meaning, `nft: accept "udp dport ${port}" in that chain, before it drops`);
  return ok("udp_port", `no local rule drops UDP ${port}`);
}

function matchesPort(rule: string, port: number): boolean {
  return /-p udp/.test(rule) && new RegExp(`--dports? (\\S*\\b)?${port}\\b`).test(rule);
}

/** A native nftables base chain (not iptables-nft's own) that drops; null when none does. */
function nftDrops(ruleset: string, hook: "input" | "forward", port?: number): string | null {
  let table = "";
  for (const block of ruleset.split(/^(?=table )/m)) {
    table = /^table (\S+ \S+)/.exec(block)?.[1] ?? "";
    if (/^(ip|ip6) (filter|nat|mangle|raw|security)$/.test(table) || table.startsWith(GUARD_TABLE)) continue;
    for (const [, name = "", body = ""] of block.matchAll(/\tchain (\S+) \{\n([\s\S]*?)\n\t\}/g)) {
      if (!body.includes(`hook ${hook} `)) continue;
      const rules = body.split("\n").map((line) => line.trim());
      const rule = rules.find(
        (line) => /\b(drop|reject)\b/.test(line) && !line.startsWith("type ") && saysPort(line, port),
      );
      if (rule !== undefined) return `nftables ${table} ${name}: ${rule}`;
      const accepted = rules.some((line) => line.includes("accept") && (port === undefined || saysPort(line, port)));
      if (/policy drop;/.test(body) && !accepted) return `nftables ${table} ${name}: policy drop`;
    }
  }
  return null;
}

function saysPort(rule: string, port: number | undefined): boolean {
  if (port === undefined) return /^(counter .*)?(drop|reject)/.test(rule);
  return /^(counter .*)?(drop|reject)/.test(rule) || (rule.includes("udp") && new RegExp(`\\b${port}\\b`).test(rule));
}

/** Rules written by both iptables flavours are applied both, and each tool shows only its own. */
export function checkFlavours(facts: HostFacts): Finding {
  const legacy = /^# Warning: iptables-legacy tables present/m.test(`${facts.iptables}\n${facts.nftables}`);
  if (!legacy) return ok("iptables", "one flavour");
  return warn(
    "iptables",
    "rules of iptables-legacy and of iptables-nft are both there",
    "both apply, and each tool shows only its own",
    "move to one of them: iptables-legacy-save | iptables-nft-restore, then flush the legacy tables",
  );
}

/** What keeps pods from the overlay's UDP port. */
export function checkTunnelGuard(facts: HostFacts, device: string | null, port: number | null): Finding {
  if (device === null || port === null) return ok("tunnel_guard", "this backend uses no UDP port of its own");
  const name = `${GUARD_TABLE}${device}`;
  const table = facts.nftables.split(/^(?=table )/m).find((block) => block.startsWith(`table ${name} {`));
  const counts = table === undefined ? null : guardCounts(table);
  const guards = (hook: string) => table?.includes(`hook ${hook} `) === true;
  if (counts === null || !guards("input") || !guards("forward") || !table?.includes(`udp dport ${port} `)) {
    return warn(
      "tunnel_guard",
      `nft table ${name} ${table === undefined ? "is not there" : "is not whole"}`,
      `pods can send packets to UDP ${port} of nodes, which nodes take for the overlay's own`,
      "install nftables; the running agent makes the table within --iptables-resync seconds",
    );
  }
  const { ownNode, otherNodes } = counts;
  if (ownNode + otherNodes === 0) return ok("tunnel_guard", `nft table ${name}; no pod has tried`);
  return warn(
    "tunnel_guard",
    `pods of this node sent ${ownNode} packets to its own UDP ${port} and ${otherNodes} to that of others`,
    "they were dropped; a pod that does this wants to be taken for a node, or has the wrong address",
    `see which: tcpdump -ni any udp dst port ${port}, at the pods' devices; nft reset counters table ${name} starts anew`,
  );
}

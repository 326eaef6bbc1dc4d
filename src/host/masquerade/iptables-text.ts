// iptables in text: what iptables-save must show, whether it does, and what to feed to iptables-restore. Pure. The rules are
// flannel's to the letter, so that whoever greps for them finds them.
import type { Prefix } from "../../addr/address.js";
import { formatPrefix } from "../../addr/prefix.js";
import { type FamilyRules, type FilterRules, KUBE_MARK, MULTICAST } from "./rules.js";

/** One of our chains: where it lives, which built-in chain jumps to it, and its rules as iptables-save prints them. */
export interface OwnChain {
  readonly table: "nat" | "filter";
  readonly name: string;
  readonly jump: string;
  /** Null: the chain shall not exist. */
  readonly rules: readonly string[] | null;
}

const MASQ = '-m comment --comment "flanneld masq"';
const FORWARD = '-m comment --comment "flanneld forward"';

export function wantedChains(rules: FilterRules, family: FamilyRules): readonly OwnChain[] {
  return chains(
    rules.masquerade ? masqueradeRules(family, rules.fullyRandom) : null,
    rules.forward ? forwardRules(family.network) : null,
  );
}

/** For remove(): both chains gone. */
export function noChains(): readonly OwnChain[] {
  return chains(null, null);
}

function chains(masquerade: readonly string[] | null, forward: readonly string[] | null): readonly OwnChain[] {
  return [
    {
      table: "nat",
      name: "FLANNEL-POSTRTG",
      jump: `-A POSTROUTING ${MASQ} -j FLANNEL-POSTRTG`,
      rules: masquerade,
    },
    { table: "filter", name: "FLANNEL-FWD", jump: `-A FORWARD ${FORWARD} -j FLANNEL-FWD`, rules: forward },
  ];
}

function masqueradeRules({ family, network, subnet, neverMasquerade }: FamilyRules, random: boolean): string[] {
  const add = "-A FLANNEL-POSTRTG";
  const n = formatPrefix(network);
  const p = formatPrefix(subnet);
  const masquerade = `${MASQ} -j MASQUERADE${random ? " --random-fully" : ""}`;
  const keep = (one: Prefix): string => `${add} -s ${n} -d ${formatPrefix(one)} ${MASQ} -j RETURN`;
  return [
    `${add} -m mark --mark ${KUBE_MARK}/${KUBE_MARK} ${MASQ} -j RETURN`,
    `${add} -s ${p} -d ${n} ${MASQ} -j RETURN`,
    `${add} -s ${n} -d ${p} ${MASQ} -j RETURN`,
    `${add} ! -s ${n} -d ${p} ${MASQ} -j RETURN`,
    ...neverMasquerade.filter((one) => one.family === family).map(keep),
    `${add} -s ${n} ! -d ${MULTICAST[family]} ${masquerade}`,
    `${add} ! -s ${n} -d ${n} ${masquerade}`,
  ];
}

function forwardRules(network: Prefix): string[] {
  const n = formatPrefix(network);
  return [`-A FLANNEL-FWD -s ${n} ${FORWARD} -j ACCEPT`, `-A FLANNEL-FWD -d ${n} ${FORWARD} -j ACCEPT`];
}

/** Rules and declared chains per table, from the output of iptables-save. */
export function parseSave(text: string): ReadonlyMap<string, readonly string[]> {
  const tables = new Map<string, string[]>();
  let lines: string[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line.startsWith("*")) {
      lines = [];
      tables.set(line.slice(1), lines);
    } else if (line.startsWith(":") || line.startsWith("-A ")) lines.push(line);
  }
  return tables;
}

/** True when the chain is exactly as wanted: its rules in order, nothing else in it, and one jump to it. */
export function isSettled(chain: OwnChain, tables: ReadonlyMap<string, readonly string[]>): boolean {
  const lines = tables.get(chain.table) ?? [];
  const declared = lines.some((line) => line.startsWith(`:${chain.name} `));
  const jumps = lines.filter((line) => line === chain.jump).length;
  if (chain.rules === null) return !declared && jumps === 0;
  const present = lines.filter((line) => line.startsWith(`-A ${chain.name} `));
  const same = present.length === chain.rules.length && present.every((line, i) => line === chain.rules?.[i]);
  return declared && same && jumps === 1;
}

/** Input of `iptables-restore --noflush` that brings the chains about. Declaring a chain empties it, in the same transaction. */
export function restoreText(chains: readonly OwnChain[], tables: ReadonlyMap<string, readonly string[]>): string {
  const text: string[] = [];
  for (const chain of chains) {
    const jumps = (tables.get(chain.table) ?? []).filter((line) => line === chain.jump).length;
    const dropJump = chain.jump.replace(/^-A/, "-D");
    text.push(`*${chain.table}`, `:${chain.name} - [0:0]`);
    if (chain.rules === null) {
      text.push(...Array.from({ length: jumps }, () => dropJump), `-X ${chain.name}`);
    } else {
      text.push(...chain.rules);
      text.push(...(jumps === 0 ? [chain.jump] : Array.from({ length: jumps - 1 }, () => dropJump)));
    }
    text.push("COMMIT");
  }
  return `${text.join("\n")}\n`;
}

// The host as the machine's own tools show it: `ip`, iptables, nft, /proc and /sys. On purpose not through our netlink: a doctor
// should not trust the patient's eyes. Reads only; a tool that is missing or fails gives an empty list and is named.
import { readFile } from "node:fs/promises";
import { type CommandRunner, runCommand } from "../host/command.js";

export interface LinkFact {
  readonly ifname: string;
  /** The device below, of a VLAN for instance. */
  readonly link?: string;
  readonly mtu: number;
  readonly address?: string;
  readonly operstate?: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Readonly<Record<string, unknown>> };
  readonly xdp?: { readonly mode?: number; readonly prog?: { readonly id: number; readonly name?: string } };
  readonly addr_info?: ReadonlyArray<{ readonly family: string; readonly local: string; readonly prefixlen: number }>;
}

export interface RouteFact {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly protocol?: string;
  readonly type?: string;
}

export interface NeighborFact {
  readonly dst?: string;
  readonly dev?: string;
  readonly ifname?: string;
  readonly lladdr?: string;
  readonly mac?: string;
}

export interface HostFacts {
  readonly links: readonly LinkFact[];
  readonly routes: readonly RouteFact[];
  readonly neighbors: readonly NeighborFact[];
  readonly fdb: readonly NeighborFact[];
  /** iptables-save and ip6tables-save, one after the other. */
  readonly iptables: string;
  /** `nft list ruleset`. */
  readonly nftables: string;
  /** Tools that could not be asked, with the reason. */
  readonly blind: readonly string[];
}

const WARNING = /^# Warning: .*$/m;

export async function readHostFacts(run: CommandRunner = runCommand): Promise<HostFacts> {
  const blind: string[] = [];
  const text = async (...argv: string[]): Promise<string> => {
    const result = await run(argv).catch((error: unknown) => ({ code: -1, stdout: "", stderr: String(error) }));
    // iptables says on standard error that the other flavour has tables too.
    if (result.code === 0) return `${result.stdout}${WARNING.exec(result.stderr)?.[0] ?? ""}`;
    blind.push(`${argv.join(" ")}: ${result.stderr.trim().split("\n")[0] ?? ""}`);
    return "";
  };
  const json = async <T>(...argv: string[]): Promise<readonly T[]> => {
    const answer = await text(...argv);
    return answer.trim() === "" ? [] : (JSON.parse(answer) as readonly T[]);
  };
  const [links, addresses, routes4, routes6, neighbors, fdb, iptables, ip6tables, nftables] = await Promise.all([
    json<LinkFact>("ip", "-json", "-details", "link", "show"),
    json<LinkFact>("ip", "-json", "address", "show"),
    json<RouteFact>("ip", "-json", "-4", "route", "show", "table", "main"),
    json<RouteFact>("ip", "-json", "-6", "route", "show", "table", "main"),
    json<NeighborFact>("ip", "-json", "neighbor", "show"),
    json<NeighborFact>("bridge", "-json", "fdb", "show"),
    text("iptables-save"),
    text("ip6tables-save"),
    text("nft", "-n", "list", "ruleset"),
  ]);
  const named = new Map(addresses.map((link) => [link.ifname, link.addr_info ?? []]));
  return {
    links: links.map((link) => ({ ...link, addr_info: named.get(link.ifname) ?? [] })),
    routes: [...routes4, ...routes6],
    neighbors,
    fdb,
    iptables: `${iptables}\n${ip6tables}`,
    nftables,
    blind,
  };
}

/** First line of a file in /proc or /sys; null when there is none. */
export async function readLine(path: string): Promise<string | null> {
  try {
    return (await readFile(path, "utf8")).trim().split("\n")[0] ?? "";
  } catch {
    return null;
  }
}

/** The device over which the kernel would reach an address; null when it would not. */
export async function deviceTowards(address: string, run: CommandRunner = runCommand): Promise<string | null> {
  const result = await run(["ip", "-json", "route", "get", address]);
  if (result.code !== 0) return null;
  const [route] = JSON.parse(result.stdout) as readonly RouteFact[];
  return route?.dev ?? null;
}

// subnet.env: what CNI plugins and Docker read, byte for byte as flannel writes it, and what an agent reads back at start to
// keep its subnet. Writing is atomic; reading forgives everything, because a broken old file must not stop a node.
import { readFile } from "node:fs/promises";
import type { Prefix, Prefix4, Prefix6 } from "../addr/address.js";
import { addressAt, formatPrefix, parsePrefix4, parsePrefix6 } from "../addr/prefix.js";
import { writeFileAtomic } from "../lib/atomic-file.js";
import { RipstopError } from "../lib/errors.js";
import type { Subnets } from "../store/store.js";

export interface SubnetEnv extends Subnets {
  /** Null when the family is off. */
  readonly network: Prefix4 | null;
  readonly ipv6Network: Prefix6 | null;
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/** What was found in a file; null where it says nothing usable. */
export interface PreviousSubnetEnv extends Subnets {
  readonly network: Prefix4 | null;
  readonly ipv6Network: Prefix6 | null;
  readonly mtu: number | null;
}

export function formatSubnetEnv(env: SubnetEnv): string {
  const lines: string[] = [];
  if (env.network !== null && env.subnet !== null) {
    lines.push(`FLANNEL_NETWORK=${formatPrefix(env.network)}`, `FLANNEL_SUBNET=${gateway(env.subnet)}`);
  }
  if (env.ipv6Network !== null && env.ipv6Subnet !== null) {
    lines.push(
      `FLANNEL_IPV6_NETWORK=${formatPrefix(env.ipv6Network)}`,
      `FLANNEL_IPV6_SUBNET=${gateway(env.ipv6Subnet)}`,
    );
  }
  lines.push(`FLANNEL_MTU=${env.mtu}`, `FLANNEL_IPMASQ=${env.ipMasq}`);
  return `${lines.join("\n")}\n`;
}

export async function writeSubnetEnv(path: string, env: SubnetEnv): Promise<void> {
  try {
    await writeFileAtomic(path, formatSubnetEnv(env));
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    throw new RipstopError(
      "SUBNET_ENV_WRITE",
      `cannot write ${path} (${code ?? error}); free space or make the directory writable, or choose another with -subnet-file`,
      {
        op: "write subnet.env",
        ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
        cause: error,
      },
    );
  }
}

/** Null when there is no file to read. */
export async function readSubnetEnv(path: string): Promise<PreviousSubnetEnv | null> {
  try {
    return parseSubnetEnv(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}

export function parseSubnetEnv(text: string): PreviousSubnetEnv {
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Z0-9_]+)\s*[=:]\s*(.*?)\s*$/.exec(line);
    if (match !== null) values.set(match[1] ?? "", unquote(match[2] ?? ""));
  }
  const first = <P extends Prefix>(name: string, parse: (text: string) => P | null): P | null => {
    for (const part of (values.get(name) ?? "").split(",")) {
      const prefix = parse(part.trim());
      if (prefix !== null) return prefix;
    }
    return null;
  };
  const mtu = values.get("FLANNEL_MTU") ?? "";
  return {
    network: first("FLANNEL_NETWORK", parsePrefix4),
    subnet: first("FLANNEL_SUBNET", parsePrefix4),
    ipv6Network: first("FLANNEL_IPV6_NETWORK", parsePrefix6),
    ipv6Subnet: first("FLANNEL_IPV6_SUBNET", parsePrefix6),
    mtu: /^\d{1,9}$/.test(mtu) ? Number(mtu) : null,
  };
}

/** The bridge's address: the first one after the base, with the subnet's length. */
function gateway(subnet: Prefix): string {
  return formatPrefix({ ...subnet, address: addressAt(subnet, 1) } as Prefix);
}

function unquote(text: string): string {
  const quoted = /^(["'])(.*)\1/.exec(text);
  return quoted !== null ? (quoted[2] ?? "") : text.replace(/\s+#.*$/, "");
}

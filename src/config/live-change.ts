// What of a new network configuration a running agent can take over, and what waits for its restart. Live is what a backend
// corrects, and what the data plane takes when it is opened again. Pure.
import type { JsonObject } from "./case-folded.js";
import { chooseDataPlane, type DataPlaneChoice, type NetworkConfig } from "./network-config.js";

/** Keys of Backend that a backend follows while it runs. GBP alone makes its device anew: the kernel changes it on none. */
const LIVE_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ["ipip", ["directrouting"]],
  ["vxlan", ["mtu", "directrouting", "gbp", "learning"]],
  ["wireguard", ["mtu"]],
]);
const NETWORK_FIELDS = [
  ["EnableIPv4", "enableIpv4"],
  ["EnableIPv6", "enableIpv6"],
  ["EnableNFTables", "enableNftables"],
  ["Network", "network"],
  ["IPv6Network", "ipv6Network"],
  ["SubnetLen, SubnetMin or SubnetMax", "range"],
  ["IPv6SubnetLen, IPv6SubnetMin or IPv6SubnetMax", "ipv6Range"],
] as const;

export interface Running {
  readonly network: NetworkConfig;
  readonly choice: DataPlaneChoice;
}

export interface LiveChange extends Running {
  /** Names of what changes at once; empty: nothing does. */
  readonly live: readonly string[];
  /** Names of what changes with the next start. */
  readonly restart: readonly string[];
}

/** `flags` are the node's own words on the data plane, which win over the configuration's. */
export function liveChange(running: Running, wanted: NetworkConfig, flags: Partial<DataPlaneChoice>): LiveChange {
  const before = running.network;
  const restart: string[] = NETWORK_FIELDS.filter(([, field]) => differ(before[field], wanted[field])).map(
    ([name]) => name,
  );
  const live: string[] = [];
  const sameType = before.backendType === wanted.backendType;
  if (!sameType) restart.push("Backend.Type");
  const liveKeys = LIVE_KEYS.get(before.backendType) ?? [];
  const backend = new Map(byLowerKey(before.backend));
  for (const [key, [name, value]] of sameType ? differences(before.backend, wanted.backend) : []) {
    if (!liveKeys.includes(key)) {
      restart.push(`Backend.${name}`);
      continue;
    }
    live.push(`Backend.${name}`);
    if (value === undefined) backend.delete(key);
    else backend.set(key, [name, value]);
  }
  const { mode } = running.choice;
  const asked = chooseDataPlane(flags, wanted.dataPlane);
  const choice = { ...asked, mode };
  if (asked.mode !== mode) restart.push("Backend.DataPlane.Mode");
  if (differ(choice, running.choice)) live.push("Backend.DataPlane");
  const network = { ...before, backend: Object.fromEntries(backend.values()), dataPlane: wanted.dataPlane };
  return { network, choice, live, restart };
}

/** By lower-case key: the name as written and the new value, undefined when it is gone. */
function differences(before: JsonObject, after: JsonObject): Map<string, [name: string, value: unknown]> {
  const found = new Map<string, [string, unknown]>();
  const old = byLowerKey(before);
  const now = byLowerKey(after);
  for (const [key, [name]] of [...old, ...now]) {
    // The type and the data plane are compared as what they mean.
    if (key === "type" || key === "dataplane") continue;
    if (differ(old.get(key)?.[1], now.get(key)?.[1])) found.set(key, [name, now.get(key)?.[1]]);
  }
  return found;
}

function byLowerKey(values: JsonObject): Map<string, [name: string, value: unknown]> {
  return new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), [name, value]]));
}

function differ(a: unknown, b: unknown): boolean {
  return canonical(a) !== canonical(b);
}

/** Text that is equal when the values are, whatever the order of their keys. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) => {
      if (typeof part === "bigint") return `${part}n`;
      if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
      return Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1)));
    }) ?? ""
  );
}

// net-conf.json: flannel's schema, read as leniently as Go reads it and checked as strictly as flannel's etcd manager checks
// it. Untrusted input: zod sees every value. Pure; never reads a file.
import { z } from "zod";
import type { Prefix4, Prefix6 } from "../addr/address.js";
import { parseIpv4 } from "../addr/ipv4.js";
import { parseIpv6 } from "../addr/ipv6.js";
import { parsePrefix4, parsePrefix6 } from "../addr/prefix.js";
import { RipstopError } from "../lib/errors.js";
import { COMMON_FIELDS, FIELDS_OF_BACKEND } from "./backend-fields.js";
import { foldKeys, isJsonObject, type JsonObject } from "./case-folded.js";
import { DATAPLANE_MODES, OVERLAY_PORTS, UNDERLAY_PORTS } from "./flags.js";
import { BUSY_POLL_MAX_US, CPU_MAX, CPUS_MAX, PLANE_FEATURES, WORKERS_MAX } from "./plane-limits.js";
import { type SubnetRange4, type SubnetRange6, subnetRange } from "./subnet-range.js";

export interface DataPlaneChoice {
  readonly mode: (typeof DATAPLANE_MODES)[number];
  readonly underlayPort: (typeof UNDERLAY_PORTS)[number];
  readonly overlayPort: (typeof OVERLAY_PORTS)[number];
  /** Worker threads; 0: chosen by the data plane. */
  readonly workers: number;
  /** CPUs that workers are bound to, in turn; empty: they run wherever the system lets them. */
  readonly cpus: readonly number[];
  /** Microseconds a worker spins before it blocks; 0: it blocks at once. */
  readonly busyPollUs: number;
  /** Data-plane features treated as absent, e.g. "tunnel-gso": for tests, and for kernels that promise too much. */
  readonly disable: readonly string[];
}
export const DEFAULT_DATA_PLANE: DataPlaneChoice = {
  mode: "auto",
  underlayPort: "auto",
  overlayPort: "auto",
  workers: 0,
  cpus: [],
  busyPollUs: 0,
  disable: [],
};

export interface NetworkConfig {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly enableNftables: boolean;
  /** Null when the family is off. */
  readonly network: Prefix4 | null;
  readonly ipv6Network: Prefix6 | null;
  /** Where subnets are allocated; null when the family is off or the store allocates by itself. */
  readonly range: SubnetRange4 | null;
  readonly ipv6Range: SubnetRange6 | null;
  /** Lower case. */
  readonly backendType: string;
  /** The Backend object as written; each backend reads its own options from it (backend-options.ts). */
  readonly backend: JsonObject;
  readonly dataPlane: Partial<DataPlaneChoice>;
  /** Things accepted but probably not meant. */
  readonly warnings: readonly string[];
}

export interface NetworkConfigRules {
  /** False for Kubernetes, where the cluster hands out pod CIDRs and the Subnet* fields mean nothing. */
  readonly allocates: boolean;
}

const FIELDS = [
  "EnableIPv4",
  "EnableIPv6",
  "EnableNFTables",
  "Network",
  "IPv6Network",
  "SubnetLen",
  "SubnetMin",
  "SubnetMax",
  "IPv6SubnetLen",
  "IPv6SubnetMin",
  "IPv6SubnetMax",
  "Backend",
] as const;

const bool = (initial: boolean) =>
  z
    .boolean("give true or false")
    .nullish()
    .transform((value) => value ?? initial);
const length = z
  .int("give a whole number")
  .min(0, "give a number that is not negative")
  .nullish()
  .transform((value) => value ?? 0);
/** Text that `parse` accepts; null and "" are refused as Go refuses them. */
const parsed = <T>(parse: (text: string) => T | null, remedy: string) =>
  z
    .string(remedy)
    .transform((text, context) => {
      const value = parse(text);
      if (value !== null) return value;
      context.addIssue({ code: "custom", message: remedy });
      return z.NEVER;
    })
    .optional();
const SCHEMA = z.object({
  EnableIPv4: bool(true),
  EnableIPv6: bool(false),
  EnableNFTables: bool(false),
  Network: parsed(parsePrefix4, "invalid IPv4 CIDR format: give one such as 10.244.0.0/16"),
  IPv6Network: parsed(parsePrefix6, "invalid IPv6 CIDR format: give one such as fd00:10:244::/48"),
  SubnetLen: length,
  SubnetMin: parsed(parseIpv4, "invalid IP address format: give an IPv4 address"),
  SubnetMax: parsed(parseIpv4, "invalid IP address format: give an IPv4 address"),
  IPv6SubnetLen: length,
  IPv6SubnetMin: z.union([z.null(), parsed(parseIpv6, "")], "invalid IP address format: give an IPv6 address"),
  IPv6SubnetMax: z.union([z.null(), parsed(parseIpv6, "")], "invalid IP address format: give an IPv6 address"),
  Backend: z.unknown().optional(),
});

const DATA_PLANE_FIELDS = ["Mode", "UnderlayPort", "OverlayPort", "Workers", "Cpus", "BusyPollUs", "Disable"] as const;
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `give one of ${values.join(", ")}`).optional();
const NO_CPUS = "give CPU numbers, such as [2,3]";
const DATA_PLANE_SCHEMA = z.object({
  Mode: oneOf(DATAPLANE_MODES),
  UnderlayPort: oneOf(UNDERLAY_PORTS),
  OverlayPort: oneOf(OVERLAY_PORTS),
  Workers: z
    .int(`give a whole number from 0 to ${WORKERS_MAX}`)
    .min(0, `give a number from 0 to ${WORKERS_MAX}`)
    .max(WORKERS_MAX, `give a number from 0 to ${WORKERS_MAX}`)
    .optional(),
  Cpus: z
    .array(z.int(NO_CPUS).min(0, NO_CPUS).max(CPU_MAX, NO_CPUS), NO_CPUS)
    .max(CPUS_MAX, `give at most ${CPUS_MAX} CPU numbers`)
    .optional(),
  BusyPollUs: z
    .int(`give microseconds from 0 to ${BUSY_POLL_MAX_US}`)
    .min(0, `give microseconds from 0 to ${BUSY_POLL_MAX_US}`)
    .max(BUSY_POLL_MAX_US, `give microseconds from 0 to ${BUSY_POLL_MAX_US}`)
    .optional(),
  Disable: z
    .array(z.string().regex(/^[a-z0-9-]{1,32}$/), 'give feature names, such as ["tunnel-gso"]')
    .max(32, "give at most 32 feature names")
    .optional(),
});

/** The configuration, or a RipstopError NETWORK_CONFIG_INVALID that names field, value and remedy. */
export function parseNetworkConfig(text: string, rules: NetworkConfigRules = { allocates: true }): NetworkConfig {
  const input = readObject(text);
  const folded = foldKeys(input, FIELDS);
  const fields = checkShape(SCHEMA, folded.values, "");
  const warnings = folded.unknown.map((key) => `unknown key "${key}" in the network configuration is ignored`);
  if (!fields.EnableIPv4 && !fields.EnableIPv6)
    throw invalid("none defined stack: EnableIPv4 and EnableIPv6 are both false", "enable one of them");
  const network = fields.EnableIPv4 ? required(fields.Network, "Network") : null;
  const ipv6Network = fields.EnableIPv6 ? required(fields.IPv6Network, "IPv6Network") : null;
  const backend = readBackend(folded.values, warnings);
  const allocate = rules.allocates;
  return {
    enableIpv4: fields.EnableIPv4,
    enableIpv6: fields.EnableIPv6,
    enableNftables: fields.EnableNFTables,
    network,
    ipv6Network,
    range:
      network !== null && allocate
        ? subnetRange(network, fields.SubnetLen, fields.SubnetMin ?? null, fields.SubnetMax ?? null)
        : null,
    ipv6Range:
      ipv6Network !== null && allocate
        ? subnetRange(ipv6Network, fields.IPv6SubnetLen, fields.IPv6SubnetMin ?? null, fields.IPv6SubnetMax ?? null)
        : null,
    backendType: backend.type,
    backend: backend.raw,
    dataPlane: backend.dataPlane,
    warnings,
  };
}

/** What the node's flags say wins over what the cluster's configuration says. */
export function chooseDataPlane(flags: Partial<DataPlaneChoice>, config: Partial<DataPlaneChoice>): DataPlaneChoice {
  return { ...DEFAULT_DATA_PLANE, ...config, ...flags };
}

function readObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`the network configuration is no JSON (${(error as Error).message})`, "correct it at that place");
  }
  if (isJsonObject(value)) return value;
  throw invalid("the network configuration is no JSON object", 'write at least {"Network":"10.244.0.0/16"}');
}

function required<T extends Prefix4 | Prefix6>(value: T | null | undefined, field: "Network" | "IPv6Network"): T {
  if (value !== null && value !== undefined) return value;
  throw invalid(
    `please define a correct ${field} parameter in the flannel config: ${field} is missing`,
    `add "${field}" as a CIDR`,
  );
}

function readBackend(
  values: JsonObject,
  warnings: string[],
): { type: string; raw: JsonObject; dataPlane: Partial<DataPlaneChoice> } {
  if (!("Backend" in values)) {
    warnings.push('Backend is missing, which means udp as in flannel; write {"Type":"vxlan"} for the usual choice');
    return { type: "udp", raw: {}, dataPlane: {} };
  }
  const raw = values.Backend === null ? {} : values.Backend;
  if (!isJsonObject(raw))
    throw invalid(
      `error decoding Backend property of config: it is ${JSON.stringify(raw)}`,
      'write an object such as {"Type":"vxlan"}',
    );
  const { Type: type = "", DataPlane: dataPlane } = foldKeys(raw, COMMON_FIELDS).values;
  if (typeof type !== "string")
    throw invalid(`error decoding Backend property of config: Type is ${JSON.stringify(type)}`, "give it as text");
  if (type === "")
    throw invalid(
      "unknown backend type: Backend.Type is empty",
      'write {"Type":"vxlan"}, or leave Backend out for udp',
    );
  const fields = FIELDS_OF_BACKEND.get(type.toLowerCase());
  const unread = fields === undefined ? [] : foldKeys(raw, [...COMMON_FIELDS, ...fields]).unknown;
  for (const key of unread) warnings.push(`key "${key}" in Backend has no effect with ${type}`);
  return { type: type.toLowerCase(), raw, dataPlane: readDataPlane(dataPlane, warnings) };
}

function readDataPlane(value: unknown, warnings: string[]): Partial<DataPlaneChoice> {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value))
    throw invalid(`Backend.DataPlane is ${JSON.stringify(value)}`, 'write an object such as {"Mode":"auto"}');
  const folded = foldKeys(value, DATA_PLANE_FIELDS);
  for (const key of folded.unknown) warnings.push(`unknown key "${key}" in Backend.DataPlane is ignored`);
  const fields = checkShape(DATA_PLANE_SCHEMA, folded.values, "Backend.DataPlane.");
  // Not refused: a cluster's configuration is read by nodes of several versions.
  for (const feature of fields.Disable ?? []) {
    if (!PLANE_FEATURES.some((known) => known === feature)) warnings.push(unknownFeature(feature));
  }
  return {
    ...(fields.Mode === undefined ? {} : { mode: fields.Mode }),
    ...(fields.UnderlayPort === undefined ? {} : { underlayPort: fields.UnderlayPort }),
    ...(fields.OverlayPort === undefined ? {} : { overlayPort: fields.OverlayPort }),
    ...(fields.Workers === undefined ? {} : { workers: fields.Workers }),
    ...(fields.Cpus === undefined ? {} : { cpus: fields.Cpus }),
    ...(fields.BusyPollUs === undefined ? {} : { busyPollUs: fields.BusyPollUs }),
    ...(fields.Disable === undefined ? {} : { disable: fields.Disable }),
  };
}

function unknownFeature(feature: string): string {
  return `unknown feature "${feature}" in Backend.DataPlane.Disable has no effect; there are ${PLANE_FEATURES.join(", ")}`;
}

/** Runs a zod schema and turns its first complaint into our error: field, value, remedy. */
export function checkShape<S extends z.ZodType>(schema: S, values: JsonObject, prefix: string): z.output<S> {
  const outcome = schema.safeParse(values);
  if (outcome.success) return outcome.data;
  const issue = outcome.error.issues[0];
  const field = String(issue?.path[0] ?? "");
  throw invalid(`${prefix}${field} is ${JSON.stringify(values[field])}`, issue?.message ?? "correct it");
}

function invalid(problem: string, remedy: string): RipstopError {
  return new RipstopError("NETWORK_CONFIG_INVALID", `${problem}; ${remedy}`);
}

// flannel's text forms of a lease: the key `10.1.2.0-24&fd00::-64` and the JSON value with flannel's names and order. Both
// come from machines we do not control: decoding returns a reason instead of throwing, and one bad record is one reason.
import { z } from "zod";
import type { Prefix4, Prefix6 } from "../addr/address.js";
import { formatIpv4, IPV4_BITS, ipv4, parseIpv4 } from "../addr/ipv4.js";
import { formatIpv6, IPV6_BITS, parseIpv6 } from "../addr/ipv6.js";
import { formatAddress, parsePrefix4, parsePrefix6, parsePrefixWithHost, prefix4 } from "../addr/prefix.js";
import { goJson } from "../lib/json.js";
import type { LeaseAttrs } from "./lease.js";

export interface LeaseSubnets {
  readonly subnet: Prefix4 | null;
  readonly ipv6Subnet: Prefix6 | null;
}

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** What flannel writes in the IPv4 half of an IPv6-only key. */
const NO_IPV4 = prefix4(ipv4(0), 0);
const LENGTHS = /^(.*)-(0|[1-9]\d{0,2})$/;

export function encodeSubnetKey(subnets: LeaseSubnets): string {
  const v4 = subnets.subnet ?? NO_IPV4;
  const head = `${formatAddress(v4)}-${v4.length}`;
  return subnets.ipv6Subnet === null
    ? head
    : `${head}&${formatAddress(subnets.ipv6Subnet)}-${subnets.ipv6Subnet.length}`;
}

/** `key` is the last segment only, without the store's prefix. */
export function decodeSubnetKey(key: string): Decoded<LeaseSubnets> {
  const halves = key.split("&");
  if (halves.length > 2) return bad(`key "${key}" has more than one &`);
  const v4 = keyHalf(halves[0] ?? "", parsePrefix4, IPV4_BITS);
  if (typeof v4 === "string") return bad(`key "${key}": ${v4}`);
  if (halves.length === 1)
    return v4.length === 0 ? bad(`key "${key}" names no subnet`) : good({ subnet: v4, ipv6Subnet: null });
  const v6 = keyHalf(halves[1] ?? "", parsePrefix6, IPV6_BITS);
  if (typeof v6 === "string") return bad(`key "${key}": ${v6}`);
  if (v6.length === 0) return bad(`key "${key}" names no IPv6 subnet`);
  if (v4.length === 0 && v4.address !== 0) return bad(`key "${key}" names no IPv4 subnet`);
  return good({ subnet: v4.length === 0 ? null : v4, ipv6Subnet: v6 });
}

/** The subnet, or why the text is none. Host bits and host routes are refused: no node hands them out. */
function keyHalf<P extends Prefix4 | Prefix6>(
  text: string,
  parse: (text: string) => P | null,
  bits: number,
): P | string {
  const match = LENGTHS.exec(text);
  const cidr = match === null ? "" : `${match[1]}/${match[2]}`;
  const prefix = parse(cidr);
  if (match === null || prefix === null || /[A-F]/.test(text)) return `"${text}" is not ADDRESS-LENGTH`;
  if (prefix.length >= bits) return `a /${prefix.length} is a host, not a subnet`;
  if (parsePrefixWithHost(cidr)?.address !== prefix.address) return `"${text}" has host bits set`;
  return prefix;
}

/** The value as Go's encoder writes flannel's struct: two fields always, three only when filled. */
export function encodeLeaseAttrs(attrs: LeaseAttrs): string {
  return goJson({
    PublicIP: formatIpv4(attrs.publicIp ?? ipv4(0)),
    PublicIPv6: attrs.publicIpv6 === null ? null : formatIpv6(attrs.publicIpv6),
    ...(attrs.backendType === "" ? {} : { BackendType: attrs.backendType }),
    ...(attrs.backendData === undefined || attrs.backendData === null ? {} : { BackendData: attrs.backendData }),
    ...(attrs.backendV6Data === undefined || attrs.backendV6Data === null
      ? {}
      : { BackendV6Data: attrs.backendV6Data }),
  });
}

const NAMES = new Map(
  ["PublicIP", "PublicIPv6", "BackendType", "BackendData", "BackendV6Data"].map((name) => [name.toLowerCase(), name]),
);
const ATTRS = z.object({
  PublicIP: z.string().nullish(),
  PublicIPv6: z.string().nullish(),
  BackendType: z.string().nullish(),
  BackendData: z.unknown().optional(),
  BackendV6Data: z.unknown().optional(),
});

export function decodeLeaseAttrs(text: string): Decoded<LeaseAttrs> {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch {
    return bad(text === "" ? "the value is empty" : "the value is no JSON");
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) return bad("the value is no JSON object");
  const named: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(input)) {
    const name = NAMES.get(key.toLowerCase());
    if (name !== undefined) named[name] = value;
  }
  const shape = ATTRS.safeParse(named);
  if (!shape.success)
    return bad(
      `${String(shape.error.issues[0]?.path[0])} is ${JSON.stringify(named[String(shape.error.issues[0]?.path[0])])}`,
    );
  const fields = shape.data;
  const publicIp = parseIpv4(fields.PublicIP ?? "0.0.0.0");
  if (publicIp === null) return bad(`PublicIP is "${fields.PublicIP}"`);
  const publicIpv6 = parseIpv6(fields.PublicIPv6 ?? "::");
  if (publicIpv6 === null) return bad(`PublicIPv6 is "${fields.PublicIPv6}"`);
  if (publicIp === 0 && publicIpv6 === 0n) return bad("the value names no public IP");
  return good({
    publicIp: publicIp === 0 ? null : publicIp,
    publicIpv6: publicIpv6 === 0n ? null : publicIpv6,
    backendType: fields.BackendType ?? "",
    ...(fields.BackendData === undefined || fields.BackendData === null ? {} : { backendData: fields.BackendData }),
    ...(fields.BackendV6Data === undefined || fields.BackendV6Data === null
      ? {}
      : { backendV6Data: fields.BackendV6Data }),
  });
}

function good<T>(value: T): Decoded<T> {
  return { ok: true, value };
}

function bad<T>(reason: string): Decoded<T> {
  return { ok: false, reason };
}

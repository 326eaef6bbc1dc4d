// What a WireGuard device must know of its peers, and by which address each of them is reached. Pure.
import { z } from "zod";
import type { Ipv4, Ipv6, Prefix } from "../../addr/address.js";
import { parsePrefix, prefixContains } from "../../addr/prefix.js";
import { foldKeys, isJsonObject } from "../../config/case-folded.js";
import type { WireguardOptions } from "../../config/backend-options.js";
import type { UnderlayAddress } from "../../host/host.js";
import type { LeaseAttrs } from "../../lease/lease.js";
import { isWireguardKey } from "./wireguard-key.js";

export interface WireguardPeer {
  readonly leaseKey: string;
  readonly publicKey: string;
  readonly endpoint: UnderlayAddress;
  readonly port: number;
  readonly allowed: readonly Prefix[];
}

export interface WireguardData {
  readonly publicKey: string;
  /** Null: a peer of an old version; it listens where we do. */
  readonly port: number | null;
}

const SCHEMA = z.looseObject({
  PublicKey: z.string().refine(isWireguardKey),
  Port: z.int().min(1).max(65_535).nullish(),
});

/** flannel's BackendData: {"PublicKey":"base64","Port":51820}. */
export function readWireguardData(data: unknown): WireguardData | { readonly reason: string } {
  if (!isJsonObject(data)) return { reason: "its BackendData is missing or no object" };
  const outcome = SCHEMA.safeParse({ ...foldKeys(data, ["PublicKey", "Port"]).values });
  if (outcome.success) return { publicKey: outcome.data.PublicKey, port: outcome.data.Port ?? null };
  const field = String(outcome.error.issues[0]?.path[0] ?? "PublicKey");
  return { reason: `its BackendData: ${field} is missing or wrong` };
}

const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"].flatMap(
  (text) => parsePrefix(text) ?? [],
);

function isPrivate(address: Ipv4 | Ipv6): boolean {
  const family = typeof address === "number" ? 4 : 6;
  return PRIVATE.some((prefix) => prefix.family === family && prefixContains(prefix, address));
}

/** Over one device: IPv6 in mode auto only where IPv4 would not do, as flannel decides. Null: no address of that family. */
export function chooseEndpoint(
  mode: WireguardOptions["mode"],
  own: Pick<LeaseAttrs, "publicIp" | "publicIpv6">,
  peer: Pick<LeaseAttrs, "publicIp" | "publicIpv6">,
): UnderlayAddress | null {
  const v4 = peer.publicIp === null ? null : ({ family: 4, address: peer.publicIp } as const);
  const v6 = peer.publicIpv6 === null ? null : ({ family: 6, address: peer.publicIpv6 } as const);
  if (mode === "ipv4") return v4;
  if (mode === "ipv6") return v6;
  if (v6 === null || v4 === null) return v4 ?? v6;
  const needed = own.publicIp === null || isPrivate(v4.address);
  const possible = own.publicIpv6 !== null && !isPrivate(own.publicIpv6) && !isPrivate(v6.address);
  return needed && possible ? v6 : v4;
}

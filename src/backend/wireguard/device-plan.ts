// What must be written to a WireGuard device so that it is as wanted. Pure. `wg syncconf` always sets key and port, and an
// implementation outside the kernel then opens its sockets anew: what waits in them is lost. So the whole is written only when
// the device itself differs, else its peers alone, and nothing when they are right.
import { isDeepStrictEqual } from "node:util";
import { formatPrefix } from "../../addr/prefix.js";
import type { WireguardOptions } from "../../config/backend-options.js";
import { formatUnderlay } from "../../host/text.js";
import type { WireguardKey } from "./wireguard-key.js";
import type { WireguardPeer } from "./wireguard-peers.js";

export interface DeviceConfig {
  readonly key: WireguardKey;
  readonly listenPort: number;
  readonly options: Pick<WireguardOptions, "psk" | "keepaliveSeconds">;
  readonly peers: readonly WireguardPeer[];
}

/** A device as `wg show DEVICE dump` tells it, in that tool's words. */
export interface DeviceState {
  readonly publicKey: string;
  readonly listenPort: string;
  readonly mark: string;
  /** By public key. */
  readonly peers: ReadonlyMap<string, PeerState>;
}

interface PeerState {
  readonly psk: string;
  readonly endpoint: string;
  readonly allowed: string;
  readonly keepalive: string;
}

/** `sync`: the text for `wg syncconf`. `add`: the text for `wg addconf`, and then the public keys of peers to be removed. */
export type DevicePlan =
  | { readonly kind: "sync"; readonly text: string }
  | { readonly kind: "peers"; readonly add: string; readonly remove: readonly string[] }
  | { readonly kind: "nothing" };

/** Null: not what the tool is known to print. */
export function parseDump(text: string): DeviceState | null {
  const [device, ...rows] = text.split("\n").map((line) => line.split("\t"));
  if (device?.length !== 4) return null;
  const [, publicKey = "", listenPort = "", mark = ""] = device;
  const peers = new Map<string, PeerState>();
  for (const [key = "", psk = "", endpoint = "", allowed = "", , , , keepalive = ""] of rows) {
    if (key !== "") peers.set(key, { psk, endpoint, allowed: sorted(allowed.split(",")), keepalive });
  }
  return { publicKey, listenPort, mark, peers };
}

/** `found` null: nothing is known of the device. */
export function planDevice(wanted: DeviceConfig, found: DeviceState | null): DevicePlan {
  const states = new Map(wanted.peers.map((peer) => [peer.publicKey, stateOf(wanted, peer)]));
  if (found === null || deviceDiffers(wanted, found) || keepsSecret(states, found)) {
    const { key, listenPort, peers } = wanted;
    const device = ["[Interface]", `PrivateKey = ${key.privateKey}`, `ListenPort = ${listenPort}`];
    return { kind: "sync", text: [device.join("\n"), ...peers.map((peer) => section(wanted, peer))].join("\n\n") };
  }
  const other = wanted.peers.filter(
    ({ publicKey }) => !isDeepStrictEqual(found.peers.get(publicKey), states.get(publicKey)),
  );
  const remove = [...found.peers.keys()].filter((publicKey) => !states.has(publicKey));
  if (other.length + remove.length === 0) return { kind: "nothing" };
  return { kind: "peers", add: other.map((peer) => section(wanted, peer)).join("\n\n"), remove };
}

function deviceDiffers({ key, listenPort }: DeviceConfig, found: DeviceState): boolean {
  return found.publicKey !== key.publicKey || found.listenPort !== String(listenPort) || found.mark !== "off";
}

/** A peer has a preshared key that is not wanted any more: only syncing takes it away. */
function keepsSecret(states: ReadonlyMap<string, PeerState>, found: DeviceState): boolean {
  return [...states].some(([key, { psk }]) => psk === "(none)" && (found.peers.get(key) ?? { psk }).psk !== psk);
}

function stateOf({ options }: DeviceConfig, { endpoint, port, allowed }: WireguardPeer): PeerState {
  return {
    psk: options.psk === "" ? "(none)" : options.psk,
    endpoint: endpointText({ endpoint, port }),
    allowed: sorted(allowed.map(formatPrefix)),
    keepalive: options.keepaliveSeconds === 0 ? "off" : String(options.keepaliveSeconds),
  };
}

function section({ options }: DeviceConfig, { publicKey, endpoint, port, allowed }: WireguardPeer): string {
  const lines = ["[Peer]", `PublicKey = ${publicKey}`, `Endpoint = ${endpointText({ endpoint, port })}`];
  lines.push(`AllowedIPs = ${allowed.map(formatPrefix).join(", ")}`);
  if (options.psk !== "") lines.push(`PresharedKey = ${options.psk}`);
  lines.push(`PersistentKeepalive = ${options.keepaliveSeconds}`);
  return lines.join("\n");
}

function endpointText({ endpoint, port }: Pick<WireguardPeer, "endpoint" | "port">): string {
  const host = formatUnderlay(endpoint);
  return endpoint.family === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

function sorted(prefixes: readonly string[]): string {
  return [...prefixes].sort().join(",");
}

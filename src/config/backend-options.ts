// The options inside net-conf.json's Backend object, one schema per backend, with flannel's names and defaults. Untrusted
// input. Pure.
import { z } from "zod";
import { EXTENSION_FIELDS, IPIP_FIELDS, UDP_FIELDS, VXLAN_FIELDS, WIREGUARD_FIELDS } from "./backend-fields.js";
import { foldKeys, type JsonObject } from "./case-folded.js";
import { checkShape } from "./network-config.js";

export interface VxlanOptions {
  readonly vni: number;
  /** 0: the kernel's default, 8472. */
  readonly port: number;
  /** MTU of the underlay before the encapsulation overhead; 0: that of the external interface. */
  readonly mtu: number;
  readonly gbp: boolean;
  readonly learning: boolean;
  readonly directRouting: boolean;
}

export interface UdpOptions {
  readonly port: number;
}

const whole = (min: number, max: number, initial: number) =>
  z
    .int(`give a whole number from ${min} to ${max}`)
    .min(min, `give a number from ${min} to ${max}`)
    .max(max, `give a number from ${min} to ${max}`)
    .nullish()
    .transform((value) => value ?? initial);
const flag = z
  .boolean("give true or false")
  .nullish()
  .transform((value) => value ?? false);

const VXLAN_SCHEMA = z.object({
  VNI: whole(0, 0xffffff, 1),
  Port: whole(0, 65_535, 0),
  MTU: whole(0, 65_535, 0),
  GBP: flag,
  Learning: flag,
  DirectRouting: flag,
});
const UDP_SCHEMA = z.object({ Port: whole(1, 65_535, 8285) });

export function parseVxlanOptions(backend: JsonObject): VxlanOptions {
  const fields = checkShape(VXLAN_SCHEMA, foldKeys(backend, VXLAN_FIELDS).values, "Backend.");
  return {
    vni: fields.VNI,
    port: fields.Port,
    mtu: fields.MTU,
    gbp: fields.GBP,
    learning: fields.Learning,
    directRouting: fields.DirectRouting,
  };
}

export interface IpipOptions {
  readonly directRouting: boolean;
}

export function parseIpipOptions(backend: JsonObject): IpipOptions {
  const fields = checkShape(z.object({ DirectRouting: flag }), foldKeys(backend, IPIP_FIELDS).values, "Backend.");
  return { directRouting: fields.DirectRouting };
}

export interface ExtensionOptions {
  readonly preStartupCommand: string;
  readonly postStartupCommand: string;
  readonly subnetAddCommand: string;
  readonly subnetRemoveCommand: string;
}

const command = z
  .string("give a command line as text")
  .nullish()
  .transform((value) => (value ?? "").trim());
const EXTENSION_SCHEMA = z.object({
  PreStartupCommand: command,
  PostStartupCommand: command,
  SubnetAddCommand: command,
  SubnetRemoveCommand: command,
});

export function parseExtensionOptions(backend: JsonObject): ExtensionOptions {
  const folded = foldKeys(backend, EXTENSION_FIELDS);
  const fields = checkShape(EXTENSION_SCHEMA, folded.values, "Backend.");
  return {
    preStartupCommand: fields.PreStartupCommand,
    postStartupCommand: fields.PostStartupCommand,
    subnetAddCommand: fields.SubnetAddCommand,
    subnetRemoveCommand: fields.SubnetRemoveCommand,
  };
}

export const WIREGUARD_MODES = ["separate", "auto", "ipv4", "ipv6"] as const;

export interface WireguardOptions {
  readonly listenPort: number;
  readonly listenPortV6: number;
  /** MTU of the underlay before the overhead; 0: that of the external interface. */
  readonly mtu: number;
  /** Base64 of 32 bytes; "" for none. */
  readonly psk: string;
  readonly keepaliveSeconds: number;
  readonly mode: (typeof WIREGUARD_MODES)[number];
}

const WIREGUARD_SCHEMA = z.object({
  ListenPort: whole(1, 65_535, 51_820),
  ListenPortV6: whole(1, 65_535, 51_821),
  MTU: whole(0, 65_535, 0),
  PSK: z
    .string("give 32 bytes in base64")
    .regex(/^([A-Za-z0-9+/]{43}=)?$/, "give 32 bytes in base64, as wg genpsk prints")
    .nullish()
    .transform((value) => value ?? ""),
  PersistentKeepaliveInterval: whole(0, 65_535, 0),
  Mode: z
    .enum(WIREGUARD_MODES, `no valid Mode configured: give one of ${WIREGUARD_MODES.join(", ")}`)
    .nullish()
    .transform((value) => value ?? "separate"),
});

export function parseWireguardOptions(backend: JsonObject): WireguardOptions {
  const folded = foldKeys(backend, WIREGUARD_FIELDS);
  const fields = checkShape(WIREGUARD_SCHEMA, folded.values, "Backend.");
  return {
    listenPort: fields.ListenPort,
    listenPortV6: fields.ListenPortV6,
    mtu: fields.MTU,
    psk: fields.PSK,
    keepaliveSeconds: fields.PersistentKeepaliveInterval,
    mode: fields.Mode,
  };
}

export function parseUdpOptions(backend: JsonObject): UdpOptions {
  const fields = checkShape(UDP_SCHEMA, foldKeys(backend, UDP_FIELDS).values, "Backend.");
  return { port: fields.Port };
}

// Every backend there is, by the name in Backend.Type. Explicit: nothing registers itself.
import { RipstopError } from "../lib/errors.js";
import type { Backend, BackendContext, BackendFactory } from "./backend.js";
import { makeAllocBackend } from "./alloc-backend.js";
import { makeExtensionBackend } from "./extension/extension-backend.js";
import { makeHostGwBackend } from "./host-gw-backend.js";
import { makeIpipBackend } from "./ipip-backend.js";
import { makeUdpBackend } from "./udp-backend.js";
import { makeVxlanBackend } from "./vxlan/vxlan-backend.js";
import { makeWireguardBackend } from "./wireguard/wireguard-backend.js";

const CATALOG: ReadonlyMap<string, BackendFactory> = new Map<string, BackendFactory>([
  ["alloc", makeAllocBackend],
  ["extension", (context) => makeExtensionBackend(context)],
  ["host-gw", makeHostGwBackend],
  ["ipip", makeIpipBackend],
  ["udp", makeUdpBackend],
  ["vxlan", (context) => makeVxlanBackend(context)],
  ["wireguard", (context) => makeWireguardBackend(context)],
]);

/** Backends that flannel once had, or that this product leaves out, with what to use instead. */
const NOT_HERE: ReadonlyMap<string, string> = new Map([
  ["aws-vpc", "flannel removed it in v0.20.0; use host-gw inside one subnet, or vxlan"],
  ["gce", "flannel removed it in v0.20.0; use vxlan"],
  ["ali-vpc", "flannel removed it in v0.20.0; use vxlan"],
  ["ipsec", "it needs strongSwan's charon; use wireguard"],
  ["tencent-vpc", "it programs a cloud's router; use vxlan"],
]);

export const BACKEND_TYPES: readonly string[] = [...CATALOG.keys()];

/** Throws BACKEND_UNKNOWN, or what the backend finds wrong in its options. */
export function makeBackend(context: BackendContext): Backend {
  const type = context.network.backendType;
  const factory = CATALOG.get(type);
  if (factory !== undefined) return factory(context);
  const hint = NOT_HERE.get(type);
  throw new RipstopError(
    "BACKEND_UNKNOWN",
    hint === undefined
      ? `unknown backend type: ${type} (Backend.Type in the network configuration); choose one of ${BACKEND_TYPES.join(", ")}`
      : `backend type ${type} is not available: ${hint}`,
    { op: "make the backend" },
  );
}

// ipip: the kernel's IP-in-IP tunnel, device flannel.ipip; each peer's subnet is an onlink route to the peer through it, or with
// DirectRouting a plain one on our own segment. IPv4 only, as in flannel.
import { parseIpipOptions } from "../config/backend-options.js";
import { RipstopError } from "../lib/errors.js";
import type { Backend, BackendContext } from "./backend.js";
import { PLAIN, SimpleBackend } from "./simple-backend.js";
import { requireIpv4Only } from "./ipv4-only.js";

const OVERHEAD = 20;
const MTU_MIN = 68;
const DEVICE = "flannel.ipip";

/** Throws NETWORK_CONFIG_INVALID or MTU_TOO_SMALL. */
export function makeIpipBackend(context: BackendContext): Backend {
  const { directRouting } = parseIpipOptions(context.network.backend);
  const { external, host } = context;
  const { network, address } = requireIpv4Only(context, "ipip");
  const mtu = external.mtu - OVERHEAD;
  if (mtu < MTU_MIN) {
    throw new RipstopError(
      "MTU_TOO_SMALL",
      `${external.name} has an MTU of ${external.mtu}, too small for ipip; raise it`,
    );
  }
  return new SimpleBackend("ipip", "ipip", context, {
    ...PLAIN,
    mtu,
    overlayMtu: mtu,
    devices: [DEVICE],
    leaseType: "ipip",
    direct: directRouting ? "same-segment" : "none",
    ensureDevices: async ({ subnet }) => {
      if (subnet === null) return [];
      const spec = { name: DEVICE, kind: "ipip", local: address, mtu, network } as const;
      return (await host.ensureTunnel({ ...spec, address: { ...subnet, length: 32 } })).changes;
    },
    entriesOf: (peers) => [
      {
        scope: { device: DEVICE, network },
        entries: peers
          .filter(({ prefix }) => prefix.family === 4)
          .map(({ prefix, underlay: via, direct }) =>
            direct
              ? { kind: "direct", prefix, via, device: external.name }
              : { kind: "direct", prefix, via, device: DEVICE, onlink: true },
          ),
      },
    ],
  });
}

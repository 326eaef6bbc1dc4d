// host-gw: no encapsulation; each peer's subnet is routed to the peer itself over the external interface. Needs all nodes on one
// segment: a peer behind a gateway is reported, and retried with every pass.
import { formatUnderlay } from "../host/text.js";
import type { UnderlayAddress } from "../host/host.js";
import { RipstopError } from "../lib/errors.js";
import type { Backend, BackendContext } from "./backend.js";
import { PLAIN, SimpleBackend } from "./simple-backend.js";

/** Throws NETWORK_CONFIG_INVALID behind NAT, where routes to a public address lead nowhere. */
export function makeHostGwBackend(context: BackendContext): Backend {
  const { external, network } = context;
  refuseNat(external.ipv4, external.publicIp, 4, external.name);
  refuseNat(external.ipv6, external.publicIpv6, 6, external.name);
  const networks = [network.network, network.ipv6Network].filter((one) => one !== null);
  return new SimpleBackend("host-gw", "host-gw", context, {
    ...PLAIN,
    mtu: external.mtu,
    overlayMtu: external.mtu,
    leaseType: "host-gw",
    direct: "all",
    entriesOf: (peers) =>
      networks.map((one) => ({
        scope: { device: null, network: one },
        entries: peers
          .filter(({ prefix }) => prefix.family === one.family)
          .map(({ prefix, underlay }) => ({ kind: "direct", prefix, via: underlay, device: external.name })),
      })),
  });
}

function refuseNat(
  bound: UnderlayAddress["address"] | null,
  announced: UnderlayAddress["address"] | null,
  family: 4 | 6,
  device: string,
): void {
  if (bound === null || announced === null || bound === announced) return;
  const show = (address: typeof bound): string => formatUnderlay({ family, address } as UnderlayAddress);
  throw new RipstopError(
    "NETWORK_CONFIG_INVALID",
    `host-gw cannot work behind NAT: ${device} has ${show(bound)} but ${show(announced)} is announced; leave --public-ip out or use vxlan`,
    { op: "host-gw" },
  );
}

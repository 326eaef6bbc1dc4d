// udp: flannel's user-space format, a bare IPv4 packet in UDP. The data plane owns the TUN device flannel0 and carries every
// packet; here the device gets its address, MTU and the one route of the whole overlay, as soon as it exists.
import { parseUdpOptions } from "../config/backend-options.js";
import { RipstopError } from "../lib/errors.js";
import type { Backend, BackendContext } from "./backend.js";
import { requireIpv4Only } from "./ipv4-only.js";
import { PLAIN, SimpleBackend } from "./simple-backend.js";

const OVERHEAD = 28;
const MTU_MIN = 68;
const DEVICE = "flannel0";

/** Throws NETWORK_CONFIG_INVALID or MTU_TOO_SMALL. */
export function makeUdpBackend(context: BackendContext): Backend {
  const { port } = parseUdpOptions(context.network.backend);
  const { external, host } = context;
  const { network } = requireIpv4Only(context, "udp");
  const mtu = external.mtu - OVERHEAD;
  if (mtu < MTU_MIN) {
    throw new RipstopError(
      "MTU_TOO_SMALL",
      `${external.name} has an MTU of ${external.mtu}, too small for udp; raise it`,
    );
  }
  const tunnel = { encapsulation: "udp", vni: 0, port, overlayDevice: DEVICE, overlayDeviceV6: "" } as const;
  // The lease says no type and peers are taken whatever theirs is: flannel's udp never looks.
  return new SimpleBackend("udp", "", context, {
    ...PLAIN,
    mtu,
    overlayMtu: mtu,
    devices: [],
    tunnel,
    dataplane: { ...tunnel, underlayDevice: external.name, checksumV4: true },
    leaseType: null,
    ensureDevices: async ({ subnet }) => {
      if (subnet === null || !(await exists(context))) return [];
      const spec = { name: DEVICE, kind: "tun", local: null, mtu, network } as const;
      return (await host.ensureTunnel({ ...spec, address: { ...subnet, length: 32 } })).changes;
    },
    // One route whoever the peers are. Without the device it is reported as a failure until the data plane has made it.
    entriesOf: () => [
      {
        scope: { device: null, network },
        entries: [{ kind: "device", prefix: network, device: DEVICE, scope: "global" }],
      },
    ],
  });
}

async function exists({ host }: BackendContext): Promise<boolean> {
  return (await host.links()).some(({ name }) => name === DEVICE);
}

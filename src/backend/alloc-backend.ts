// alloc: takes a lease and carries nothing; somebody else routes. What an earlier backend of ours routed is removed.
import type { Backend, BackendContext } from "./backend.js";
import { PLAIN, SimpleBackend } from "./simple-backend.js";

/** No lease is ever of this type: alloc's own say "", like udp's. */
const NO_PEERS = "alloc";

export function makeAllocBackend(context: BackendContext): Backend {
  const { external, network } = context;
  const networks = [network.network, network.ipv6Network].filter((one) => one !== null);
  return new SimpleBackend("alloc", "", context, {
    ...PLAIN,
    mtu: external.mtu,
    overlayMtu: external.mtu,
    leaseType: NO_PEERS,
    entriesOf: () => networks.map((one) => ({ scope: { device: null, network: one }, entries: [] })),
  });
}

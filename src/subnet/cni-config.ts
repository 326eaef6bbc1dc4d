// The CNI network list for container runtimes: bridge, host-local and portmap on our lease, what flannel's own CNI plugin would
// delegate. A runtime takes the node for ready as soon as the file is there; therefore only an agent that is ready writes it.
import type { Prefix } from "../addr/address.js";
import { formatPrefix } from "../addr/prefix.js";
import { writeFileAtomic } from "../lib/atomic-file.js";
import { RipstopError } from "../lib/errors.js";
import type { SubnetEnv } from "./subnet-env.js";

/** Runtimes of every age accept it. */
const CNI_VERSION = "0.3.1";

export function formatCniConfig({ network, ipv6Network, subnet, ipv6Subnet, mtu, ipMasq }: SubnetEnv): string {
  const present = (prefixes: readonly (Prefix | null)[]) =>
    prefixes.filter((prefix) => prefix !== null).map((prefix) => formatPrefix(prefix));
  const bridge = {
    type: "bridge",
    bridge: "cni0",
    mtu,
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    // The bridge takes the gateway of a new lease.
    forceAddress: true,
    // As flannel's plugin does: either the agent masquerades or the bridge.
    ipMasq: !ipMasq,
    ipam: {
      type: "host-local",
      ranges: present([subnet, ipv6Subnet]).map((range) => [{ subnet: range }]),
      routes: present([network, ipv6Network]).map((dst) => ({ dst })),
    },
  };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  return `${JSON.stringify({ name: "cbr0", cniVersion: CNI_VERSION, plugins: [bridge, portmap] }, null, 2)}\n`;
}

export async function writeCniConfig(path: string, env: SubnetEnv): Promise<void> {
  try {
    await writeFileAtomic(path, formatCniConfig(env));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new RipstopError(
      "CNI_CONFIG_WRITE",
      `cannot write ${path} (${code ?? String(cause)}); make its folder writable, or choose another file with -cni-conf-file`,
      { op: "write CNI configuration", cause },
    );
  }
}

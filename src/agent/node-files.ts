// What the agent tells the other programs of its node: subnet.env at the start, the CNI network list once it is ready.
import { writeCniConfig } from "../subnet/cni-config.js";
import type { Lease } from "../lease/lease.js";
import { type SubnetEnv, writeSubnetEnv } from "../subnet/subnet-env.js";
import type { Session, SessionOptions } from "./session.js";

/** Rejects with SUBNET_ENV_WRITE. */
export async function tellSubnet(given: SessionOptions, session: Session, lease: Lease): Promise<void> {
  await writeSubnetEnv(given.options.subnetFile, nodeSubnet(given, session, lease));
}

/** Only after readiness. That it cannot be written is worth a line: pods that run go on. */
export async function tellRuntime(given: SessionOptions, session: Session, lease: Lease): Promise<void> {
  const { options, parts } = given;
  if (options.cniConfigFile === "") return;
  try {
    await writeCniConfig(options.cniConfigFile, nodeSubnet(given, session, lease));
  } catch (error) {
    parts.logger.error("the CNI configuration cannot be written", { error, file: options.cniConfigFile });
  }
}

function nodeSubnet({ network, options }: SessionOptions, session: Session, lease: Lease): SubnetEnv {
  return {
    network: network.network,
    ipv6Network: network.ipv6Network,
    subnet: lease.subnet,
    ipv6Subnet: lease.ipv6Subnet,
    mtu: session.overlay?.mtu ?? session.external.mtu,
    ipMasq: options.ipMasq,
  };
}

// What the agent tells the other programs of its node: subnet.env at the start, the CNI network list once it is ready.
import { writeCniConfig } from "../subnet/cni-config.js";
import type { Lease } from "../lease/lease.js";
import { type SubnetEnv, writeSubnetEnv } from "../subnet/subnet-env.js";
import type { Trigger } from "../lib/trigger.js";
import type { Session, SessionOptions } from "./session.js";

const RETRY_MS = 1_000;

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

/** What there is to tell now. */
export interface NodeNews {
  readonly session: Session;
  readonly lease: Lease;
}

/** Tells whenever it is said that there is news. Beside everything else: a disk may keep us waiting for seconds. */
export async function keepNodeTold(news: () => NodeNews, untold: Trigger, signal: AbortSignal): Promise<void> {
  let again = false;
  while (!signal.aborted) {
    await untold.wait(again ? RETRY_MS : Number.POSITIVE_INFINITY, signal);
    if (signal.aborted) return;
    const { session, lease } = news();
    const { given } = session;
    try {
      await tellSubnet(given, session, lease);
      await tellRuntime(given, session, lease);
      again = false;
    } catch (error) {
      if (!again) given.parts.logger.error("cannot tell the node's other programs its subnet; trying again", { error });
      again = true;
    }
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

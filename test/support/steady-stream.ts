// Whether a stream was one of its rate at all: a machine that keeps the sender waiting makes it send what it is behind in one burst,
// which the kernel's own queues do not hold. What is lost then says nothing about us.
import type { UdpLoadResult } from "../../src/lab/traffic/udp-load.js";

/** net.core.netdev_max_backlog as the kernel sets it. */
const KERNEL_QUEUE = 1_000;

export function wasSteady({ sender }: UdpLoadResult, rate: number, packets: number): boolean {
  return sender.seconds <= 1.1 * (packets / rate) && sender.behind_max <= KERNEL_QUEUE;
}

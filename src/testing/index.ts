/**
 * `ripstop/testing`: what a program built on Ripstop is tested with, without root and without a network. Native workers and
 * wire formats are real; the wire, the store and the clock are in memory and can be made to fail.
 *
 * @packageDocumentation
 */
export { ManualClock } from "./manual-clock.js";
export { type Fate, type LanCounters, MemoryLan, type MemoryLanOptions } from "./memory-lan.js";
export { MemoryStore } from "./memory-store.js";
export { type EthernetFrame, ethernetFrame, type UdpPacket, udpPacket } from "./packets.js";

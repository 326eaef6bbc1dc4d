/**
 * Ripstop as a library: overlays, packets and leases from TypeScript, over the same native engine that the agent uses.
 *
 * Importing it touches nothing: no addon is loaded and no privilege is needed before the first call that opens something
 * (`isSupported()` tells whether it could). The layers can be used alone; docs/library.md shows each with an example. What is
 * exported here, and from `ripstop/testing`, is what semantic versioning covers; anything else may change.
 *
 * @packageDocumentation
 */

// Addresses, prefixes, MACs. Pure.
export type { Ipv4, Ipv6, Mac, Prefix, Prefix4, Prefix6 } from "./addr/address.js";
export { formatIpv4, ipv4, ipv4FromBytes, ipv4Mask, ipv4ToBytes, parseIpv4 } from "./addr/ipv4.js";
export { formatIpv6, ipv6, ipv6FromBytes, ipv6Mask, ipv6ToBytes, parseIpv6 } from "./addr/ipv6.js";
export { isUnicastMac, macFromBytes, macToBytes, parseMac, randomMac } from "./addr/mac.js";
export {
  addressAt,
  comparePrefixes,
  formatPrefix,
  lastAddress,
  nextPrefix,
  parsePrefix,
  parsePrefix4,
  parsePrefix6,
  parsePrefixWithHost,
  prefix4,
  prefix6,
  prefixContains,
  prefixCovers,
  prefixEquals,
  prefixesOverlap,
  prefixSize,
} from "./addr/prefix.js";

// Header codecs and MTU arithmetic. Pure.
export { checksum } from "./library/codec/checksum.js";
export { flowPort } from "./library/codec/flow.js";
export {
  type Encapsulation,
  overlayMtu,
  tcpMaximumSegment,
  tunnelOverhead,
  type TunnelShape,
  underlayMtuFor,
} from "./library/codec/mtu.js";
export { decapsulateBatch, encapsulateBatch, type OuterHeaders, OuterTemplate } from "./library/codec/outer.js";
export { readVxlanHeader, VNI_MAX, VXLAN_HEADER_BYTES, writeVxlanHeader } from "./library/codec/vxlan.js";

// flannel's configuration and leases. Pure.
export { type NetworkConfig, type NetworkConfigRules, parseNetworkConfig } from "./config/network-config.js";
export {
  type Decoded,
  decodeLeaseAttrs,
  decodeSubnetKey,
  encodeLeaseAttrs,
  encodeSubnetKey,
  type LeaseSubnets,
} from "./lease/codec.js";
export { diffLeases, type LeaseDiff } from "./lease/differ.js";
export type { Lease, LeaseAttrs } from "./lease/lease.js";

// Overlays in this process.
export { isSupported } from "./library/addon.js";
export {
  type BridgeCounters,
  type LearnedAddress,
  Overlay,
  type OverlayCounters,
  type OverlayInspection,
  unaccountedOverlay,
} from "./library/overlay.js";
export { leasePeer } from "./library/lease-peers.js";
export { defaultVtepMac, type OverlayOptions, type OverlayPeer } from "./library/overlay-options.js";
export { Underlay, type UnderlayOptions, VXLAN_PORT } from "./library/underlay.js";
export { type Counters, type LaneCounters, totalDrops } from "./dataplane/counters.js";
export { type DropReason, dropReasons } from "./library/drop-reasons.js";

// The agent's data plane, with the kernel's VXLAN device behind it.
export { openDataplane } from "./library/open-dataplane.js";
export type { Dataplane } from "./dataplane/dataplane.js";
export type { Inspection, OpenOptions, PortKind, PortReport } from "./dataplane/binding.js";
export { type EncodablePeer, type EncodableTable, encodePeerTable } from "./dataplane/codec.js";

// Packets in JavaScript.
export type { Packet, PacketBatch } from "./library/packet-batch.js";
export { PacketPort, type PacketStreamOptions } from "./library/packet-port.js";
export type {
  MemoryPairOptions,
  PacketSocketOptions,
  PcapOptions,
  PortOptions,
  TapOptions,
  TunOptions,
  XdpSocketOptions,
} from "./library/port-options.js";
export { BATCH_MAX, DESCRIPTOR_WORDS, type PortInspection } from "./library/port-binding.js";
export { type PortCounters, unaccountedPort } from "./library/port-counters.js";
export { Capture, type CaptureOptions, type CaptureStatistics, type FrameNotes } from "./library/capture.js";
export type { CapturedPacket, CapturePoint } from "./dataplane/capture-records.js";

// The kernel's links, addresses, routes, neighbors, FDB entries and rules.
export { openNetlink } from "./library/open-netlink.js";
export type { Netlink } from "./host/netlink.js";
export * from "./host/netlink-objects.js";

// Extension points: where leases live, who allocates them, what a backend makes of them.
export type {
  Backend,
  BackendContext,
  BackendFactory,
  BackendLog,
  DesiredPeers,
  Overlay as BackendOverlay,
  RefusedPeer,
  Tunnel as BackendTunnel,
} from "./backend/backend.js";
export type { Host, ReconcileReport } from "./host/host.js";
export type { LocalEndpoint, NextHop, Peer, PeerTable } from "./dataplane/peer-table.js";
export { openStore, type StoreChoice } from "./library/open-store.js";
export type { CreateOutcome, LeaseSnapshot, Store, StoreHealth, Subnets } from "./store/store.js";
export type { SubnetRanges } from "./subnet/allocator.js";
export type { LeaseStanding, SubnetEvent } from "./subnet/events.js";
export type { ClaimRequest, NodeIdentity } from "./subnet/lease-claim.js";
export { SubnetManager, type SubnetManagerOptions } from "./subnet/manager.js";
export type { PeerSnapshot, PeerViewOptions } from "./subnet/peer-view.js";
export { type Clock, systemClock } from "./lib/clock.js";

export { RipstopError, type RipstopErrorOptions } from "./lib/errors.js";
export { ripstopVersion } from "./lib/version.js";

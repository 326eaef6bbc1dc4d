// What may stand in the Backend object of net-conf.json, by backend: what its schema reads, and what flannel takes there and leaves
// alone on Linux. Pure data.

/** Read by every backend. */
export const COMMON_FIELDS = ["Type", "DataPlane"] as const;
export const VXLAN_FIELDS = ["VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting"] as const;
export const UDP_FIELDS = ["Port"] as const;
export const IPIP_FIELDS = ["DirectRouting"] as const;
export const WIREGUARD_FIELDS = [
  "ListenPort",
  "ListenPortV6",
  "MTU",
  "PSK",
  "PersistentKeepaliveInterval",
  "Mode",
] as const;
export const EXTENSION_FIELDS = [
  "PreStartupCommand",
  "PostStartupCommand",
  "SubnetAddCommand",
  "SubnetRemoveCommand",
] as const;
/** Of Windows nodes, in a configuration that they share with us. */
const WINDOWS_FIELDS = ["MacPrefix", "Name"] as const;

/** A backend that is not here gets its own error. */
export const FIELDS_OF_BACKEND: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ["alloc", []],
  ["extension", EXTENSION_FIELDS],
  ["host-gw", WINDOWS_FIELDS],
  ["ipip", IPIP_FIELDS],
  ["udp", UDP_FIELDS],
  ["vxlan", [...VXLAN_FIELDS, ...WINDOWS_FIELDS]],
  ["wireguard", WIREGUARD_FIELDS],
]);

// The VXLAN device that tests of the host make on u0 (192.0.2.1), and the scope of what it carries.
import type { Mac, Prefix4 } from "../../src/addr/address.js";
import { ipv4 } from "../../src/addr/ipv4.js";
import { parsePrefix4, prefix4 } from "../../src/addr/prefix.js";
import type { VxlanSpec } from "../../src/host/host.js";

export const SCOPE = { device: "flannel.1", network: parsePrefix4("10.244.0.0/16") as Prefix4 };

export const vxlanSpec = (gbp: boolean): VxlanSpec => ({
  name: SCOPE.device,
  vni: 1,
  port: 0,
  underlayDevice: "u0",
  local: { family: 4, address: ipv4(0xc0000201) },
  mac: "02:aa:00:00:00:01" as Mac,
  mtu: 1450,
  learning: false,
  gbp,
  address: prefix4(ipv4(0x0af40100), 32),
  network: SCOPE.network,
});

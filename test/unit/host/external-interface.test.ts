// Which interface and which addresses are chosen, as rows over one listing of a host with two NICs.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatIpv4, parseIpv4 } from "../../../src/addr/ipv4.js";
import { formatIpv6, parseIpv6 } from "../../../src/addr/ipv6.js";
import { parsePrefix, parsePrefixWithHost } from "../../../src/addr/prefix.js";
import {
  describeExternalInterface,
  type HostListing,
  type InterfaceWishes,
  selectExternalInterface,
  type StackWishes,
} from "../../../src/host/external-interface.js";
import type { HostRoute, Link, LinkAddress } from "../../../src/host/host.js";
import { parseUnderlay } from "../../../src/host/text.js";

const link = (index: number, name: string, mtu = 1500): Link => ({
  index,
  name,
  kind: "",
  mac: null,
  mtu,
  up: true,
  carrier: true,
});
const NORMAL = { deprecated: false, permanent: true, temporary: false };
const address = (linkIndex: number, text: string, flags: Partial<LinkAddress["flags"]> = {}): LinkAddress => {
  const prefix = parsePrefixWithHost(text);
  assert.ok(prefix);
  return { linkIndex, prefix, scope: "global", flags: { ...NORMAL, ...flags } };
};
const route = (destination: string, linkIndex: number, gateway: string | null): HostRoute => {
  const prefix = parsePrefix(destination);
  assert.ok(prefix);
  return { destination: prefix, gateway: parseUnderlay(gateway), linkIndex, protocol: 3 };
};

const LISTING: HostListing = {
  links: [link(1, "lo"), link(2, "eth0"), link(3, "eth1", 9000), link(4, "nomtu", 0), link(5, "wg0")],
  addresses: [
    address(1, "127.0.0.1/8"),
    address(2, "169.254.3.3/16"),
    address(2, "10.0.2.15/24", { permanent: false }),
    address(2, "10.0.2.16/24"),
    address(2, "fe80::2/64"),
    address(2, "2001:db8::dead/64", { temporary: true, permanent: false }),
    address(2, "2001:db8::2/64", { permanent: false }),
    address(3, "192.168.7.5/24", { deprecated: true }),
    address(3, "192.168.7.6/24"),
    address(3, "fd00::6/64"),
    address(4, "172.16.0.1/24"),
    address(5, "fe80::4/64"),
  ],
  routes: [
    route("0.0.0.0/0", 2, "10.0.2.2"),
    route("0.0.0.0/0", 3, "192.168.7.1"),
    route("::/0", 2, "fe80::1"),
    route("192.168.7.0/24", 3, null),
  ],
  reachingLink: 3,
};
const V4: StackWishes = { ipv4: true, ipv6: false };
const V6: StackWishes = { ipv4: false, ipv6: true };
const DUAL: StackWishes = { ipv4: true, ipv6: true };

function choose(wishes: Partial<InterfaceWishes>, stack = V4, listing = LISTING): string {
  const none: InterfaceWishes = { iface: [], ifaceRegex: [], ifaceCanReach: "", publicIp: null, publicIpv6: null };
  const chosen = selectExternalInterface({ ...none, ...wishes }, stack, listing);
  const v4 = chosen.ipv4 === null ? "-" : formatIpv4(chosen.ipv4);
  const v6 = chosen.ipv6 === null ? "-" : formatIpv6(chosen.ipv6);
  const told4 = chosen.publicIp === null ? "-" : formatIpv4(chosen.publicIp);
  const told6 = chosen.publicIpv6 === null ? "-" : formatIpv6(chosen.publicIpv6);
  return `${chosen.name} ${v4} ${v6} tells ${told4} ${told6}`;
}

describe("the external interface", () => {
  const rows: ReadonlyArray<readonly [string, Partial<InterfaceWishes>, StackWishes, string]> = [
    ["the first default route decides, permanent global addresses win", {}, V4, "eth0 10.0.2.16 - tells 10.0.2.16 -"],
    ["IPv6 prefers lasting addresses to temporary ones", {}, V6, "eth0 - 2001:db8::2 tells - 2001:db8::2"],
    ["dual stack takes both from one interface", {}, DUAL, "eth0 10.0.2.16 2001:db8::2 tells 10.0.2.16 2001:db8::2"],
    ["an interface by name", { iface: ["eth1"] }, V4, "eth1 192.168.7.6 - tells 192.168.7.6 -"],
    [
      "an interface by address, and that very address",
      { iface: ["10.0.2.15"] },
      V4,
      "eth0 10.0.2.15 - tells 10.0.2.15 -",
    ],
    ["the first name that exists", { iface: ["wlan0", "eth1"] }, V4, "eth1 192.168.7.6 - tells 192.168.7.6 -"],
    [
      "a pattern meets addresses before names",
      { ifaceRegex: ["^192\\.168"] },
      V4,
      "eth1 192.168.7.6 - tells 192.168.7.6 -",
    ],
    [
      "a pattern meets names when no address fits",
      { ifaceRegex: ["^eth1$"] },
      V4,
      "eth1 192.168.7.6 - tells 192.168.7.6 -",
    ],
    ["names come before patterns", { iface: ["eth0"], ifaceRegex: ["eth1"] }, V4, "eth0 10.0.2.16 - tells 10.0.2.16 -"],
    [
      "the interface that reaches an address",
      { ifaceCanReach: "192.168.7.9" },
      V4,
      "eth1 192.168.7.6 - tells 192.168.7.6 -",
    ],
    [
      "the owner of the public address",
      { publicIp: parseIpv4("192.168.7.6") },
      V4,
      "eth1 192.168.7.6 - tells 192.168.7.6 -",
    ],
    [
      "behind NAT the announced address differs",
      { iface: ["eth1"], publicIp: parseIpv4("203.0.113.9") },
      V4,
      "eth1 192.168.7.6 - tells 203.0.113.9 -",
    ],
    [
      "IPv6 alone announces the given address and binds the interface's",
      { iface: ["eth1"], publicIpv6: parseIpv6("2001:db8::99") },
      V6,
      "eth1 - fd00::6 tells - 2001:db8::99",
    ],
  ];
  for (const [name, wishes, stack, expected] of rows) {
    test(name, () => assert.equal(choose(wishes, stack), expected));
  }

  const refused: ReadonlyArray<readonly [string, Partial<InterfaceWishes>, StackWishes, RegExp]> = [
    [
      "every candidate is named",
      { iface: ["wlan0", "10.9.9.9"] },
      V4,
      /--iface=wlan0: no such interface; --iface=10\.9\.9\.9: no interface has this address/,
    ],
    ["a public address nobody has", { publicIp: parseIpv4("203.0.113.9") }, V4, /behind NAT give --iface too/],
    ["an interface without MTU", { iface: ["nomtu"] }, V4, /nomtu has no MTU/],
    ["an interface without IPv6", { iface: ["nomtu"] }, V6, /nomtu has no MTU/],
    [
      "a link-local IPv6 address is not usable: a lease cannot say on which link it is",
      { iface: ["wg0"] },
      V6,
      /wg0 has no usable IPv6 address/,
    ],
    ["a loopback address is not usable", { iface: ["lo"] }, V4, /lo has no usable IPv4 address/],
  ];
  for (const [name, wishes, stack, message] of refused) {
    test(`${name}: refused with the reason`, () =>
      assert.throws(() => choose(wishes, stack), { code: "EXTERNAL_INTERFACE", message }));
  }

  test("dual stack refuses default routes over two interfaces and names both", () => {
    const routes = [route("0.0.0.0/0", 3, "192.168.7.1"), route("::/0", 2, "fe80::1")];
    assert.throws(() => choose({}, DUAL, { ...LISTING, routes }), /IPv4 uses eth1 and IPv6 uses eth0/);
    assert.throws(() => choose({}, DUAL, { ...LISTING, routes: [] }), /none for IPv4/);
  });

  test("logs say where it is bound and what it announces", () => {
    const chosen = selectExternalInterface(
      { iface: ["eth1"], ifaceRegex: [], ifaceCanReach: "", publicIp: parseIpv4("203.0.113.9"), publicIpv6: null },
      V4,
      LISTING,
    );
    assert.equal(describeExternalInterface(chosen), "eth1 (192.168.7.6, announced as 203.0.113.9)");
  });
});

// What exists inside a namespace, asked from `ip -json`; the builders add only what is missing.
import type { Runner } from "./runner.js";

interface IpLink {
  readonly ifname: string;
  readonly address?: string;
  readonly mtu: number;
}

interface IpAddressed extends IpLink {
  readonly addr_info: ReadonlyArray<{ readonly local?: string; readonly prefixlen?: number }>;
}

/** Device names inside a namespace. */
export async function linkNames(runner: Runner, namespace: string): Promise<ReadonlySet<string>> {
  const links = JSON.parse(await runner.must("ip", ["-n", namespace, "-json", "link", "show"])) as readonly IpLink[];
  return new Set(links.map((link) => link.ifname));
}

/** MAC address of a device; null when the device is not there. */
export async function linkMac(runner: Runner, namespace: string, device: string): Promise<string | null> {
  const result = await runner.run("ip", ["-n", namespace, "-json", "link", "show", "dev", device]);
  if (result.code !== 0) return null;
  return (JSON.parse(result.stdout) as readonly IpLink[])[0]?.address ?? null;
}

/** A device's addresses of one family in prefix notation, without link-local ones; empty when it is not there. */
export async function addressesOf(
  runner: Runner,
  namespace: string,
  device: string,
  family: 4 | 6 = 4,
): Promise<readonly string[]> {
  const args = ["-n", namespace, "-json", `-${family}`, "address", "show", "dev", device, "scope", "global"];
  const result = await runner.run("ip", args);
  if (result.code !== 0) return [];
  const links = JSON.parse(result.stdout) as readonly Partial<IpAddressed>[];
  // `ip` shows an address that its filter leaves out as an empty object.
  const addresses = links.flatMap((link) => link.addr_info ?? []).filter(({ local }) => local !== undefined);
  return addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** Commands that leave exactly `wanted` on the device, in its family. */
export async function exactAddress(
  runner: Runner,
  namespace: string,
  device: string,
  wanted: string,
): Promise<string[]> {
  const ipv6 = wanted.includes(":");
  const present = await addressesOf(runner, namespace, device, ipv6 ? 6 : 4);
  return [
    ...present.filter((address) => address !== wanted).map((address) => `address delete ${address} dev ${device}`),
    ...(present.includes(wanted) ? [] : [`address add ${wanted} dev ${device}${ipv6 ? " nodad" : ""}`]),
  ];
}

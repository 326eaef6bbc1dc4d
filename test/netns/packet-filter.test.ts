// Masquerade and forward rules against the real iptables and nft, in an empty namespace.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Prefix } from "../../src/addr/address.js";
import { parsePrefix } from "../../src/addr/prefix.js";
import { withPrefix } from "../../src/host/command.js";
import { makePacketFilter } from "../../src/host/masquerade/packet-filter.js";
import type { FilterRules, PacketFilter } from "../../src/host/masquerade/rules.js";
import { rootNeeded } from "../support/lab.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";

const options = { skip: rootNeeded };

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed);
  return parsed;
}

const RULES: FilterRules = {
  families: [
    { family: 4, network: prefix("10.42.0.0/16"), subnet: prefix("10.42.0.0/24"), neverMasquerade: [] },
    { family: 6, network: prefix("fd00:42::/56"), subnet: prefix("fd00:42::/64"), neverMasquerade: [] },
  ],
  masquerade: true,
  fullyRandom: true,
  forward: true,
};

/** flannel's own golden text, from its end-to-end tests. */
const golden = (n: string, p: string, multicast: string): string =>
  [
    "-N FLANNEL-POSTRTG",
    '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
    '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN',
    `-A FLANNEL-POSTRTG -s ${p} -d ${n} -m comment --comment "flanneld masq" -j RETURN`,
    `-A FLANNEL-POSTRTG -s ${n} -d ${p} -m comment --comment "flanneld masq" -j RETURN`,
    `-A FLANNEL-POSTRTG ! -s ${n} -d ${p} -m comment --comment "flanneld masq" -j RETURN`,
    `-A FLANNEL-POSTRTG -s ${n} ! -d ${multicast} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully`,
    `-A FLANNEL-POSTRTG ! -s ${n} -d ${n} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully`,
  ].join("\n");
const GOLDEN_FORWARD = [
  "-N FLANNEL-FWD",
  '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD',
  '-A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
  '-A FLANNEL-FWD -d 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
].join("\n");

async function listed({ exec }: TestNamespace, tool: string, table: string): Promise<string> {
  const text = await exec(tool, "-t", table, "-S");
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("-P "))
    .join("\n");
}

function filterIn({ name }: TestNamespace, mode: PacketFilter["mode"]): PacketFilter {
  return makePacketFilter(mode, withPrefix(["ip", "netns", "exec", name]));
}

test("iptables rules are flannel's to the letter, and a second look changes nothing", options, () =>
  withNamespace(async (namespace) => {
    const filter = filterIn(namespace, "iptables");
    assert.equal((await filter.reconcile(RULES)).length, 4);
    assert.equal(await listed(namespace, "iptables", "nat"), golden("10.42.0.0/16", "10.42.0.0/24", "224.0.0.0/4"));
    assert.equal(await listed(namespace, "ip6tables", "nat"), golden("fd00:42::/56", "fd00:42::/64", "ff00::/8"));
    assert.equal(await listed(namespace, "iptables", "filter"), GOLDEN_FORWARD);
    assert.deepEqual(await filter.reconcile(RULES), []);
    assert.deepEqual(await filterIn(namespace, "iptables").reconcile(RULES), []);
  }),
);

test("iptables rules that were removed, reordered, added to or doubled are repaired; others' rules stay", options, () =>
  withNamespace(async (namespace) => {
    const { exec } = namespace;
    const filter = filterIn(namespace, "iptables");
    await exec("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "192.168.0.0/16", "-j", "MASQUERADE");
    await filter.reconcile(RULES);
    const intact = await listed(namespace, "iptables", "nat");
    const damage: string[][] = [
      ["-t", "nat", "-D", "FLANNEL-POSTRTG", "2"],
      ["-t", "nat", "-F", "FLANNEL-POSTRTG"],
      ["-t", "nat", "-I", "FLANNEL-POSTRTG", "-j", "ACCEPT"],
      ["-t", "nat", "-A", "POSTROUTING", "-m", "comment", "--comment", "flanneld masq", "-j", "FLANNEL-POSTRTG"],
      ["-t", "nat", "-D", "POSTROUTING", "-m", "comment", "--comment", "flanneld masq", "-j", "FLANNEL-POSTRTG"],
    ];
    for (const words of damage) {
      await exec("iptables", ...words);
      const changes = await filter.reconcile(RULES);
      assert.deepEqual(changes, [{ object: "iptables nat FLANNEL-POSTRTG", action: "replace" }], words.join(" "));
      assert.equal(await listed(namespace, "iptables", "nat"), intact, words.join(" "));
    }
  }),
);

test(
  "switches and lists are followed: no masquerade, another network, networks never masqueraded, not random",
  options,
  () =>
    withNamespace(async (namespace) => {
      const filter = filterIn(namespace, "iptables");
      await filter.reconcile(RULES);
      await filter.reconcile({ ...RULES, masquerade: false });
      assert.equal(await listed(namespace, "iptables", "nat"), "");
      const [v4] = RULES.families;
      assert.ok(v4);
      const changed = {
        ...v4,
        network: prefix("10.43.0.0/16"),
        subnet: prefix("10.43.1.0/24"),
        neverMasquerade: [prefix("192.168.7.0/24")],
      };
      await filter.reconcile({ ...RULES, families: [changed], fullyRandom: false });
      const rules = await listed(namespace, "iptables", "nat");
      assert.match(
        rules,
        /-s 10\.43\.0\.0\/16 -d 192\.168\.7\.0\/24 -m comment --comment "flanneld masq" -j RETURN\n-A FLANNEL-POSTRTG -s 10\.43\.0\.0\/16 ! -d 224/,
      );
      assert.doesNotMatch(rules, /random-fully|10\.42/);
      assert.equal(await listed(namespace, "ip6tables", "nat"), "");
      await filter.remove();
      assert.equal(await listed(namespace, "iptables", "nat"), "");
      assert.equal(await listed(namespace, "iptables", "filter"), "");
    }),
);

test("nft has flannel's tables with the meaning of the iptables rules, repaired when tampered with", options, () =>
  withNamespace(async (namespace) => {
    const { exec } = namespace;
    const filter = filterIn(namespace, "nftables");
    assert.equal((await filter.reconcile(RULES)).length, 2);
    const shown = await exec("nft", "list", "table", "ip", "flannel-ipv4");
    const order = [
      /type nat hook postrouting priority srcnat/,
      /mark & 0x0*4000 == 0x0*4000 return/,
      /saddr 10\.42\.0\.0\/24 ip daddr 10\.42\.0\.0\/16 return/,
      /saddr 10\.42\.0\.0\/16 ip daddr 10\.42\.0\.0\/24 return/,
      /saddr != 10\.42\.0\.0\/16 ip daddr 10\.42\.0\.0\/24 return/,
      /saddr 10\.42\.0\.0\/16 ip daddr != 224\.0\.0\.0\/4 masquerade fully-random/,
      /saddr != 10\.42\.0\.0\/16 ip daddr 10\.42\.0\.0\/16 masquerade fully-random/,
      /type filter hook forward priority filter/,
      /saddr 10\.42\.0\.0\/16 accept/,
      /daddr 10\.42\.0\.0\/16 accept/,
    ];
    let from = 0;
    for (const pattern of order) {
      const at = shown.slice(from).search(pattern);
      assert.ok(at >= 0, `${String(pattern)} in order in ${shown}`);
      from += at;
    }
    assert.deepEqual(await filter.reconcile(RULES), []);
    await exec("nft", "flush", "chain", "ip", "flannel-ipv4", "postrtg");
    assert.deepEqual(await filter.reconcile(RULES), [{ object: "nft table ip flannel-ipv4", action: "replace" }]);
    assert.equal(await exec("nft", "list", "table", "ip", "flannel-ipv4"), shown);
    await exec("nft", "delete", "table", "ip", "flannel-ipv4");
    assert.equal((await filter.reconcile(RULES)).length, 1);
    await filter.remove();
    assert.doesNotMatch(await exec("nft", "list", "ruleset"), /flannel/);
  }),
);

test("a switch between the modes leaves nothing of the other one", options, () =>
  withNamespace(async (namespace) => {
    await filterIn(namespace, "iptables").reconcile(RULES);
    await filterIn(namespace, "nftables").reconcile(RULES);
    assert.equal(await listed(namespace, "iptables", "nat"), "");
    assert.equal(await listed(namespace, "iptables", "filter"), "");
    await filterIn(namespace, "iptables").reconcile(RULES);
    const tables = await namespace.exec("nft", "list", "tables");
    assert.doesNotMatch(tables, /flannel/);
    assert.match(await listed(namespace, "iptables", "nat"), /FLANNEL-POSTRTG/);
  }),
);

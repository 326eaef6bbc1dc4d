// Masquerade and forward rules, and those that keep pods from the tunnel port, against the real iptables and nft, in an empty
// namespace.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Prefix } from "../../src/addr/address.js";
import { parsePrefix } from "../../src/addr/prefix.js";
import { withPrefix } from "../../src/host/command.js";
import { checkEncapsulationPort, checkTunnelGuard } from "../../src/doctor/firewall-checks.js";
import type { HostFacts } from "../../src/doctor/host-facts.js";
import { guardedDevices, TunnelGuard } from "../../src/host/tunnel-guard.js";
import type { TunnelGuardRules } from "../../src/host/tunnel-guard-text.js";
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

test("a check is one program per family, and a repair one more", options, () =>
  withNamespace(async ({ name, exec }) => {
    const inside = withPrefix(["ip", "netns", "exec", name]);
    const rows = [
      ["iptables", ["iptables", "-t", "nat", "-F", "FLANNEL-POSTRTG"]],
      ["nftables", ["nft", "flush", "chain", "ip", "flannel-ipv4", "postrtg"]],
    ] as const;
    for (const [mode, damage] of rows) {
      let programs = 0;
      const filter = makePacketFilter(mode, (argv, more) => {
        programs++;
        return inside(argv, more);
      });
      const cost = async () => {
        const before = programs;
        await filter.reconcile(RULES);
        return programs - before;
      };
      await cost();
      assert.equal(await cost(), 2, mode);
      await exec(...damage);
      // nft shows what it made of a text: that is what a later look is compared with.
      assert.equal(await cost(), mode === "iptables" ? 3 : 4, mode);
      assert.equal(await cost(), 2, mode);
      await filter.remove();
    }
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

const GUARD: TunnelGuardRules = {
  encapsulation: "vxlan",
  vni: 1,
  port: 8472,
  overlayDevices: ["flannel.1", "flannel-v6.1"],
  externalInterface: "eth0",
  podSources: RULES.families.map(({ network }) => network),
  subnets: RULES.families.map(({ subnet }) => subnet),
};

test(
  "what keeps pods from the tunnel port is repaired with its counts, and the doctor sees what is wrong",
  options,
  () =>
    withNamespace(async ({ name, exec }) => {
      const run = withPrefix(["ip", "netns", "exec", name]);
      const facts = async () => ({ iptables: "", nftables: await exec("nft", "-n", "list", "ruleset") }) as HostFacts;
      const verdict = async (port = 8472) => checkTunnelGuard(await facts(), "flannel.1", port);
      assert.match((await verdict()).value, /is not there/);

      await exec(
        "nft",
        "add table inet ripstop-flannel.1; add counter inet ripstop-flannel.1 own_node { packets 3 bytes 9 }",
      );
      assert.match((await verdict()).value, /is not whole/);
      const guard = new TunnelGuard("flannel.1", run);
      assert.deepEqual(await guard.reconcile(GUARD), { changed: true, dropped: { ownNode: 0, otherNodes: 0 } });
      assert.equal((await verdict()).verdict, "ok");
      assert.match((await verdict(8473)).value, /is not whole/, "it guards another port");
      assert.equal(checkEncapsulationPort(await facts(), 8472).verdict, "ok", "no firewall that blocks peers");
      const shown = await exec("nft", "list", "ruleset");
      assert.equal((await guard.reconcile(GUARD)).changed, false);

      for (const damage of [
        "delete table inet ripstop-flannel.1",
        "flush chain inet ripstop-flannel.1 from_pods",
        "insert rule inet ripstop-flannel.1 to_own_node accept",
        "add chain inet ripstop-flannel.1 more",
      ]) {
        await exec("nft", damage);
        assert.equal((await guard.reconcile(GUARD)).changed, true, damage);
        assert.equal(await exec("nft", "list", "ruleset"), shown, damage);
      }
      const elsewhere = { ...GUARD, externalInterface: "eth1" };
      assert.equal((await guard.reconcile(elsewhere)).changed, true);

      // A later agent goes on counting.
      await exec("nft", "delete table inet ripstop-flannel.1");
      await exec("nft", shown.replaceAll("packets 0 bytes 0", "packets 7 bytes 700"));
      assert.match((await verdict()).value, /sent 7 packets to its own UDP 8472 and 7 to that of others/);
      const dropped = { ownNode: 7, otherNodes: 7 };
      const later = new TunnelGuard("flannel.1", run);
      assert.deepEqual(await later.reconcile(elsewhere), { changed: true, dropped });
      await exec("nft", "delete table inet ripstop-flannel.1");
      assert.deepEqual(
        await later.reconcile(elsewhere),
        { changed: true, dropped },
        "also when the table was taken away",
      );

      assert.deepEqual(await guardedDevices(run), ["flannel.1"]);
      assert.equal(await later.remove(), true);
      assert.equal(await later.remove(), false);
      assert.equal(await exec("nft", "list", "ruleset"), "");
    }),
);

// What masquerading does to real packets, the same with iptables and with nft: which source address each receiver sees.
//   pod 10.42.0.2 (ours) - node 10.42.0.0/24 - outside 192.0.2.9
//                            +- another node's pod 10.42.1.5
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Prefix } from "../../src/addr/address.js";
import { parsePrefix } from "../../src/addr/prefix.js";
import { withPrefix } from "../../src/host/command.js";
import { makePacketFilter } from "../../src/host/masquerade/packet-filter.js";
import type { FilterRules } from "../../src/host/masquerade/rules.js";
import { withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";
import { answerSources, sourceSeen } from "../support/source-seen.js";
import { until } from "../support/until.js";

const POD = "10.42.0.2";
const REMOTE_POD = "10.42.1.5";
const OUTSIDE = "192.0.2.9";

interface Net {
  readonly node: TestNamespace;
  readonly pod: TestNamespace;
  readonly outside: TestNamespace;
  readonly remote: TestNamespace;
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed);
  return parsed;
}

function rules(changes: Partial<FilterRules> = {}, neverMasquerade: readonly Prefix[] = []): FilterRules {
  const v4 = { family: 4, network: prefix("10.42.0.0/16"), subnet: prefix("10.42.0.0/24"), neverMasquerade } as const;
  return { families: [v4], masquerade: true, fullyRandom: true, forward: true, ...changes };
}

async function withNet(body: (net: Net) => Promise<void>): Promise<void> {
  await withNamespace((node) =>
    withNamespace((pod) =>
      withNamespace((outside) =>
        withNamespace(async (remote) => {
          await node.exec("sysctl", "-qw", "net.ipv4.ip_forward=1");
          for (const [device, far, own, there, gateway] of [
            ["to-pod", pod, "10.42.0.1/24", `${POD}/24`, "10.42.0.1"],
            ["to-outside", outside, "192.0.2.1/24", `${OUTSIDE}/24`, "192.0.2.1"],
            ["to-remote", remote, "172.16.0.1/24", "172.16.0.2/24", "172.16.0.1"],
          ] as const) {
            await node.ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", far.name);
            await node.ip("address", "add", own, "dev", device);
            await node.ip("link", "set", device, "up");
            await far.ip("address", "add", there, "dev", "eth0");
            await far.ip("link", "set", "eth0", "up");
            await far.ip("route", "add", "default", "via", gateway);
          }
          await remote.ip("address", "add", `${REMOTE_POD}/32`, "dev", "lo");
          await node.ip("route", "add", "10.42.1.0/24", "via", "172.16.0.2");
          await body({ node, pod, outside, remote });
        }),
      ),
    ),
  );
}

for (const mode of ["iptables", "nftables"] as const) {
  test(`${mode}: who sees whose address`, { skip: rootNeeded }, () =>
    withNet(async ({ node, pod, outside, remote }) => {
      const filter = makePacketFilter(mode, withPrefix(["ip", "netns", "exec", node.name]));
      const servers = await Promise.all([
        answerSources(pod, POD),
        answerSources(outside, OUTSIDE),
        answerSources(remote, REMOTE_POD),
      ]);
      const seen = async () => {
        const [podOutside, podToPod, outsideToPod, outsideToRemote] = await Promise.all([
          sourceSeen(pod, POD, OUTSIDE),
          sourceSeen(pod, POD, REMOTE_POD),
          sourceSeen(outside, OUTSIDE, POD),
          sourceSeen(outside, OUTSIDE, REMOTE_POD),
        ]);
        return { podOutside, podToPod, outsideToPod, outsideToRemote };
      };
      try {
        await filter.reconcile(rules({ masquerade: false }));
        const bare = { podOutside: POD, podToPod: POD, outsideToPod: OUTSIDE, outsideToRemote: OUTSIDE };
        assert.deepEqual(await seen(), bare);
        await filter.reconcile(rules());
        // The last one is what flannel's nft mode leaves out.
        const masqueraded = { ...bare, podOutside: "192.0.2.1", outsideToRemote: "172.16.0.1" };
        assert.deepEqual(await seen(), masqueraded);
        await filter.reconcile(rules({}, [prefix("192.0.2.0/24")]));
        assert.deepEqual(await seen(), { ...masqueraded, podOutside: POD }, "a network that sees pod addresses");
        await filter.remove();
        assert.deepEqual(await seen(), bare);
      } finally {
        for (const server of servers) server.kill("SIGKILL");
      }
    }),
  );
}

test(
  "the agent's rules are as its flags say, and a restart in the other mode leaves none of the first",
  {
    skip: rootNeeded,
  },
  () =>
    withAgentHost(async (host) => {
      const bare = host.dump();
      const nft = () => host.nft();
      const restart = async (nftables: boolean, ...flags: string[]) => {
        await host.stopAgents();
        writeFileSync(
          join(host.storeDir, "config"),
          JSON.stringify({ Network: "10.244.0.0/16", EnableNFTables: nftables, Backend: { Type: "vxlan" } }),
        );
        await host.startAgent(["--dataplane=kernel", ...flags]);
      };
      await restart(false, "--ip-masq", "--iptables-forward-rules=false");
      await until("rules of the first kind", () => host.dump().includes("MASQUERADE --random-fully"));
      assert.doesNotMatch(host.dump(), /FLANNEL-FWD/);
      await restart(false, "--ip-masq", "--ip-masq-fully-random-disable");
      await until("forward rules too", () => host.dump().includes("-A FLANNEL-FWD -d 10.244.0.0/16"));
      await until("ports are not random", () => !host.dump().includes("random-fully"));
      await restart(true, "--ip-masq");
      await until("a table of nft's", () => nft().includes("masquerade fully-random"));
      await until("none of iptables", () => !host.dump().includes("FLANNEL"));
      await restart(false, "--ip-masq");
      await until("back again", () => host.dump().includes("MASQUERADE --random-fully"));
      await until("none of nft", () => !/table ip6? flannel-/.test(nft()));
      await host.stopAgents();
      assert.equal(host.cleanup().status, 0);
      assert.equal(host.dump(), bare);
    }),
);

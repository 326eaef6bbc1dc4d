// rtnetlink against the real kernel, with iproute2 as the oracle. One empty namespace per test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Netlink } from "../../src/host/netlink.js";
import { NEIGHBOR_STATE, type NetlinkEvents, type NetlinkRequest, ROUTE_TYPE } from "../../src/host/netlink-objects.js";
import { rootNeeded } from "../support/lab.js";
import { netlinkBinding, withNamespace } from "../support/network-namespace.js";

const options = { skip: rootNeeded };

test("a batch answers each request on its own, with the kernel's words", options, () =>
  withNamespace(async ({ netlink, ip }) => {
    await netlink.applyOne({
      verb: "add",
      object: "link",
      name: "d0",
      kind: "bridge",
      up: true,
      mac: "02:00:00:00:00:01",
    });
    const link = await netlink.link("d0");
    assert.ok(link);
    assert.equal(link.mac, "02:00:00:00:00:01");
    const linkIndex = link.index;
    await netlink.applyOne({ verb: "add", object: "address", linkIndex, prefix: "192.0.2.1/24" });
    const outcomes = await netlink.apply([
      { verb: "add", object: "route", destination: "10.1.0.0/24", gateway: "192.0.2.9", linkIndex, protocol: 158 },
      { verb: "add", object: "route", destination: "10.2.0.0/24", gateway: "203.0.113.1", linkIndex, protocol: 158 },
      { verb: "add", object: "route", destination: "10.1.0.0/24", gateway: "192.0.2.9", linkIndex, protocol: 158 },
      { verb: "add", object: "route", destination: "10.3.0.0/24", type: ROUTE_TYPE.blackhole },
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.ok ? "ok" : outcome.code)),
      ["ok", "ENETUNREACH", "EEXIST", "ok"],
    );
    assert.match(outcomes[1]?.ok === false ? outcomes[1].message : "", /gateway/i);
    assert.match(await ip("route", "show", "proto", "158"), /^10\.1\.0\.0\/24 via 192\.0\.2\.9 dev d0/);
    assert.match(await ip("route", "show", "type", "blackhole"), /10\.3\.0\.0\/24/);
  }),
);

test("every kind of object comes back as it was sent", options, () =>
  withNamespace(async ({ netlink, ip }) => {
    await netlink.applyOne({ verb: "add", object: "link", name: "d0", kind: "bridge", up: true });
    const linkIndex = (await netlink.link("d0"))?.index ?? 0;
    const requests: NetlinkRequest[] = [
      { verb: "add", object: "address", linkIndex, prefix: "fd00::1/64", flags: 2 },
      {
        verb: "replace",
        object: "neighbor",
        linkIndex,
        address: "fd00::9",
        mac: "02:00:00:00:00:09",
        state: NEIGHBOR_STATE.permanent,
        protocol: 158,
      },
      {
        verb: "add",
        object: "route",
        destination: "fd01::/64",
        gateway: "fd00::9",
        linkIndex,
        protocol: 158,
        mtu: 1400,
      },
      { verb: "add", object: "rule", family: 4, source: "10.9.0.0/16", priority: 900, table: 1000, mark: 4, mask: 6 },
    ];
    for (const outcome of await netlink.apply(requests)) assert.deepEqual(outcome, { ok: true });
    const [address] = (await netlink.dump("address", { linkIndex, family: 6 })).filter((found) => found.scope === 0);
    assert.equal(address?.prefix, "fd00::1/64");
    // The kernel may have joined a multicast group meanwhile, which is a neighbor too.
    const neighbors = await netlink.dump("neighbor", { linkIndex, family: 6 });
    const neighbor = neighbors.find((found) => found.address === "fd00::9");
    assert.deepEqual([neighbor?.mac, neighbor?.protocol], ["02:00:00:00:00:09", 158]);
    const [route] = await netlink.dump("route", { family: 6, protocol: 158 });
    assert.deepEqual([route?.destination, route?.gateway, route?.mtu], ["fd01::/64", "fd00::9", 1400]);
    assert.match(await ip("rule", "show"), /900:\s+from 10\.9\.0\.0\/16 fwmark 0x4\/0x6 lookup 1000/);
    const rule = (await netlink.dump("rule", { family: 4 })).find((found) => found.priority === 900);
    assert.deepEqual([rule?.source, rule?.table, rule?.mark, rule?.mask], ["10.9.0.0/16", 1000, 4, 6]);
  }),
);

test("more requests than one send holds are all carried out, and one dump shows them", options, () =>
  withNamespace(async ({ netlink }) => {
    await netlink.applyOne({ verb: "add", object: "link", name: "d0", kind: "bridge", up: true });
    const linkIndex = (await netlink.link("d0"))?.index ?? 0;
    const count = 3000;
    const requests = Array.from({ length: count }, (_, i): NetlinkRequest => {
      const destination = `10.${100 + (i >> 8)}.${i & 255}.0/24`;
      return { verb: "add", object: "route", destination, linkIndex, protocol: 158, scope: 253 };
    });
    const outcomes = await netlink.apply(requests);
    assert.equal(outcomes.filter((outcome) => outcome.ok).length, count);
    assert.equal((await netlink.dump("route", { family: 4, protocol: 158 })).length, count);
  }),
);

test("what does not exist is null, not an error", options, () =>
  withNamespace(async ({ netlink }) => {
    assert.equal(await netlink.link("nothing"), null);
    assert.equal(await netlink.route({ address: "203.0.113.7" }), null);
    assert.equal(await netlink.neighbor("203.0.113.7", 1), null);
  }),
);

test("events tell what others changed and end with the signal", options, () =>
  withNamespace(async ({ netlink, ip }) => {
    const stop = new AbortController();
    const stream = netlink.events(["link", "route"], stop.signal)[Symbol.asyncIterator]();
    await ip("link", "add", "d0", "type", "bridge");
    const seen: NetlinkEvents["notices"][number][] = [];
    while (!seen.some((notice) => notice.object === "link" && notice.name === "d0")) {
      seen.push(...((await stream.next()).value as NetlinkEvents).notices);
    }
    await ip("link", "delete", "d0");
    while (!seen.some((notice) => notice.object === "link" && notice.deleted)) {
      seen.push(...((await stream.next()).value as NetlinkEvents).notices);
    }
    // What came meanwhile is told before the end.
    let last = stream.next();
    stop.abort();
    while ((await last).done !== true) last = stream.next();
  }),
);

test("a flood that nobody reads ends in one overrun, not in lost silence", options, () =>
  withNamespace(async ({ netlink }) => {
    await netlink.applyOne({ verb: "add", object: "link", name: "d0", kind: "bridge", up: true });
    const linkIndex = (await netlink.link("d0"))?.index ?? 0;
    const stop = new AbortController();
    const stream = netlink.events(["route"], stop.signal);
    const requests = Array.from({ length: 20_000 }, (_, i): NetlinkRequest => {
      const destination = `10.${i >> 8}.${i & 255}.0/24`;
      return { verb: "add", object: "route", destination, linkIndex, scope: 253 };
    });
    await netlink.apply(requests);
    for await (const { overrun } of stream) {
      if (overrun) break;
    }
    stop.abort();
  }),
);

test("a wrong field is a TypeError that names it, and a missing namespace says so", options, () =>
  withNamespace(async ({ netlink }) => {
    const wrong = { verb: "add", object: "route", destination: "not a prefix" } as const;
    await assert.rejects(netlink.apply([wrong]), /request 0: field 'destination' must be an IP prefix/);
    const binding = netlinkBinding();
    assert.throws(() => Netlink.open({ binding, namespace: "/run/netns/rst-none" }), { code: "NETNS_OPEN_FAILED" });
    netlink.close();
    await assert.rejects(netlink.dump("link"), /closed/);
  }),
);

// Three etcd members: one lost is nothing, a lost quorum is noticed and outlived.
import assert from "node:assert/strict";
import { test } from "node:test";
import { etcdOptions, openStore, SnapshotLog } from "../support/etcd-client.js";
import { EtcdServer, freePort } from "../support/etcd-server.js";
import { until } from "../support/until.js";

const PREFIX = "/coreos.com/network";

test("a killed member is nothing; without a quorum peers stay; with it back changes are seen", async (t) => {
  const ports = await Promise.all([0, 1, 2].map(async () => [await freePort(), await freePort()] as const));
  const cluster = ports.map(([, peer], i) => `m${i}=http://127.0.0.1:${peer}`).join();
  const members = await Promise.all(ports.map((pair, i) => EtcdServer.spawn({ ports: pair, name: `m${i}`, cluster })));
  const stop = new AbortController();
  const { store } = openStore(etcdOptions(members.map((member) => member.endpoint)));
  t.after(async () => {
    stop.abort();
    await store.close();
    await Promise.all(members.map((member) => member.destroy()));
  });
  const [first, second, third] = members;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await first.untilHealthy();
  const put = (name: string) => first.ctl(["put", `${PREFIX}/subnets/${name}`, '{"PublicIP":"192.0.2.1"}']);
  await put("10.1.1.0-24");
  const log = new SnapshotLog(store.watchLeases(stop.signal));
  await until("the lease", () => log.keys().length === 1, 60_000);
  await third.stop();
  await until("two members answer", () =>
    put("10.1.2.0-24").then(
      () => true,
      () => false,
    ),
  );
  await until("the second lease", () => log.keys().length === 2, 60_000);
  await second.stop();
  await until("the lost quorum is noticed", () => !store.health().connected, 60_000);
  assert.equal(log.keys().length, 2);
  second.start();
  third.start();
  await until("the quorum is back", () =>
    put("10.1.3.0-24").then(
      () => true,
      () => false,
    ),
  );
  await until("the third lease", () => log.keys().length === 3, 60_000);
  assert.ok(!log.everMissed("10.1.1.0-24"));
});

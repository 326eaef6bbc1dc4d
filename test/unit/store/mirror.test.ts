// The copy of what etcd holds, where revisions cannot be trusted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EtcdMirror } from "../../../src/store/etcd/mirror.js";
import type { EtcdRecord } from "../../../src/store/etcd/transport.js";
import { FakeEtcd } from "../../support/fake-etcd.js";
import { ManualClock } from "../../support/manual-clock.js";

test("after a restored backup a record with a revision and value that were seen before is still taken as new", async () => {
  const etcd = new FakeEtcd();
  const clock = new ManualClock();
  const stop = new AbortController();
  let copy: ReadonlyMap<string, EtcdRecord> = new Map();
  const onChange = (records: ReadonlyMap<string, EtcdRecord>) => {
    copy = records;
  };
  const mirror = new EtcdMirror({ transport: etcd, prefix: "/net/", clock, random: () => 0.5, onChange });
  const running = mirror.run(stop.signal);
  const settle = async () => {
    for (let ticks = 0; ticks < 20; ticks++) await new Promise(setImmediate);
  };
  await settle();
  const empty = etcd.backup();
  // Created at revision 2, last written at revision 4.
  etcd.put("/net/a", "x");
  etcd.put("/net/b", "x");
  etcd.put("/net/a", "x");
  await settle();
  const before = copy.get("/net/a");
  etcd.restore(empty);
  etcd.put("/net/b", "x");
  etcd.put("/net/b", "x");
  etcd.put("/net/a", "x");
  await settle();
  clock.advance(10_000);
  await settle();
  assert.equal(copy.get("/net/a")?.modRevision, before?.modRevision);
  assert.deepEqual(copy.get("/net/a"), etcd.records.get("/net/a"));
  assert.notEqual(copy.get("/net/a")?.createRevision, before?.createRevision);
  const { resyncs } = mirror.state;
  assert.ok(resyncs > 0, "the list after the restored backup counts");
  etcd.dropStreams();
  await settle();
  clock.advance(10_000);
  await settle();
  assert.equal(mirror.state.resyncs, resyncs + 1);
  stop.abort();
  etcd.dropStreams();
  await running;
});

// What the doctor sees of a real etcd, member by member: one that is away, one without its quorum, one that lets nobody in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeEndpoint } from "../../src/doctor/datastore-checks.js";
import { lookAtEndpoints } from "../../src/store/etcd/endpoint-look.js";
import { etcdOptions } from "../support/etcd-client.js";
import { EtcdServer, freePort } from "../support/etcd-server.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { until } from "../support/until.js";

const WITHIN_MS = 30_000;

test("each member is looked at by itself, before and after its peer is lost", async () => {
  const ports: Array<[number, number]> = [];
  for (let i = 0; i < 2; i++) ports.push([await freePort(), await freePort()]);
  const cluster = ports.map(([, peer], i) => `m${i}=http://127.0.0.1:${peer}`).join();
  const [one, two] = (await Promise.all(
    ports.map((pair, i) => EtcdServer.spawn({ ports: pair, name: `m${i}`, cluster })),
  )) as [EtcdServer, EtcdServer];
  try {
    await Promise.all([one.untilHealthy(), two.untilHealthy()]);
    const options = etcdOptions([one.endpoint, two.endpoint]);
    let last = "";
    // A busy machine may answer late, which is no more than a warning.
    await until(
      "both members are found well",
      async () => {
        const both = await lookAtEndpoints(options);
        last = both.map((seen) => judgeEndpoint(seen).value).join("; ");
        const roles = both.map(({ role }) => role).sort();
        return roles.join() === "follower,leader" && both.every((seen) => judgeEndpoint(seen).verdict === "ok");
      },
      WITHIN_MS,
    );
    assert.match(last, /^http:.*: etcd 3\.\d+\.\d+, (leader|follower), [\d.]+ ms, clock as here; http:/);
    await two.stop();
    await until(
      "the member has noticed that it is alone",
      async () => {
        const [alone, away] = (await lookAtEndpoints(options)).map((seen) => ({ seen, finding: judgeEndpoint(seen) }));
        assert.equal(away?.finding.verdict, "fail");
        assert.match(away?.finding.value ?? "", /no answer/);
        assert.match(away?.finding.fix ?? "", /start it/);
        return alone?.finding.verdict === "fail" && alone.seen.version !== null;
      },
      WITHIN_MS,
    );
  } finally {
    await Promise.all([one.destroy(), two.destroy()]);
  }
});

test("a member behind a slow network, and one whose clock is another than ours", async (t) => {
  const etcd = await EtcdServer.ready();
  const proxy = await TcpProxy.open(Number(new URL(etcd.endpoint).port));
  try {
    const judged = async () => {
      const [seen] = await lookAtEndpoints(etcdOptions([proxy.endpoint]));
      return judgeEndpoint(seen ?? assert.fail("no answer"));
    };
    proxy.delay(200); // Both ways, which is beyond the doctor's 250 ms.
    const named = async () => {
      const { verdict, value, meaning, fix } = await judged();
      const slow = /, leader, ([4-9]\d\d|\d{4})\.\d ms/.test(value) && /changes reach this node late/.test(meaning);
      return verdict === "warn" && slow && /etcdctl check perf/.test(fix);
    };
    await until("it is called slow, with the remedy", named, WITHIN_MS);
    proxy.delay(0);

    const now = Date.now;
    for (const [offMs, said] of [
      [61_000, /, clock (59|6\d) s behind ours$/],
      [-3_600_000, /, clock 3[56]\d\d s ahead of ours$/],
    ] as const) {
      const clock = t.mock.method(Date, "now", () => now() + offMs);
      // Slowness would be told first.
      await until("only the clock is wrong", async () => said.test((await judged()).value), WITHIN_MS);
      clock.mock.restore();
    }
  } finally {
    proxy.close();
    await etcd.destroy();
  }
});

test("a member that wants a password says so", async () => {
  const etcd = await EtcdServer.ready();
  try {
    for (const words of [
      ["user", "add", "root:secret"],
      ["user", "grant-role", "root", "root"],
      ["auth", "enable"],
    ])
      await etcd.ctl(words);
    const [closed] = await lookAtEndpoints(etcdOptions([etcd.endpoint]));
    const finding = judgeEndpoint(closed ?? assert.fail("no answer"));
    assert.equal(finding.verdict, "fail");
    assert.match(finding.fix, /-etcd-username and -etcd-password/, finding.value);
    const [open] = await lookAtEndpoints(etcdOptions([etcd.endpoint], { username: "root", password: "secret" }));
    assert.equal(open?.failure, null, JSON.stringify(open));
  } finally {
    await etcd.destroy();
  }
});

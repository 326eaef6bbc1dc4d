// What the doctor makes of one etcd member's answers, and of the time that our lease has left.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "../../../src/agent/node-status.js";
import { checkDatastore, checkLease, judgeEndpoint } from "../../../src/doctor/datastore-checks.js";
import { type EndpointLook, skewOf } from "../../../src/store/etcd/endpoint-look.js";

const HEALTHY: EndpointLook = {
  endpoint: "http://10.0.0.1:2379",
  version: "3.5.9",
  latencyMs: 1.25,
  role: "leader",
  skewMs: 0,
  failure: null,
};

const rows: ReadonlyArray<
  readonly [what: string, seen: Partial<EndpointLook>, verdict: string, value: RegExp, fix: RegExp]
> = [
  ["healthy", {}, "ok", /^http:\/\/10\.0\.0\.1:2379: etcd 3\.5\.9, leader, 1\.3 ms, clock as here$/, /^$/],
  ["unknown clock", { skewMs: null, role: "follower" }, "ok", /, follower, 1\.3 ms$/, /^$/],
  ["slow", { latencyMs: 900 }, "warn", /900\.0 ms/, /disk/],
  ["clock ahead", { skewMs: 61_000 }, "warn", /clock 61 s ahead of ours/, /NTP/],
  ["clock behind", { skewMs: -3_600_000 }, "warn", /clock 3600 s behind ours/, /NTP/],
  ["without a leader", { role: "no leader" }, "fail", /no leader/, /bring the other members back/],
  [
    "away",
    { version: null, latencyMs: null, role: null, skewMs: null, failure: "connect ECONNREFUSED" },
    "fail",
    /no answer \(connect ECONNREFUSED\)/,
    /start it, open the way/,
  ],
  [
    "closed to us",
    { latencyMs: null, failure: "etcdserver: invalid auth token" },
    "fail",
    /invalid auth token/,
    /-etcd-username/,
  ],
];
for (const [what, seen, verdict, value, fix] of rows) {
  test(`an etcd member that is ${what}`, () => {
    const finding = judgeEndpoint({ ...HEALTHY, ...seen });
    assert.equal(finding.verdict, verdict);
    assert.match(finding.value, value);
    assert.match(finding.fix, fix);
    assert.equal(finding.meaning === "", verdict === "ok");
  });
}

test("a clock is off by what whole seconds and the way there and back do not explain", () => {
  const date = "Fri, 27 Nov 2026 06:00:10 GMT";
  const at = Date.parse(date);
  assert.equal(skewOf(date, at + 200, at + 300), 0);
  assert.equal(skewOf(date, at + 900, at + 1_400), 0);
  assert.equal(skewOf(date, at - 5_000, at - 4_000), 4_000);
  assert.equal(skewOf(date, at + 8_000, at + 9_000), -7_000);
  assert.equal(skewOf(undefined, 0, 0), null);
  assert.equal(skewOf("yesterday", 0, 0), null);
});

test("a store whose options cannot be known is skipped with the reason; a directory needs no endpoint", async () => {
  assert.deepEqual(
    (await checkDatastore("the agent's command line cannot be read: EACCES")).map(({ verdict, value }) => [
      verdict,
      value,
    ]),
    [["skip", "the agent's command line cannot be read: EACCES"]],
  );
  const file = await checkDatastore({ store: "file", storeDir: "/srv/leases" } as never);
  assert.deepEqual(
    file.map(({ verdict, value }) => [verdict, value]),
    [["ok", "/srv/leases, a directory of this machine"]],
  );
});

test("a lease that should have been renewed fails, with what follows", () => {
  const status = (leaseExpiresInMs: number | null) =>
    ({ agent: { leaseExpiresInMs, network: { subnet: "10.1.2.0/24", ipv6Subnet: null } } }) as unknown as NodeStatus;
  assert.equal(checkLease(status(86_000_000)).verdict, "ok");
  assert.match(checkLease(status(null)).value, /^10\.1\.2\.0\/24, does not run out$/);
  const short = checkLease(status(600_000));
  assert.equal(short.verdict, "fail");
  assert.match(short.value, /runs out in 0\.2 h/);
  assert.match(short.fix, /store/);
});

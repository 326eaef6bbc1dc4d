// What a scrape costs and says: a board with 5,000 peers and a data plane behind a real socket.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import { parsePrefix4 } from "../../../src/addr/prefix.js";
import { MetricsPage } from "../../../src/agent/metrics-page.js";
import { askDataplane } from "../../../src/agent/node-status.js";
import { StatusBoard } from "../../../src/agent/status-board.js";
import { Wedge } from "../../../src/agent/wedge.js";
import { DataplaneClient } from "../../../src/dataplane/client.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";

const SCRAPES = 40;

function boardOf(count: number): StatusBoard {
  const health = { connected: true, lastSyncAgeMs: 1_000, detail: "" };
  const board = new StatusBoard({
    storeKind: "file",
    storeHealth: () => health,
    subnetFile: "/run/flannel/subnet.env",
  });
  const peers = Array.from({ length: count }, (_, at) => ({
    id: at + 1,
    leaseKey: `10.${at >> 8}.${at & 255}.0-24`,
    prefix: parsePrefix4(`10.${at >> 8}.${at & 255}.0/24`),
    underlay: { family: 4, address: parseIpv4(`172.16.${at >> 8}.${at & 255}`) },
    vtepMac: "02:00:00:00:00:01",
    direct: false,
  }));
  const report = { table: { version: 1n, peers }, refused: [], contested: [], failures: [], error: null };
  board.session({ report, overlay: null, work: { passes: null, overruns: 0 } } as never);
  board.ready();
  return board;
}

test("a scrape with 5,000 peers costs less than 50 ms of CPU, data plane included", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-metrics-"));
  const path = join(folder, "dataplane.sock");
  const server = new DataplaneServer(() => new FakeBinding(), {
    onShutdown: () => undefined,
    onEvent: () => undefined,
  });
  await server.listen(path);
  const client = await DataplaneClient.connect(path, { deadlineMs: 30_000 });
  const board = boardOf(5_000);
  const page = new MetricsPage({
    overview: () => board.overview(),
    dataplane: () => askDataplane(path),
    leaseExpiry: () => 3_600,
    suppressedLogLines: () => 0,
    work: () => ({ passes: { bounds: [0.1, 1], counts: [4, 2, 1], sum: 4.5 }, overruns: 2 }),
  });
  try {
    await client.hello("control");
    await client.open(openOptions());
    const text = await page.body();
    assert.match(text, /^ripstop_peers 5000$/m);
    for (const line of ['bucket{le="0.1"} 4', 'bucket{le="1"} 6', 'bucket{le="+Inf"} 7', "sum 4.5", "count 7"])
      assert.ok(text.includes(`\nripstop_reconcile_duration_seconds_${line}\n`), line);
    assert.match(text, /^ripstop_dataplane_rx_packets_total\{direction="encap",queue="0"\} \d+$/m);
    assert.match(text, /^ripstop_netlink_overruns_total 2$/m);
    assert.match(text, /^ripstop_dataplane_up 1$/m);
    assert.match(text, /^ripstop_lease_expiry_seconds 3600$/m);
    assert.match(text, /^ripstop_datastore_up\{kind="file"\} 1$/m);
    assert.match(text, /^ripstop_dataplane_drops_total\{direction="encap",reason="no_peer"\} \d+$/m);
    const before = process.cpuUsage();
    for (let at = 0; at < SCRAPES; at++) await page.body();
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1_000 / SCRAPES;
    assert.ok(ms < 50, `${ms.toFixed(1)} ms`);
  } finally {
    page.stop();
    client.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
});

test("an agent is wedged when its report has stayed the same for minutes, not before and not while it starts", () => {
  let now = 0;
  const wedge = new Wedge(() => now);
  const [first, second] = [{}, {}];
  assert.equal(wedge.reason(null), null);
  now = 3_600_000;
  assert.equal(wedge.reason(null), null);
  assert.equal(wedge.reason(first), null);
  now += 299_000;
  assert.equal(wedge.reason(first), null);
  assert.equal(wedge.reason(second), null);
  now += 299_000;
  assert.equal(wedge.reason(second), null);
  now += 2_000;
  assert.match(wedge.reason(second) ?? "", /^no pass .* for 301 s$/);
  assert.equal(wedge.reason(first), null);
});

// What observers of a data plane may ask for beside its state: captures, one at a time and ended with their connection, and what
// each peer got.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DataplaneClient } from "../../../src/dataplane/client.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";
import { until } from "../../support/until.js";

const REQUEST = { points: 1, snapBytes: 64, filter: new Uint8Array() };

async function withPlane(
  body: (binding: FakeBinding, connect: () => Promise<DataplaneClient>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-observe-"));
  const path = join(folder, "dataplane.sock");
  const binding = new FakeBinding();
  const server = new DataplaneServer(() => binding, { onShutdown: () => undefined, onEvent: () => undefined });
  await server.listen(path);
  const clients: DataplaneClient[] = [];
  const connect = async (): Promise<DataplaneClient> => {
    const client = await DataplaneClient.connect(path, { deadlineMs: 30_000 });
    clients.push(client);
    return client;
  };
  try {
    const agent = await connect();
    await agent.hello("control");
    await agent.open(openOptions());
    await body(binding, connect);
  } finally {
    for (const client of clients) client.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

test("there is one capture at a time, and it ends with the connection that asked for it", async () => {
  await withPlane(async (binding, connect) => {
    const [one, other] = [await connect(), await connect()];
    await assert.rejects(one.captureRead(), { code: "CAPTURE_NOT_RUNNING" });
    const { dropReasons, clockOffsetNs } = await one.captureStart(REQUEST);
    assert.deepEqual(dropReasons, ["unknown_peer", "no_peer"]);
    const now = process.hrtime.bigint() + clockOffsetNs;
    assert.ok(now / 1_000_000_000n - BigInt(Math.floor(Date.now() / 1000)) < 2n);
    const read = await one.captureRead();
    assert.deepEqual([read.records.length, read.matched, read.lost], [40, 2, 1]);
    await assert.rejects(other.captureStart(REQUEST), { code: "CAPTURE_BUSY" });
    await assert.rejects(other.captureRead(), { code: "CAPTURE_NOT_RUNNING" });
    assert.equal(binding.opened[0]?.captures, 1);
    one.disconnect();
    await until("the capture is over", () => binding.opened[0]?.captures === 0);
    await other.captureStart(REQUEST);
  });
});

test("a request for points that do not exist is refused, and the capture goes on", async () => {
  await withPlane(async (_binding, connect) => {
    const observer = await connect();
    await observer.captureStart(REQUEST);
    await assert.rejects(observer.captureStart({ ...REQUEST, points: 9 }), { code: "PROTOCOL_REQUEST" });
    assert.equal((await observer.captureRead()).matched, 2);
  });
});

test("what went to and came from a peer is told by its id", async () => {
  await withPlane(async (_binding, connect) => {
    const peers = await (await connect()).peers();
    assert.deepEqual(
      [...peers],
      [[1, { sent: { packets: 10, bytes: 1000, lastMs: 5 }, received: { packets: 20, bytes: 2000, lastMs: null } }]],
    );
  });
});

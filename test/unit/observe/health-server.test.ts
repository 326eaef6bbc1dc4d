// The probes' answers, over real HTTP on the loopback.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import type { AddressInfo } from "node:net";
import { Wedge } from "../../../src/agent/wedge.js";
import { effectiveCapabilities, requireCapabilities } from "../../../src/agent/privileges.js";
import { HealthServer } from "../../../src/observe/health-server.js";

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("healthz and readyz answer with flannel's bodies", async () => {
  const port = await freePort();
  let ready = false;
  const pages = new Map([["/metrics", { contentType: "text/plain", body: () => "ripstop_up 1\n" }]]);
  const server = await HealthServer.listen({ address: "127.0.0.1", port, ready: () => ready, pages });
  const get = async (path: string, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get("/healthz"), [200, "flanneld is running"]);
  assert.deepEqual(await get("/readyz"), [503, "flanneld is not ready yet"]);
  ready = true;
  assert.deepEqual(await get("/readyz"), [200, "flanneld is ready"]);
  assert.deepEqual(await get("/metrics"), [200, "ripstop_up 1\n"]);
  assert.equal((await get("/nothing"))[0], 404);
  assert.equal((await get("/healthz", "POST"))[0], 405);
  await assert.rejects(HealthServer.listen({ address: "127.0.0.1", port, ready: () => ready }), {
    code: "HEALTH_LISTEN_FAILED",
    message: /EADDRINUSE.*--healthz-port/,
  });
  await server.stop();
});

test("healthz fails with the reason once the agent is wedged, and is well again when it moves; readyz tells its state", async () => {
  const port = await freePort();
  let now = 0;
  let report = {};
  const wedge = new Wedge(() => now);
  const server = await HealthServer.listen({
    address: "127.0.0.1",
    port,
    ready: () => true,
    wedged: () => wedge.reason(report),
    detail: () => ["condition ok", "store file connected"],
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get("/healthz"), [200, "flanneld is running"]);
  now = 301_000;
  assert.deepEqual(await get("/healthz"), [
    503,
    "flanneld is wedged: no pass over the kernel's objects has ended for 301 s",
  ]);
  assert.deepEqual(await get("/readyz?verbose"), [200, "flanneld is ready\ncondition ok\nstore file connected"]);
  report = {};
  assert.deepEqual(await get("/healthz"), [200, "flanneld is running"]);
  await server.stop();
});

test("missing capabilities are named, and CAP_SYS_ADMIN stands for CAP_BPF", () => {
  assert.deepEqual([...effectiveCapabilities("CapEff:\t0000008000003000\n")].sort(), [
    "CAP_BPF",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
  ]);
  assert.throws(() => requireCapabilities("the agent", ["CAP_NET_ADMIN", "CAP_BPF"], new Set(["CAP_NET_ADMIN"])), {
    code: "CAPABILITY_MISSING",
    message: /the agent lacks CAP_BPF; run it as root/,
  });
  requireCapabilities("the agent", ["CAP_BPF"], new Set(["CAP_SYS_ADMIN"]));
});

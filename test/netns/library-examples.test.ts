// The two examples that make devices, as their readers would run them: the same program on two hosts, and a gateway that meets
// the kernel's own VXLAN device.   [ours] u0 192.0.2.1 ----- veth ----- 192.0.2.2 u0 [other]
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { pingAll } from "../support/ping-all.js";
import { rootNeeded } from "../support/lab.js";
import { withTwoHosts } from "../support/two-hosts.js";

const folder = resolve(import.meta.dirname, "../../examples");

/** Runs an example in a namespace until `body` is done; waits for its first line. */
async function withExample(
  namespace: string,
  [example, ...args]: readonly [string, ...string[]],
  body: (first: string) => Promise<void>,
  lines: string[] = [],
): Promise<void> {
  const command = ["netns", "exec", namespace, process.execPath, resolve(folder, `${example}.js`), ...args];
  const child: ChildProcess = spawn("ip", command, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const reader = createInterface({ input: child.stdout as NonNullable<ChildProcess["stdout"]> });
  const first = await new Promise<string>((done, fail) => {
    reader.once("line", done);
    child.once("close", () => fail(new Error(`${example} ended at once`)));
  });
  reader.on("line", (line) => lines.push(line));
  try {
    await body(first);
  } finally {
    child.kill("SIGTERM");
    assert.equal(await ended, 0, `${example} ends by itself`);
  }
}

describe("the examples with devices", () => {
  it("firewall: carries what is allowed without asking again, and nothing else", { skip: rootNeeded }, async () => {
    await withTwoHosts(async ({ ours, other }) => {
      const wall = ["firewall", "192.0.2.1", "10.42.1.1/24", "192.0.2.2", "10.42.2.0/24", "7000"] as const;
      const plain = ["static-two-nodes", "192.0.2.2", "10.42.2.1/24", "192.0.2.1", "10.42.1.0/24"] as const;
      const heard: string[] = [];
      await withExample(
        ours.name,
        wall,
        (first) =>
          withExample(other.name, plain, async () => {
            assert.equal(first, "rs42: 10.42.1.1/24 over 192.0.2.1, open 7000");
            await pingAll(ours, "10.42.2.1");
            await runTcpCheck({ from: ours.name, to: other.name, address: "10.42.2.1", port: 7000, mebibytes: 16 });
            await runTcpCheck({ from: other.name, to: ours.name, address: "10.42.1.1", port: 7000, mebibytes: 16 });
            await assert.rejects(
              runTcpCheck({
                from: ours.name,
                to: other.name,
                address: "10.42.2.1",
                port: 7001,
                mebibytes: 1,
                timeoutMs: 4000,
              }),
            );
          }),
        heard,
      );
      const said = /^(\d+) packets asked about, (\d+) carried, (\d+) denied$/.exec(heard.at(-1) ?? "") ?? [];
      const [asked = 0, carried = 0, denied = 0] = said.slice(1).map(Number);
      assert.ok(asked > 0 && asked < carried / 100, `${asked} of ${carried} came up`);
      assert.ok(denied > 0, "the connection that is not allowed was tried more than once");
    });
  });

  it("static-two-nodes: the same program on two hosts, pings and a stream both ways", {
    skip: rootNeeded,
  }, async () => {
    await withTwoHosts(async ({ ours, other }) => {
      const one = ["static-two-nodes", "192.0.2.1", "10.42.1.1/24", "192.0.2.2", "10.42.2.0/24"] as const;
      const two = ["static-two-nodes", "192.0.2.2", "10.42.2.1/24", "192.0.2.1", "10.42.1.0/24"] as const;
      await withExample(ours.name, one, (first) =>
        withExample(other.name, two, async () => {
          assert.equal(first, "rs42: 10.42.1.1/24 over 192.0.2.1, MTU 1450");
          await pingAll(ours, "10.42.2.1");
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.42.2.1", mebibytes: 16 });
          await runTcpCheck({ from: other.name, to: ours.name, address: "10.42.1.1", mebibytes: 16 });
        }),
      );
      assert.doesNotMatch(await ours.ip("link"), /rs42/, "the device goes with the program");
    });
  });

  it("vxlan-gateway: bridges to a kernel VXLAN peer", { skip: rootNeeded }, async () => {
    await withTwoHosts(async ({ ours, other }) => {
      const vx = ["type", "vxlan", "id", "43", "dstport", "4789", "dev", "u0", "local", "192.0.2.2"];
      await other.ip("link", "add", "vx", ...vx);
      await other.exec("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "192.0.2.1");
      await other.ip("address", "add", "10.43.0.2/24", "dev", "vx");
      await other.ip("link", "set", "vx", "up");
      const gateway = ["vxlan-gateway", "192.0.2.1", "43", "10.43.0.1/24", "192.0.2.2"] as const;
      await withExample(ours.name, gateway, async (first) => {
        assert.equal(first, "gw0: 10.43.0.1/24, VNI 43, MTU 1450, 1 machines");
        await pingAll(ours, "10.43.0.2");
        await runTcpCheck({ from: other.name, to: ours.name, address: "10.43.0.1", mebibytes: 16 });
      });
    });
  });
});

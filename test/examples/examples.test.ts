// The examples do what they say, as their readers would run them: each is a program of its own, its output is compared. Those
// that need devices run in namespaces: test/netns/library-examples.test.ts.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { eventually } from "../support/until.js";

const run = promisify(execFile);
const folder = resolve(import.meta.dirname, "../../examples");
const sources = resolve(import.meta.dirname, "../../../examples");

async function output(example: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, [join(folder, `${example}.js`), ...args], { timeout: 90_000 });
  assert.equal(stderr, "");
  return stdout;
}

describe("the examples", () => {
  it("are nine, and each is run by a test", () => {
    assert.deepEqual(
      readdirSync(sources)
        .filter((name) => name.endsWith(".ts"))
        .sort(),
      [
        "custom-store.ts",
        "firewall.ts",
        "learning-switch.ts",
        "mirror-to-pcap.ts",
        "multi-tenant.ts",
        "prometheus-exporter.ts",
        "rate-limiter.ts",
        "static-two-nodes.ts",
        "vxlan-gateway.ts",
      ],
    );
  });

  it("learning-switch: floods, learns, then sends to one node", async () => {
    const text = await output("learning-switch");
    assert.match(text, /^broadcast of station 1: node 2 node 3\n/);
    assert.match(text, /answer of station 2: node 1\n/);
    assert.match(text, /station 1 to station 2: node 2\n/);
    assert.match(text, /station 1 to station 3, not seen yet: node 2 node 3\n/);
    assert.match(text, /02:00:00:00:00:02.*192\.0\.2\.2/);
  });

  it("mirror-to-pcap: writes a file that tcpdump reads, inside and outside", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "ripstop-example-"));
    try {
      const file = join(scratch, "mirror.pcapng");
      const frames = Number(/^(\d+) frames in /.exec(await output("mirror-to-pcap", file))?.[1]);
      assert.ok(frames >= 20, `${frames} frames`);
      const { stdout } = await run("tcpdump", ["-nr", file]);
      assert.equal(stdout.match(/10\.42\.1\.5\.5000 > 10\.42\.2\.7\.6000: UDP, length 5/g)?.length, frames);
      // Half of them; but a worker that was kept waiting takes several at once, and the end may come in between.
      const outside = stdout.match(/VXLAN.* vni 42/g)?.length ?? 0;
      assert.ok(outside > frames / 4 && outside < (frames * 3) / 4, stdout);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });

  it("rate-limiter: lets a burst through, not a flood", async () => {
    const text = await output("rate-limiter");
    const [, passed = "", over = ""] = /210 received, (\d+) passed, (\d+) over the limit/.exec(text) ?? [];
    assert.equal(Number(passed) + Number(over), 210);
    // A burst of 20 and all 10 of the quiet source, and what a slow machine refills meanwhile.
    assert.ok(Number(passed) >= 30 && Number(passed) < 200, text);
    assert.match(text, /10\.42\.1\.2: 1\d tokens left/);
    assert.ok(text.endsWith(`\n${passed} arrived\n`), text);
  });

  it("custom-store: two nodes take subnets from it and find each other", async () => {
    const text = await output("custom-store");
    assert.match(text, /192\.0\.2\.1 holds 10\.42\.\d+\.0\/24\n192\.0\.2\.2 holds 10\.42\.\d+\.0\/24\n/);
    assert.match(text, /each knows the other; audit: created, created/);
  });

  it("multi-tenant: each tenant sees its own packets only", async () => {
    const text = await output("multi-tenant");
    for (const [vni, name, sent] of [
      [100, "blue", 1],
      [200, "green", 2],
      [300, "red", 3],
    ] as const) {
      assert.ok(text.includes(`${name} (VNI ${vni}) got "secret of ${name}"\n`), text);
      assert.ok(text.includes(`${name} sent ${sent} packets\n`), text);
    }
  });

  it("prometheus-exporter: answers with counters and every drop reason", async () => {
    const child = spawn(process.execPath, [join(folder, "prometheus-exporter.js"), "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const lines = createInterface({ input: child.stdout });
      const [line] = (await new Promise<string[]>((done) => lines.once("line", (text) => done([text])))) as [string];
      const url = /http:\S+/.exec(line)?.[0] ?? "";
      await eventually(async () => {
        const text = await (await fetch(url)).text();
        assert.match(text, /overlay_packets_total\{vni="42",direction="out"\} 2\n/);
        assert.match(text, /overlay_drops_total\{vni="42",reason="inner_dst"\} 1\n/);
        assert.match(text, /overlay_drops_total\{vni="42",reason="unknown_peer"\} 0\n/);
      });
    } finally {
      child.kill("SIGTERM");
      await new Promise((done) => child.once("close", done));
    }
  });
});

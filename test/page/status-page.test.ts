// The status page in a real browser: it draws what /status.json says, from nothing but the agent, and goes on doing so. With
// RIPSTOP_SCREENSHOT=FILE it also leaves a picture for somebody to look at.
//   p1 - n1 (agent, chromium) - switch - n2 (agent) - p2
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { exitOf } from "../support/node-commands.js";
import { withLab } from "../support/lab.js";

const PORT = 8081;
/** Several rounds of the page's own clock. */
const LOOK_MS = 7_000;

function browse(
  node: LabNode,
  url: string,
  ...more: readonly string[]
): { readonly dom: string; readonly complaints: string } {
  const profile = mkdtempSync(join(tmpdir(), "ripstop-page-"));
  const browser = [
    "chromium",
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
  ];
  const flags = [
    `--user-data-dir=${profile}`,
    "--window-size=1100,1100",
    `--virtual-time-budget=${LOOK_MS}`,
    "--enable-logging=stderr",
  ];
  try {
    const argv = ["netns", "exec", node.namespace, ...browser, ...flags, ...more, url];
    const { stdout, stderr, error } = spawnSync("ip", argv, { encoding: "utf8", timeout: 180_000 });
    if (error) throw error;
    return {
      dom: stdout,
      complaints: stderr
        .split("\n")
        .filter((line) => line.includes("CONSOLE"))
        .join("\n"),
    };
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
}

test("the page draws a node that carries traffic, and complains of nothing", async () => {
  await withLab({ dataplane: "userspace", agentFlags: [`--healthz-port=${PORT}`] }, async ({ nodes }) => {
    const [one, other] = nodes as readonly [LabNode, LabNode];
    const subnet =
      /FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.1/.exec(readFileSync(labFiles.subnetFile(other), "utf8"))?.[1] ?? "";
    const ping = spawn("ip", ["netns", "exec", one.pod, "ping", "-q", "-i", "0.01", "-s", "1000", `${subnet}.2`]);
    try {
      const url = `http://127.0.0.1:${PORT}/`;
      const { dom, complaints } = browse(one, url, "--dump-dom");
      assert.equal(complaints, "");
      assert.match(dom, /<span id="state" class="state ok">ok<\/span>/);
      assert.match(dom, /user-space data plane, pid \d+/);
      assert.match(
        dom,
        new RegExp(
          `<td>${subnet.replaceAll(".", "\\.")}\\.0/24</td><td>192\\.168\\.77\\.2</td><td>[0-9a-f:]{17}</td><td>user space</td>`,
        ),
      );
      assert.match(dom, /<td>out \(encap\)<\/td><td class="n">\d+ pkt\/s<\/td>/);
      assert.match(dom, /<td>underlay port<\/td><td>tap: /);
      const points = /<polyline id="line" points="([^"]+)"/.exec(dom)?.[1]?.split(" ") ?? [];
      assert.ok(points.length >= 2, `the line has ${points.length} points`);
      const picture = process.env["RIPSTOP_SCREENSHOT"];
      if (picture !== undefined) browse(one, url, `--screenshot=${picture}`);
    } finally {
      ping.kill("SIGINT");
      await exitOf(ping);
    }
  });
});

// The lab itself, with kernel peers only: building, repairing, running commands, removing, being killed half-way.
//   pod p1 - node n1 - switch - node n2 - pod p2, kernel VXLAN between the nodes
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { labExec } from "../../src/lab/exec.js";
import { labDown, labUp } from "../../src/lab/lab.js";
import { lockFile } from "../../src/lab/lock.js";
import { namespaceNames, processesIn } from "../../src/lab/namespace.js";
import { DEFAULT_OPTIONS, type LabOptions } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { type LabStatus, labStatus } from "../../src/lab/status.js";
import { waitFor } from "../../src/lab/wait.js";
import { labFolder, rootNeeded, testPrefix, withLab } from "../support/lab.js";

const runner = new Runner();
const kernelLab: LabOptions = { ...DEFAULT_OPTIONS, prefix: testPrefix, kernelPeers: [1, 2] };
const quiet = (directory: string) => ({ directory, report: () => undefined });

/** Its pings wait for no late answer, so it is asked again. */
function isOk(directory: string): Promise<LabStatus> {
  const ask = async () => {
    const status = await labStatus(directory);
    return status?.state === "ok" ? status : null;
  };
  return waitFor("the lab to be whole", ask, { timeoutMs: 30_000 });
}

async function ourNamespaces(): Promise<string[]> {
  return [...(await namespaceNames())].filter((name) => name.startsWith(testPrefix)).sort();
}

test("pods of two kernel peers reach each other and exec passes exit codes on", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const ping = ["-n", "-q", "-c", "3", "-i", "0.01", "-w", "10", "10.244.2.2"];
    assert.equal((await runner.runIn(`${testPrefix}p1`, "ping", ping)).code, 0);
    assert.equal(await labExec(plan.directory, "p1", ["sh", "-c", "exit 7"]), 7);
    await assert.rejects(labExec(plan.directory, "p9", ["true"]), { code: "LAB_NO_SUCH_POD" });
    const status = await isOk(plan.directory);
    assert.deepEqual(
      status.nodes.map((node) => node.subnet),
      ["10.244.1.0/24", "10.244.2.0/24"],
    );
  });
});

test("up repairs what was taken away and leaves the rest as it was", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const sleeper = spawn("ip", ["netns", "exec", `${testPrefix}p1`, "sleep", "1000"], { stdio: "ignore" });
    await waitFor("the sleeper", async () => ((await processesIn([`${testPrefix}p1`])).length > 0 ? true : null), {
      timeoutMs: 30_000,
    });
    await runner.ip(null, [`netns delete ${testPrefix}n2`]);
    await runner.ip(`${testPrefix}n1`, ["link delete cni0"]);
    assert.equal((await labStatus(plan.directory))?.state, "degraded");
    await labUp(kernelLab, quiet(plan.directory));
    await isOk(plan.directory);
    assert.deepEqual(await processesIn([`${testPrefix}p1`]), [sleeper.pid]);
  });
  assert.deepEqual(await ourNamespaces(), []);
});

test("a lab grows and shrinks in place", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    await labUp({ ...kernelLab, nodes: 3, kernelPeers: [1, 2, 3] }, quiet(plan.directory));
    assert.equal((await labStatus(plan.directory))?.nodes.length, 3);
    await labUp(kernelLab, quiet(plan.directory));
    await isOk(plan.directory);
    assert.equal((await ourNamespaces()).length, 5);
  });
});

test("down leaves nothing behind, also after up was killed at any stage", { skip: rootNeeded }, async () => {
  for (const stage of ["state", "namespace", "cable", "line 1", "line 2", "line 3"]) {
    const directory = await labFolder();
    await killUpAt(stage, directory);
    assert.equal(await labDown(quiet(directory)), true, `stage ${stage}: up had begun`);
    assert.deepEqual(await ourNamespaces(), [], `stage ${stage}`);
    assert.equal(existsSync(directory), false, `stage ${stage}`);
    assert.equal(existsSync(lockFile(directory)), false, `stage ${stage}`);
    await rm(join(directory, ".."), { recursive: true });
  }
});

test("up after a killed up completes the lab", { skip: rootNeeded }, async () => {
  const directory = await labFolder();
  await killUpAt("cable", directory);
  await labUp(kernelLab, quiet(directory));
  await isOk(directory);
  await labDown(quiet(directory));
  await rm(join(directory, ".."), { recursive: true });
});

test("a namespace that is not ours is refused and left alone", { skip: rootNeeded }, async () => {
  const directory = await labFolder();
  const foreign = `${testPrefix}p2`;
  await runner.ip(null, [`netns add ${foreign}`]);
  try {
    await assert.rejects(labUp(kernelLab, quiet(directory)), { code: "LAB_NAME_TAKEN" });
    assert.equal(await labDown(quiet(directory)), false);
    assert.deepEqual(await ourNamespaces(), [foreign]);
  } finally {
    await runner.ip(null, [`netns delete ${foreign}`]);
    await rm(join(directory, ".."), { recursive: true });
  }
});

/** Starts `ripstop lab up` as a process of its own and kills it as soon as it has come to `stage`. */
async function killUpAt(stage: string, directory: string): Promise<void> {
  const argv = ["bin/ripstop", "lab", "up", "--prefix", testPrefix, "--kernel-peers", "1,2", "--directory", directory];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "ignore", "pipe"] });
  let lines = 0;
  child.stderr.on("data", (chunk: Buffer) => {
    lines += chunk.toString().split("\n").length - 1;
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const reached = async (): Promise<true | null> => {
    if (stage === "state") return existsSync(join(directory, "lab.json")) || null;
    if (stage === "namespace") return (await ourNamespaces()).length > 0 || null;
    if (stage === "cable") return (await hasCable()) || null;
    return lines >= Number(stage.split(" ")[1]) || null;
  };
  await waitFor(`stage ${stage} of lab up`, reached, { timeoutMs: 60_000, everyMs: 1 });
  child.kill("SIGKILL");
  await ended;
}

async function hasCable(): Promise<boolean> {
  if (!(await readdir("/run/netns")).includes(`${testPrefix}net`)) return false;
  return (await runner.run("ip", ["-n", `${testPrefix}net`, "link", "show", "dev", "n1"])).code === 0;
}

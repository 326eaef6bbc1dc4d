// Limits and tuning of a machine, from files as /proc and /sys have them.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkTuning } from "../../../src/doctor/machine-checks.js";
import { checkBpf, judgeLockedMemory } from "../../../src/doctor/memory-checks.js";

const limits = (locked: string) => `Limit                     Soft Limit           Hard Limit           Units
Max locked memory         ${locked}              ${locked}              bytes
Max open files            1024                 4096                 files
`;

test("locked memory suffices by its limit or by CAP_IPC_LOCK", () => {
  assert.equal(judgeLockedMemory(limits("unlimited"), false).verdict, "ok");
  assert.equal(judgeLockedMemory(limits("67108864"), false).verdict, "ok");
  assert.equal(judgeLockedMemory(limits("65536"), true).verdict, "ok");
  const short = judgeLockedMemory(limits("65536"), false);
  assert.equal(short.verdict, "warn");
  assert.match(short.value, /limit 65536 bytes/);
  assert.match(short.fix, /LimitMEMLOCK=infinity.*IPC_LOCK/);
});

async function withRoot(files: Readonly<Record<string, string>>, body: (root: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "ripstop-root-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    await body(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const NUMA = {
  "sys/class/net/eth0/device/numa_node": "1\n",
  "sys/devices/system/node/node1/cpulist": "8-15,24\n",
  "sys/devices/system/cpu/isolated": "8-9\n",
  "proc/meminfo": "MemTotal: 1 kB\nHugePages_Total:      12\n",
};

test("workers that are bound to CPUs far from the network device are named", async () => {
  await withRoot(NUMA, async (root) => {
    const near = await checkTuning("eth0", [8, 24], root);
    assert.equal(near.verdict, "ok");
    assert.match(near.value, /NUMA node 1, workers on CPU 8,24, isolated CPUs 8-9, 12 huge pages/);
    const far = await checkTuning("eth0", [2, 8], root);
    assert.equal(far.verdict, "warn");
    assert.match(far.meaning, /^CPU 2 is on another NUMA node/);
    assert.match(far.fix, /--dataplane-cpus out of 8-15,24/);
  });
});

test("a powersave governor is a hint", async () => {
  await withRoot({ "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n" }, async (root) => {
    assert.match((await checkTuning(null, [], root)).fix, /cpupower frequency-set -g performance/);
  });
});

test("the BPF file system and type information are told, and needed by nobody", async () => {
  await withRoot({ mounts: "bpf /sys/fs/bpf bpf rw 0 0\n", vmlinux: "" }, async (root) => {
    assert.match((await checkBpf(join(root, "mounts"), join(root, "vmlinux"))).value, /bpffs mounted .* present$/);
    const bare = await checkBpf(join(root, "none"), join(root, "none"));
    assert.deepEqual([bare.verdict, /not mounted .* absent/.test(bare.value)], ["ok", true]);
  });
});

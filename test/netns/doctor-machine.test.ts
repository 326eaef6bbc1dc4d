// What the doctor says of a machine, its store and its data plane, each fault brought about for real; the complaints about the overlay
// itself are in doctor.test.ts. What a lab cannot have (old kernels, NICs, NUMA) is judged from crafted input in test/unit/doctor/.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Finding } from "../../src/doctor/finding.js";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { examine } from "../support/doctor.js";
import { inNamespace, must, podOf, RIPSTOP, whereabouts } from "../support/node-commands.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

const BRIDGE_SYSCTL = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const XDP_PASS = `__attribute__((section("xdp"), used)) int somebodys(void *context) { return 2; }
__attribute__((section("license"), used)) char _license[] = "GPL";`;

test("the doctor names what is wrong with a machine, its store and its data plane", { skip: rootNeeded }, async (t) => {
  await withLab({ nodes: 2 }, async (plan) => {
    const [one, two] = plan.nodes as readonly [LabNode, LabNode];
    const folder = mkdtempSync(join(tmpdir(), "ripstop-doctor-"));
    const seen = (check: string, ...flags: string[]): Finding =>
      examine(one, "--no-probe", ...flags).find((finding) => finding.check === check) ?? assert.fail(`no ${check}`);
    const named = (check: string, verdict: string, value: RegExp, fix: RegExp, ...flags: string[]): void => {
      const finding = seen(check, ...flags);
      assert.equal(finding.verdict, verdict, JSON.stringify(finding));
      assert.match(finding.value, value);
      assert.match(finding.fix, fix);
    };
    /** The doctor with something in front: another PATH, another /dev. */
    const seenBehind = (wrapper: readonly string[], check: string): Finding => {
      const argv = [...wrapper, process.execPath, RIPSTOP, "doctor", "-o", "json", "--no-probe", ...whereabouts(one)];
      const { stdout, stderr } = inNamespace(one.namespace, ...argv);
      const findings = JSON.parse(stdout || assert.fail(stderr)) as readonly Finding[];
      return findings.find((finding) => finding.check === check) ?? assert.fail(`no ${check} in ${stdout}`);
    };
    try {
      await t.test("no TUN device, no tools, no addon", () => {
        const hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/net; exec "$@"', "sh"];
        const tun = seenBehind(hidden, "tun");
        assert.deepEqual([tun.verdict, tun.value], ["warn", "/dev/net/tun: ENOENT"]);
        assert.match(tun.fix, /modprobe tun/);
        assert.match(seenBehind(["env", "PATH=/nonexistent"], "tools").value, /ip -json .*cannot run ip .*install it/);
        const program = seenBehind(["env", `RIPSTOP_NATIVE_PATH=${folder}/absent.node`], "program");
        assert.equal(program.verdict, "fail");
        assert.match(program.fix, /npm run build:addon/);
      });

      await t.test("another network's list comes first, and plugins are missing", () => {
        const [lists, plugins] = [join(folder, "net.d"), join(folder, "bin")];
        for (const path of [lists, plugins]) mkdirSync(path);
        for (const name of ["05-other.conflist", "10-flannel.conflist"]) writeFileSync(join(lists, name), "{}");
        for (const name of ["bridge", "loopback"]) writeFileSync(join(plugins, name), "");
        const flags = [`--cni-conf-dir=${lists}`, `--cni-bin-dir=${plugins}`];
        named("cni", "fail", /05-other\.conflist comes before 10-flannel\.conflist/, /remove 05-other/, ...flags);
        named("cni_plugins", "warn", /lacks host-local, portmap, flannel/, /containernetworking-plugins/, ...flags);
      });

      await t.test("bridged packets pass no packet filter", () => {
        const here = existsSync(BRIDGE_SYSCTL);
        if (here) must(one.namespace, "sysctl -qw net.bridge.bridge-nf-call-iptables=0");
        if (here) named("br_netfilter", "warn", /bridge-nf-call-iptables=0/, /sysctl -w/);
        else named("br_netfilter", "warn", /br_netfilter is not loaded/, /modprobe br_netfilter/);
      });

      await t.test("both flavours of iptables have rules", (sub) => {
        const added = inNamespace(
          one.namespace,
          "iptables-legacy",
          "-A",
          "OUTPUT",
          "-d",
          "203.0.113.1",
          "-j",
          "ACCEPT",
        );
        if (added.status !== 0) return sub.skip(`this kernel has no legacy tables: ${added.stderr.trim()}`);
        named("iptables", "warn", /iptables-legacy and of iptables-nft/, /iptables-nft-restore/);
        must(one.namespace, "iptables-legacy -F OUTPUT");
      });

      await t.test("somebody's XDP program is on the external interface", () => {
        writeFileSync(join(folder, "pass.c"), XDP_PASS);
        execFileSync("clang", ["-O2", "-target", "bpf", "-c", "pass.c", "-o", "pass.o"], { cwd: folder });
        const attach = ["link", "set", "eth0", "xdpgeneric", "object", join(folder, "pass.o"), "section", "xdp"];
        // Not `ip -n`: it mounts a /sys of its own, without the BPF file system that it then wants.
        execFileSync("nsenter", [`--net=/run/netns/${one.namespace}`, "ip", ...attach]);
        named("uplink", "warn", /^eth0, .*, XDP program \d+ somebodys$/, /bpftool prog show id \d+/);
        must(one.namespace, "ip link set eth0 xdpgeneric off");
        assert.equal(seen("uplink").verdict, "ok");
      });

      await t.test("a pod sends under an address that is not its node's", async () => {
        must(one.pod, "ip address add 10.99.0.5/32 dev eth0");
        // Again, when a busy machine has left it to the kernel's path.
        await until("it is counted", async () => {
          inNamespace(one.pod, "ping", "-c", "3", "-i", "0.01", "-W", "1", "-I", "10.99.0.5", podOf(two));
          return ((await runningPlane(one))?.counters.encap.drops["inner_src"] ?? 0n) > 0n;
        });
        named("drops", "warn", /inner_src \d+/, /ripstop capture -i drop/);
      });

      await t.test("the configured MTU does not fit the external interface", async () => {
        const file = join(labFiles.store(plan.directory), "config");
        const before = readFileSync(file, "utf8");
        const config = JSON.parse(before) as { Backend: object };
        writeFileSync(file, JSON.stringify({ ...config, Backend: { ...config.Backend, MTU: 1600 } }));
        await until("the doctor sees it", () => seen("mtu").verdict === "fail", 60_000);
        named("mtu", "fail", /Backend\.MTU is 1600, but eth0 has 1500/, /set Backend\.MTU to 1500/);
        writeFileSync(file, before);
        await until("all is well", () => seen("mtu").verdict === "ok", 60_000);
      });

      await t.test("the store is away", async () => {
        const store = labFiles.store(plan.directory);
        renameSync(store, `${store}.away`);
        await until("the agent misses it", () => seen("store").verdict === "fail", 60_000);
        named("store", "fail", /^file, read \d+ s ago: /, /the agent connects by itself/);
        rmSync(store, { recursive: true, force: true });
        renameSync(`${store}.away`, store);
        await until("the agent has it again", () => seen("store").verdict === "ok", 60_000);
      });

      await t.test("the data plane hangs", async () => {
        const plane = () =>
          (
            JSON.parse(
              inNamespace(
                one.namespace,
                process.execPath,
                RIPSTOP,
                "status",
                "-o",
                "json",
                `--run-dir=${one.directory}/run`,
              ).stdout,
            ) as {
              dataplane: { pid: number | null };
            }
          ).dataplane.pid;
        const stopped = new Set<number>();
        // The agent ends a plane that hangs and starts another: whichever runs when the doctor looks.
        const named = () => {
          const pid = plane();
          if (pid !== null && spawnSync("kill", ["-STOP", `${pid}`]).status === 0) stopped.add(pid);
          const { verdict, value, fix } = seen("dataplane");
          return verdict === "warn" && /^(silent|absent): /.test(value) && /ripstop status says why/.test(fix);
        };
        await until("the doctor names it", named, 60_000);
        await until("another one runs", () => seen("dataplane").verdict === "ok" && !stopped.has(plane() ?? 0), 60_000);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

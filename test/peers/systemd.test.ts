// The unit under a real systemd, on a node of a lab whose flanneld it replaces as docs/operations.md says, in its words: readiness,
// hardening, restarts, the watchdog and the way back, under pings from pod to pod that must not notice.
//   p1 - n1 (systemd: flanneld.service, then ripstop.service) - switch (etcd) - n2 (Ripstop) - p2
// Alone: it judges loss.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import { awaitReachability } from "../../src/lab/reachability.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { labStore } from "../../src/lab/store.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { stopRipstop } from "../support/flanneld-node.js";
import { withLab } from "../support/lab.js";
import { nodeSubnets } from "../support/overlay-traffic.js";
import { peerProgram } from "../support/peer-program.js";
import { SystemdHost, systemdMissing } from "../support/systemd-host.js";
import { until } from "../support/until.js";

const flanneld = peerProgram("flanneld");
const skip = systemdMissing() || flanneld.missing;
const runner = new Runner();
/** Far above what a busy machine makes of it, far below what anybody would have to wait for. */
const GAP_MAX_MS = 3_000;

/** The commands of the section, in their order. */
function shown(heading: string): readonly string[] {
  const page = readFileSync(resolve(import.meta.dirname, "../../../docs/operations.md"), "utf8");
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const [, block = ""] = /^```\n([\s\S]*?)^```$/m.exec(section) ?? [];
  return block.split("\n").flatMap((line) => line.split(/ *#/)[0] || []);
}

describe("the unit", { skip }, () => {
  it("takes flanneld's place, lets the data plane outlive it, and gives the place back", async () => {
    await withLab({ store: "etcd" }, async (plan) => {
      const [one, two] = plan.nodes as readonly [LabNode, LabNode];
      const subnets = await nodeSubnets(plan);
      await stopRipstop(plan, one);
      const host = await SystemdHost.boot(one.namespace, { flanneld: flanneld.path });
      const pings = new PingRun({
        from: one.pod,
        address: podAddress(subnets.get(two) as NodeSubnet),
        count: 100_000,
        intervalMs: 20,
      });
      try {
        startFlanneld(host, plan);
        const subnet = host.must("grep SUBNET /run/flannel/subnet.env");
        await awaitReachability(runner, plan, subnets);

        host.write("/etc/default/ripstop", `FLANNELD_ETCD_ENDPOINTS=${endpoint(plan)}\nFLANNELD_IFACE=eth0\n`);
        const lines = shown("systemd");
        assert.ok(lines.length >= 4, lines.join("\n"));
        for (const line of lines) host.must(line);
        assert.equal(host.must("grep SUBNET /run/flannel/subnet.env"), subnet, "ready means: the subnet is known");
        assert.deepEqual(
          ["ripstop", "flanneld"].map((unit) => host.must(`systemctl is-active ${unit}`).trim()),
          ["active", "active"],
          "what is ordered after flanneld.service finds us",
        );

        const plane = await runningPlane(host);
        isHardened(host, plane);
        await survives(host, plane, "systemctl restart ripstop");
        await survives(host, plane, "systemctl kill -s USR2 ripstop");
        host.must("systemctl kill -s USR2 --kill-who=main ripstop");
        await isInTheJournal(host, /"mode":"debug","msg":"log level changed"/);
        await survivesTheWatchdog(host, plane);
        host.must("systemctl stop ripstop");
        assert.equal(host.sh(`test -d /proc/${plane}`).status, 0, "the data plane outlives its unit");
        await until("pods go on without an agent", answered(pings), 30_000);

        host.must("systemctl disable --now ripstop");
        startFlanneld(host, plan);
        assert.equal(host.must("grep SUBNET /run/flannel/subnet.env"), subnet);
        await until("pods go on with flanneld", answered(pings), 30_000);
        const { sent, received, gapMaxMs } = await pings.end();
        assert.ok(gapMaxMs < GAP_MAX_MS, `${gapMaxMs} ms without an answer; ${received} of ${sent} came`);
      } finally {
        pings.kill();
        await host.remove();
      }
    });
  });
});

function endpoint(plan: LabPlan): string {
  const flag = labStore(plan).agentArguments.find((one) => one.startsWith("--etcd-endpoints="));
  return flag?.slice(flag.indexOf("=") + 1) ?? assert.fail("the lab has no etcd");
}

/** As flannel's users have it. */
function startFlanneld(host: SystemdHost, plan: LabPlan): void {
  host.write(
    "/etc/systemd/system/flanneld.service",
    `[Unit]
Description=flanneld
[Service]
Type=notify
ExecStart=/usr/bin/flanneld --iface=eth0 --etcd-endpoints=${endpoint(plan)}
Restart=on-failure
[Install]
WantedBy=multi-user.target
`,
  );
  host.must("systemctl daemon-reload");
  host.must("systemctl enable --now flanneld");
}

/** Ten more answers than now. */
function answered(pings: PingRun): () => boolean {
  const before = pings.answers;
  return () => pings.answers >= before + 10;
}

interface Seen {
  readonly dataplane: {
    readonly state: string;
    readonly pid: number;
    readonly counters: { readonly encap: { readonly txPackets: number } } | null;
  };
}

const status = (host: SystemdHost): Seen | null => {
  const { stdout } = host.sh("ripstop status -o json");
  return stdout === "" ? null : (JSON.parse(stdout) as Seen);
};

/** Its pid, once it carries what the pods send. */
async function runningPlane(host: SystemdHost): Promise<number> {
  const carried = () => Number(status(host)?.dataplane.counters?.encap.txPackets ?? 0);
  await until("user space carries", () => carried() > 0, 60_000);
  const before = carried();
  await until("user space goes on carrying", () => carried() >= before + 10, 60_000);
  return status(host)?.dataplane.pid ?? assert.fail("no data plane");
}

function isHardened(host: SystemdHost, plane: number): void {
  for (const pid of [Number(host.property("ripstop", "MainPID")), plane]) {
    const facts = host.must(`cat /proc/${pid}/status`);
    assert.match(facts, /^NoNewPrivs:\t1$/m);
    assert.match(facts, /^Seccomp:\t2$/m);
    assert.doesNotMatch(facts, /^CapBnd:\t000001f/m);
  }
  // It gives up all of them once it is open, and allows itself fewer system calls than the unit does.
  assert.match(host.must(`cat /proc/${plane}/status`), /^CapEff:\t0000000000000000$/m);
  assert.doesNotMatch(host.must("cat /run/ripstop/dataplane.log"), /cannot/);
}

async function survives(host: SystemdHost, plane: number, command: string): Promise<void> {
  host.must(command);
  await until(
    `the agent has the same data plane after ${command}`,
    () => {
      const seen = status(host)?.dataplane;
      return seen?.state === "running" && seen.pid === plane;
    },
    60_000,
  );
}

/** What is said gets there a moment later. */
async function isInTheJournal(host: SystemdHost, line: RegExp): Promise<void> {
  const journal = () => host.must("journalctl -u ripstop -o cat --no-pager");
  await until(`the unit's journal says ${line}`, () => line.test(journal()), 60_000);
}

async function survivesTheWatchdog(host: SystemdHost, plane: number): Promise<void> {
  host.write("/run/systemd/system/ripstop.service.d/short.conf", "[Service]\nWatchdogSec=5\n");
  host.must("systemctl daemon-reload");
  await survives(host, plane, "systemctl restart ripstop");
  const pid = host.property("ripstop", "MainPID");
  host.must(`kill -STOP ${pid}`);
  await until(
    "systemd starts another agent",
    () =>
      ![pid, "0"].includes(host.property("ripstop", "MainPID")) && host.property("ripstop", "ActiveState") === "active",
    120_000,
  );
  await isInTheJournal(host, /Watchdog timeout/);
  await survives(host, plane, "rm -r /run/systemd/system/ripstop.service.d && systemctl daemon-reload");
}

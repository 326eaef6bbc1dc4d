// The recipe of docs/docker.md with a real Docker engine under a real systemd, on both nodes of a lab: an engine that had its own
// bridge gets the node's subnet by the page's lines, and containers of the two nodes talk.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { labStore } from "../../src/lab/store.js";
import { bootWithDocker, dockerMissing, importBusybox } from "../support/docker-host.js";
import { stopRipstop } from "../support/flanneld-node.js";
import { withLab } from "../support/lab.js";
import { must } from "../support/node-commands.js";
import { type SystemdHost, systemdMissing } from "../support/systemd-host.js";
import { until } from "../support/until.js";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../../docs/docker.md"), "utf8");
const DROP_IN = "/etc/systemd/system/docker.service.d/ripstop.conf";

describe("Docker with the node's subnet", { skip: systemdMissing() || dockerMissing }, () => {
  it("starts containers that reach those of another node under their own addresses", async () => {
    await withLab({ store: "etcd" }, async (plan) => {
      const hosts: SystemdHost[] = [];
      try {
        for (const node of plan.nodes) {
          await stopRipstop(plan, node);
          const host = await bootWithDocker(node.namespace);
          hosts.push(host);
          becomesDockerNode(host, plan, node);
        }
        const [one, two] = hosts as [SystemdHost, SystemdHost];
        const server = two.must("docker run -d busybox httpd -f -vv -h /etc").trim();
        const address = two.must(`docker inspect -f '{{.NetworkSettings.IPAddress}}' ${server}`).trim();
        const run = (command: string) => one.sh(`docker run --rm busybox ${command}`);
        // 1422 bytes and their headers are the MTU that the recipe gave to the containers.
        await until("containers reach each other", () => run(`ping -c 1 -W 2 -s 1422 ${address}`).status === 0, 60_000);
        // A container answers pings before its program serves, and its log is written beside.
        const page = () => run(`wget -qO- http://${address}/hostname`).stdout.trim();
        await until("the other container serves its page", () => page() === server.slice(0, 12), 60_000);
        const asker = new RegExp(`\\[(::ffff:)?${subnetOf(one)}\\.\\d+\\]`);
        const said = () => two.must(`docker logs ${server} 2>&1`);
        await until(`no masquerading between containers; ${asker}`, () => asker.test(said()), 60_000);
        assert.match(run("ip link show eth0").stdout, / mtu 1450 /);
      } finally {
        for (const host of hosts) await host.remove();
      }
    });
  });
});

const subnetOf = (host: SystemdHost): string =>
  /FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.1/.exec(host.must("cat /run/flannel/subnet.env"))?.[1] ?? assert.fail("no subnet");

/** From an engine with a bridge of its own choice. */
function becomesDockerNode(host: SystemdHost, plan: LabPlan, node: LabNode): void {
  must(node.namespace, "ip link delete cni0");
  host.must("systemctl enable --now docker");
  importBusybox(host);
  assert.match(host.must("ip -o -4 address show docker0"), / 172\.17\.0\.1/);

  const store = labStore(plan).agentArguments.find((flag) => flag.startsWith("--etcd-endpoints="));
  const endpoints = store?.slice(store.indexOf("=") + 1) ?? "";
  host.write(
    "/etc/default/ripstop",
    `FLANNELD_ETCD_ENDPOINTS=${endpoints}\nFLANNELD_IFACE=eth0\nFLANNELD_IP_MASQ=true\n`,
  );
  host.must("cp packaging/systemd/ripstop.service /etc/systemd/system/ && systemctl daemon-reload");
  host.must("systemctl enable --now ripstop");
  host.write(DROP_IN, /```ini\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? assert.fail("the page has no drop-in"));
  const lines = [
    "systemctl stop docker",
    "ip link delete docker0",
    "systemctl daemon-reload",
    "systemctl restart docker",
  ];
  for (const line of lines) {
    assert.ok(PAGE.includes(`\`${line}\``), `${line} is on the page`);
    host.must(line);
  }
  assert.match(host.must("ip -o -4 address show docker0"), new RegExp(` ${subnetOf(host)}\\.1/24 `));
}

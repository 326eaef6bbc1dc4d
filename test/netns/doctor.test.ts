// The complaints that flannel's users have for years (docs/troubleshooting.md), each brought about for real; the doctor must
// name it, say what to do, and find nothing once it is done.
//   p1 - n1 (agent) --+
//   p2 - n2 (agent) --+-- switch
//   p3 - n3 (kernel) -+
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parsePrefix4 } from "../../src/addr/prefix.js";
import type { Finding } from "../../src/doctor/finding.js";
import { agentArguments } from "../../src/lab/agent-node.js";
import { labStore } from "../../src/lab/store.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { assertNamed, assertWell, examine, failures } from "../support/doctor.js";
import { exitOf, inNamespace, killAgent, must, RIPSTOP, ripstop, whereabouts } from "../support/node-commands.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

/** An encapsulated packet of n3 whose outer UDP checksum nobody has filled in. */
const WRONG_CHECKSUM = `
import socket, struct
vxlan = bytes([8, 0, 0, 0, 0, 0, 1, 0]) + bytes(12) + bytes([8, 0, 0x45, 0, 0, 60]) + bytes(56)
udp = struct.pack("!HHHH", 4444, 8472, 8 + len(vxlan), 0x1234) + vxlan
ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + bytes([192, 168, 77, 3, 192, 168, 77, 1])
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(ip + udp, ("192.168.77.1", 0))
`;

const TROUBLESHOOTING = new URL("../../../docs/troubleshooting.md", import.meta.url);

/** The table's head, and checks that speak only where there is something to say. */
const SOMETIMES = new Set(["check", "tools", "cni_plugins"]);

test("the doctor names what is wrong on a node, and is content when it is mended", { skip: rootNeeded }, async (t) => {
  await withLab({ nodes: 3, kernelPeers: [3] }, async (plan) => {
    const [one, two, kernel] = plan.nodes as readonly [LabNode, LabNode, LabNode];
    assertWell(one);

    await t.test("subnet.env is missing", () => {
      const path = labFiles.subnetFile(one);
      const text = readFileSync(path);
      rmSync(path);
      assertNamed(one, "subnet_env", /subnet\.env is missing/, /restart the agent/, "--no-probe");
      writeFileSync(path, text);
      assertWell(one, "--no-probe");
    });

    await t.test("the network between carries less than the interface says", async () => {
      must(plan.switchNamespace, `ip link set ${two.switchPort} mtu 1400`);
      // Four bytes more, the room for a VLAN tag, for what a busy machine left to the kernel's path.
      assertNamed(
        one,
        "reach",
        /packets up to 135[0-4] bytes arrive, the overlay's MTU is 1450/,
        /Backend\.MTU .* to 140[0-4],/,
      );
      const file = join(labFiles.store(plan.directory), "config");
      const before = readFileSync(file, "utf8");
      writeFileSync(file, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","MTU":1400}}');
      await until("the remedy helps", () => !failures(one).has("reach"), 60_000);
      must(plan.switchNamespace, `ip link set ${two.switchPort} mtu 1500`);
      writeFileSync(file, before);
      await until("all is as before", () => failures(one).size === 0, 60_000);
    });

    await t.test("a firewall on the peer blocks the port", () => {
      must(kernel.namespace, "iptables -A INPUT -p udp --dport 8472 -j DROP");
      assertNamed(
        one,
        "reach",
        /peer 192\.168\.77\.3 answers pings, 10\.244\.\d+\.0 behind it does not/,
        /allow UDP port 8472/,
      );
      must(kernel.namespace, "iptables -F INPUT");
    });

    await t.test("a firewall on this node blocks the port", () => {
      must(one.namespace, "iptables -A INPUT -p udp --dport 8472 -j DROP");
      assertNamed(
        one,
        "udp_port",
        /INPUT: -p udp .*--dport 8472 -j DROP/,
        /-I INPUT -p udp --dport 8472 -j ACCEPT/,
        "--no-probe",
      );
      must(one.namespace, "iptables -F INPUT");
      must(one.namespace, "iptables -P INPUT DROP");
      assertNamed(one, "udp_port", /policy DROP, and no rule accepts UDP 8472/, /--dport 8472 -j ACCEPT/, "--no-probe");
      must(one.namespace, "iptables -P INPUT ACCEPT");
      must(one.namespace, "nft add table inet site");
      must(one.namespace, "nft add chain inet site in { type filter hook input priority 0 ; }");
      must(one.namespace, "nft add rule inet site in udp dport 8472 drop");
      assertNamed(
        one,
        "udp_port",
        /nftables inet site in: udp dport 8472 drop/,
        /accept "udp dport 8472" in that chain/,
        "--no-probe",
      );
      must(one.namespace, "nft delete table inet site");
      assertWell(one, "--no-probe");
    });

    await t.test("FORWARD drops", () => {
      must(one.namespace, "iptables -I FORWARD -j DROP");
      assertNamed(one, "forward", /iptables FORWARD: -j DROP/, /--iptables-forward-rules/, "--no-probe");
      must(one.namespace, "iptables -D FORWARD -j DROP");
      assertWell(one, "--no-probe");
    });

    await t.test("the host does not forward, and cni0 is of an earlier subnet", () => {
      must(one.namespace, "sysctl -qw net.ipv4.ip_forward=0");
      assertNamed(one, "ip_forward", /net\.ipv4\.ip_forward=0/, /sysctl -w net\.ipv4\.ip_forward=1/, "--no-probe");
      must(one.namespace, "sysctl -qw net.ipv4.ip_forward=1");
      must(one.namespace, "ip address add 10.99.0.1/24 dev cni0");
      assertNamed(
        one,
        "cni0",
        /cni0 has 10\.99\.0\.1, outside this node's 10\.244\./,
        /ip link delete cni0/,
        "--no-probe",
      );
      must(one.namespace, "ip address delete 10.99.0.1/24 dev cni0");
      assertWell(one, "--no-probe");
    });

    await t.test("devices of another pod network, a strict rp_filter and a foreign route are hints", () => {
      const hint = (check: string) => {
        const found = examine(one, "--no-probe").find((finding) => finding.check === check);
        assert.equal(found?.verdict, "warn", JSON.stringify(found));
        return found;
      };
      must(one.namespace, "ip link add vxlan.calico type vxlan id 4096 dstport 4789");
      must(one.namespace, "ip link set vxlan.calico up");
      must(one.namespace, "sysctl -qw net.ipv4.conf.eth0.rp_filter=1");
      must(one.namespace, "ip route add 10.244.250.0/24 dev eth0");
      assert.match(hint("leftovers").value, /^vxlan\.calico$/);
      assert.match(hint("leftovers").fix, /uninstall that network/);
      assert.match(hint("rp_filter").fix, /net\.ipv4\.conf\.eth0\.rp_filter=2/);
      assert.match(hint("network").value, /overlaps the route 10\.244\.250\.0\/24 dev eth0/);
      must(one.namespace, "ip route delete 10.244.250.0/24 dev eth0");
      must(one.namespace, "sysctl -qw net.ipv4.conf.eth0.rp_filter=0");
      must(one.namespace, "ip link delete vxlan.calico");
    });

    await t.test("what is well is shown with what was seen, and the docs list every check", () => {
      const seen = new Map(examine(one, "--no-probe").map(({ check, value }) => [check, value]));
      const [, table = ""] = readFileSync(TROUBLESHOOTING, "utf8").split("## The doctor's checks");
      const listed = [...table.matchAll(/^\| ([a-z0-9_, ]+) \|/gm)].flatMap(([, names = ""]) => names.split(", "));
      assert.deepEqual(
        [...seen.keys()].filter((check) => !listed.includes(check)),
        [],
      );
      assert.deepEqual(
        listed.filter((check) => !seen.has(check) && !SOMETIMES.has(check)),
        [],
      );
      assert.match(seen.get("uplink") ?? "", /^eth0, driver veth \(native XDP\), MTU 1500$/);
      assert.match(seen.get("queues") ?? "", /^eth0: \d+ rx queues?, .*used by a tap port with 1 worker$/);
      assert.match(seen.get("datastore") ?? "", /, a directory of this machine$/);
      assert.match(seen.get("lease") ?? "", /^10\.244\.\d+\.0\/24, runs out in 2[34]\.\d h unless renewed$/);
      assert.match(seen.get("memlock") ?? "", /^limit /);
      assert.match(
        seen.get("program") ?? "",
        /glibc 2\.\d+, addon .*ripstop\.node \(sha256 [0-9a-f]{12}\.\.\.\) loads$/,
      );
    });

    await t.test("a machine announces our public address", async () => {
      const copy = { subnet: parsePrefix4("10.244.200.0/24"), ipv6Subnet: null } as const;
      const attrs = {
        publicIp: parseIpv4(one.underlay),
        publicIpv6: null,
        backendType: "vxlan",
        backendData: { VNI: 1, VtepMAC: "02:00:00:00:00:99" },
      };
      await labStore(plan).hold({ ...copy, attrs } as never);
      await until("the agent has seen it", () =>
        /cannot be used/.test(ripstop(one, "status", "--run-dir", `${one.directory}/run`).stdout),
      );
      assertNamed(one, "public_ip", /announces our own public address 192\.168\.77\.1/, /--public-ip/, "--no-probe");
      await labStore(plan).release({ ...copy, attrs } as never);
      await until(
        "the agent has seen it go",
        () => ripstop(one, "status", "--run-dir", `${one.directory}/run`).status === 0,
      );
      assertWell(one, "--no-probe");
    });

    await t.test("a peer's checksums are wrong", async () => {
      // A veth calls every checksum right; told not to, it leaves the look to whoever receives, as a NIC would.
      for (const port of [kernel.switchPort, one.switchPort]) must(plan.switchNamespace, `ethtool -K ${port} rx off`);
      must(one.namespace, "ethtool -K eth0 rx off");
      // Again, when a busy machine has left it to the kernel's path, which drops it too and counts nothing.
      await until("it was dropped", async () => {
        assert.equal(inNamespace(kernel.namespace, "python3", "-c", WRONG_CHECKSUM).status, 0);
        return ((await runningPlane(one))?.counters.decap.drops["udp_csum"] ?? 0n) > 0n;
      });
      assertNamed(
        one,
        "checksums",
        /dropped as udp_csum/,
        /ethtool -K UPLINK tx-checksum-ip-generic off/,
        "--no-probe",
      );
    });

    await t.test("the agent is dead, and its work is undone behind its back", async () => {
      await killAgent(plan, one);
      const [peer] = must(one.namespace, "ip -4 route show dev flannel.1").split(" ");
      must(one.namespace, `ip route delete ${peer}`);
      const announced = must(one.namespace, "cat /sys/class/net/flannel.1/address").trim();
      must(one.namespace, "ip link set flannel.1 address 02:11:22:33:44:55");
      const found = failures(one, "--no-probe");
      assert.match(found.get("agent")?.fix ?? "", /systemctl start ripstop/);
      assert.match(
        found.get("peers")?.value ?? "",
        new RegExp(`the route to ${peer?.replaceAll(".", "\\.")} .* is missing`),
      );
      assert.match(found.get("peers")?.fix ?? "", /start it/);
      assert.match(
        found.get("device")?.value ?? "",
        new RegExp(`MAC 02:11:22:33:44:55, this node's lease announces ${announced}`),
      );
      assert.match(found.get("device")?.fix ?? "", new RegExp(`ip link set flannel\\.1 address ${announced}`));
    });

    await t.test("too little locked memory, and capabilities that are missing", () => {
      const argv = [
        "prlimit",
        "--memlock=65536:65536",
        "setpriv",
        "--bounding-set=-ipc_lock,-bpf,-sys_admin",
        "--inh-caps=-all",
      ];
      const doctor = [process.execPath, RIPSTOP, "doctor", "-o", "json", "--no-probe", ...whereabouts(one)];
      const { stdout } = inNamespace(one.namespace, ...argv, ...doctor);
      const found = new Map((JSON.parse(stdout) as readonly Finding[]).map((finding) => [finding.check, finding]));
      assert.match(found.get("memlock")?.value ?? "", /^limit 65536 bytes$/);
      assert.match(found.get("memlock")?.fix ?? "", /LimitMEMLOCK=infinity/);
      assert.equal(found.get("memlock")?.verdict, "warn");
      assert.match(found.get("capabilities")?.value ?? "", /lacks CAP_BPF/);
    });

    await t.test("an interface was chosen that does not lead to the others", async () => {
      must(one.namespace, "ip link add nat0 type veth peer name nat1");
      must(one.namespace, "ip address add 10.0.2.15/24 dev nat0");
      must(one.namespace, "ip link set nat0 up");
      must(one.namespace, "ip link set nat1 up");
      await withWrongInterface(plan, one, () => {
        assertNamed(
          one,
          "interface",
          /nat0 \(10\.0\.2\.15\), but peer 192\.168\.77\.\d is reached over eth0/,
          /--iface=eth0/,
          "--no-probe",
        );
      });
    });
  });
});

async function withWrongInterface(plan: LabPlan, node: LabNode, body: () => void): Promise<void> {
  const argv = [...agentArguments(plan, node), "--iface=nat0"];
  const agent = spawn("ip", ["netns", "exec", node.namespace, ...argv], { stdio: "ignore" });
  try {
    const status = () => ripstop(node, "status", "--run-dir", `${node.directory}/run`).stdout;
    await until("the agent runs on nat0", () => /on nat0/.test(status()), 60_000);
    body();
  } finally {
    agent.kill("SIGTERM");
    await exitOf(agent);
  }
}

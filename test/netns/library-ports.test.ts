// The library on ports that take frames from devices: underlays over AF_PACKET and AF_XDP against the kernel's VXLAN device, a
// bridged overlay on a device that was there before, and a protocol of one's own over AF_XDP.
//
//   [pod] p1 --- p0 [ours: library] u0 192.0.2.1 ----- veth ----- 192.0.2.2 u0 [other: kernel VXLAN]
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { withLibraryProcess } from "../support/library-process.js";
import { pingAll } from "../support/ping-all.js";
import { rootNeeded } from "../support/lab.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";
import { type TwoHosts, withTwoHosts } from "../support/two-hosts.js";
import { until } from "../support/until.js";

async function kernelVxlan({ other }: TwoHosts, address: string): Promise<string> {
  const vx = ["type", "vxlan", "id", "43", "dstport", "4789", "dev", "u0", "local", "192.0.2.2"];
  await other.ip("link", "add", "vx", ...vx);
  await other.exec("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "192.0.2.1");
  await other.ip("address", "add", address, "dev", "vx");
  await other.ip("link", "set", "vx", "up");
  return (await other.exec("cat", "/sys/class/net/vx/address")).trim();
}

/** Datagrams that the host answered with "port unreachable". */
const unclaimed = async ({ exec }: TestNamespace): Promise<string> =>
  /UdpNoPorts\s+(\d+)/.exec(await exec("nstat", "-asz", "UdpNoPorts"))?.[1] ?? "";

describe("an underlay", () => {
  for (const kind of ["packet", "xdp"] as const) {
    it(`of kind ${kind} bridges with a kernel VXLAN peer, finds the next hop, and is not answered for by the host`, {
      skip: rootNeeded,
    }, async () => {
      await withTwoHosts(async (hosts) => {
        const { ours, other } = hosts;
        await kernelVxlan(hosts, "10.43.0.2/24");
        // As the NIC at the far end of a cable would: AF_XDP takes frames before a veth finishes them.
        await other.exec("ethtool", "-K", "u0", "tx", kind === "xdp" ? "off" : "on");
        const plan = {
          underlay: { address: "192.0.2.1", kind, device: "u0" },
          overlay: { vni: 43, mode: "bridged", device: "br0x" },
          peers: [{ underlay: "192.0.2.2" }],
          addresses: ["10.43.0.1/24"],
          routes: [],
        } as const;
        await withLibraryProcess(ours.name, plan, async (library) => {
          const before = await unclaimed(ours);
          await pingAll(ours, "10.43.0.2");
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.43.0.2", mebibytes: 16 });
          await runTcpCheck({ from: other.name, to: ours.name, address: "10.43.0.1", mebibytes: 16 });
          const { encapTx, decapTx, underlayKind, unresolved } = await library.state();
          assert.ok(encapTx > 5_000 && decapTx > 5_000, `${encapTx} out, ${decapTx} in`);
          assert.deepEqual([underlayKind, unresolved], [kind, []]);
          assert.equal(await unclaimed(ours), before, "the host found a socket for every datagram");
        });
      });
    });
  }

  it("of kind packet routes by prefix, over IPv6 too, and names a peer that cannot be reached", {
    skip: rootNeeded,
  }, async () => {
    await withTwoHosts(async (hosts) => {
      const { ours, other } = hosts;
      const plain = (number: number, far: number) => ({
        underlay: { address: `2001:db8::${number}`, kind: "packet" as const, device: "u0" },
        overlay: { vni: 42, device: "ov0", prefixes: [`10.42.${number}.0/24`] },
        peers: [
          { underlay: `2001:db8::${far}`, prefixes: [`10.42.${far}.0/24`] },
          { underlay: "2001:db8::99", prefixes: ["10.42.99.0/24"] },
        ],
        addresses: [`10.42.${number}.1/24`],
        routes: [`10.42.${far}.0/24`, "10.42.99.0/24"],
      });
      await withLibraryProcess(ours.name, plain(1, 2), (one) =>
        withLibraryProcess(other.name, plain(2, 1), async (two) => {
          // IPv6 finds no neighbor before its own address on the link is settled.
          for (const side of [one, two])
            await until("the next hop", async () => (await side.state()).unresolved.length === 1);
          await pingAll(ours, "10.42.2.1");
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.42.2.1", mebibytes: 16 });
          assert.deepEqual((await one.state()).unresolved, ["2001:db8::99"]);
          await assert.rejects(
            ours.exec("ping", "-c", "1", "-w", "30", "10.42.99.1"),
            ({ stdout }: { stdout: string }) => /Unreachable/.test(stdout),
          );
        }),
      );
    });
  });
});

describe("a bridged overlay on a device that was there before", () => {
  it("carries what is behind it, super-packets of a veth too", { skip: rootNeeded }, async () => {
    await withTwoHosts((hosts) =>
      withNamespace(async (pod) => {
        const { ours, other } = hosts;
        await kernelVxlan(hosts, "10.43.0.2/24");
        await ours.ip("link", "add", "p0", "mtu", "1450", "type", "veth", "peer", "name", "p1", "netns", pod.name);
        await ours.ip("link", "set", "p0", "up");
        await pod.ip("address", "add", "10.43.0.1/24", "dev", "p1");
        await pod.ip("link", "set", "p1", "mtu", "1450", "up");
        const plan = {
          underlay: { address: "192.0.2.1" },
          overlay: { vni: 43, mode: "bridged", port: "packet", device: "p0" },
          peers: [{ underlay: "192.0.2.2" }],
          addresses: [],
          routes: [],
        } as const;
        await withLibraryProcess(ours.name, plan, async (library) => {
          await pingAll(pod, "10.43.0.2");
          await runTcpCheck({ from: pod.name, to: other.name, address: "10.43.0.2", mebibytes: 16 });
          await runTcpCheck({ from: other.name, to: pod.name, address: "10.43.0.1", mebibytes: 16 });
          const { overlayKind, encapTx } = await library.state();
          assert.equal(overlayKind, "packet");
          assert.ok(encapTx > 10_000, `${encapTx} frames: each was cut to the wire's size`);
        });
        assert.match(await ours.ip("link", "show", "p0"), /p0@/, "the device is not ours to remove");
      }),
    );
  });
});

describe("a packet port of kind xdp", () => {
  it("takes one UDP port from a device, before the host, and sends", { skip: rootNeeded }, async () => {
    await withTwoHosts(async ({ ours, other }) => {
      const module = new URL("../../src/index.js", import.meta.url).href;
      const script = `
        import { checksum, PacketPort } from ${JSON.stringify(module)};
        const port = PacketPort.open({ kind: "xdp", device: "u0", address: "192.0.2.1", udpPort: 5000 });
        console.log("ready " + port.inspect().kind);
        for await (const batch of port) {
          for (const packet of batch) {
            const frame = packet.view();
            for (const [a, b, bytes] of [[0, 6, 6], [26, 30, 4], [34, 36, 2]]) {
              const first = frame.slice(a, a + bytes);
              frame.copyWithin(a, b, b + bytes);
              frame.set(first, b);
            }
            packet.writeUint16(40, 0);
          }
          batch.send();
        }`;
      const arguments_ = ["netns", "exec", ours.name, process.execPath, "--input-type=module", "-e", script];
      const child = spawn("ip", arguments_, { stdio: ["ignore", "pipe", "inherit"] });
      const ended = once(child, "close");
      try {
        const [first] = (await once(child.stdout, "data")) as [Buffer];
        assert.equal(String(first), "ready xdp\n");
        const talk = `exec 3<>/dev/udp/192.0.2.1/5000
          for attempt in {1..100}; do echo hello >&3; timeout 0.5 head -c 6 <&3 && exit; done`;
        assert.equal(await other.exec("bash", "-c", talk), "hello\n");
      } finally {
        child.kill("SIGKILL");
        await ended;
      }
    });
  });
});

describe("a packet port of kind packet", () => {
  it("hands over one by one what came at once, and a wait does not outlast what it still holds", {
    skip: rootNeeded,
  }, async () => {
    await withNamespace(async ({ name, ip, exec }) => {
      await exec("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
      await ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
      for (const device of ["v0", "v1"]) await ip("link", "set", device, "up");
      const module = new URL("../../src/index.js", import.meta.url).href;
      // Nothing else is ever sent there, so nothing else ends a wait.
      const script = `
        import { PacketPort } from ${JSON.stringify(module)};
        const [port, far] = ["v0", "v1"].map((device) => PacketPort.open({ kind: "packet", device }));
        far.sendCopies([1, 2, 3].map((number) => new Uint8Array(60).fill(number)));
        let seen = "";
        while (seen.length < 3) {
          await port.wait(AbortSignal.timeout(30_000));
          if (port.receive(1) === 1) seen += port.arena[port.offset(0)];
        }
        console.log(seen);
        process.exit();`;
      const run = ["netns", "exec", name, process.execPath, "--input-type=module", "-e", script];
      assert.equal(execFileSync("ip", run, { encoding: "utf8", timeout: 60_000 }), "123\n");
    });
  });
});

// Starts that cannot succeed: each ends with one line that names the remedy and a non-zero exit, and leaves nothing behind.
//   eth0 192.168.90.1 (veth, other end in the same namespace)
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { nativeCandidates } from "../../src/dataplane/native.js";
import { type AgentHost, type Finished, NETWORK_CONFIG, withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";

interface Refusal {
  readonly description: string;
  readonly flags?: readonly string[];
  readonly networkConfig?: string;
  readonly wrapper?: readonly string[];
  readonly says: RegExp;
  readonly exitCode?: number;
}

const withoutCapability = (...names: readonly string[]): readonly string[] => [
  "setpriv",
  `--bounding-set=${names.map((name) => `-${name}`).join(",")}`,
  `--inh-caps=${names.map((name) => `-${name}`).join(",")}`,
];

const refusals: readonly Refusal[] = [
  {
    description: "an unknown flag",
    flags: ["--ifaces=eth0"],
    says: /^ripstop agent: unknown flag -ifaces; did you mean -iface\?$/,
    exitCode: 2,
  },
  {
    description: "a bad value of a flag",
    flags: ["--dataplane=fast"],
    says: /^ripstop agent: bad value "fast" for flag -dataplane: it takes auto, kernel, userspace$/,
    exitCode: 2,
  },
  {
    description: "an interface that does not exist",
    flags: ["--iface=nope0"],
    says: /--iface=nope0: .* name one with --iface \(EXTERNAL_INTERFACE\)$/,
  },
  {
    description: "a network configuration that is no JSON",
    networkConfig: '{"Network":',
    says: /\(NETWORK_CONFIG_INVALID\)$/,
  },
  {
    description: "a network configuration with a bad network",
    networkConfig: '{"Network":"10.244.0.0/99","Backend":{"Type":"vxlan"}}',
    says: /Network.*10\.244\.0\.0\/99.*\(NETWORK_CONFIG_INVALID\)$/,
  },
  {
    description: "a backend that does not exist",
    networkConfig: '{"Network":"10.244.0.0/16","Backend":{"Type":"carrier-pigeon"}}',
    says: /unknown backend type: carrier-pigeon .*choose one of .*vxlan.*\(BACKEND_UNKNOWN\)$/,
  },
  {
    description: "an ordinary user",
    wrapper: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    says: /lacks CAP_NET_ADMIN; run it as root, or grant it .*\(CAPABILITY_MISSING\)$/,
  },
  {
    description: "root without CAP_NET_ADMIN",
    wrapper: withoutCapability("net_admin"),
    says: /lacks CAP_NET_ADMIN; .*\(CAPABILITY_MISSING\)$/,
  },
  {
    description: "user space without CAP_BPF and CAP_NET_RAW",
    flags: ["--dataplane=userspace"],
    wrapper: withoutCapability("bpf", "sys_admin", "net_raw"),
    says: /lacks CAP_NET_RAW, CAP_BPF; run it as root, or grant them .*\(CAPABILITY_MISSING\)$/,
  },
  {
    description: "a run directory that cannot be made",
    flags: ["--run-dir=/proc/ripstop"],
    says: /cannot use the run directory \/proc\/ripstop .*--run-dir \(RUN_DIR_UNUSABLE\)$/,
  },
];

for (const { description, flags = [], networkConfig = NETWORK_CONFIG, wrapper = [], says, exitCode = 1 } of refusals) {
  test(`${description} is refused`, { skip: rootNeeded }, async () => {
    await withAgentHost(async (host) => {
      const before = host.dump();
      assertRefused(host.runAgent(flags, wrapper), says, exitCode);
      await assertNothingLeft(host, before);
    }, networkConfig);
  });
}

test("no secret reaches the log, whatever the verbosity", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const secret = "correct-horse-battery";
    const flags = ["--store=etcd", "--etcd-endpoints=http://127.0.0.1:9", "--etcd-username=node", "-v=10"];
    for (const [flag, environment] of [
      [[`--etcd-password=${secret}`], {}],
      [[], { FLANNELD_ETCD_PASSWORD: secret }],
    ] as const) {
      const said = await host.hearAgent([...flags, ...flag], /waiting for the network configuration/, environment);
      assert.ok(!said.includes(secret), said);
      assert.match(said, /"username":"node"/);
    }
  });
});

test("a UDP port that somebody else has is refused, and device and lease are given back", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    const holder = await holdUdpPort(host, 8472);
    try {
      const before = host.dump();
      assertRefused(
        host.runAgent([]),
        /^ripstop agent: cannot bring flannel\.1 up: UDP port 8472 is in use .* Backend\.Port .*\(PORT_IN_USE\)$/,
        1,
      );
      await assertNothingLeft(host, before);
    } finally {
      holder.kill("SIGKILL");
    }
  });
});

test("a health port that somebody else has is refused", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const script = 'require("net").createServer().listen(9808, () => console.log("ready"))';
    const holder = spawn("ip", ["netns", "exec", host.namespace, process.execPath, "-e", script]);
    await once(holder.stdout, "data");
    try {
      const before = host.dump();
      assertRefused(
        host.runAgent(["--healthz-port=9808"]),
        /9808 \(EADDRINUSE\).*--healthz-port \(HEALTH_LISTEN_FAILED\)$/,
        1,
      );
      await assertNothingLeft(host, before);
    } finally {
      holder.kill("SIGKILL");
    }
  });
});

/** The real addon, but the kernel lacks what the data plane needs. */
const LACKING = `
const real = require(process.env.RIPSTOP_REAL_ADDON);
module.exports = { ...real, open: () => ({ code: "TAP_OPEN_FAILED", errno: 19, op: "open(/dev/net/tun)", detail: "load the tun module" }) };
`;

test("a missing kernel feature is refused with --dataplane=userspace", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const before = host.dump();
    const finished = host.runAgent(["--dataplane=userspace"], [], lackingAddon(host));
    assertRefused(
      finished,
      /cannot be had: open\(\/dev\/net\/tun\) failed: no such device \(ENODEV\): load the tun module; --dataplane=auto/,
      1,
    );
    await assertNothingLeft(host, before);
  });
});

test("with --dataplane=auto the kernel path carries, and status says why", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=auto"], lackingAddon(host));
    await host.untilCondition("degraded", /no user-space data plane: .*load the tun module/);
    assert.match(host.ip("-d link show flannel.1"), /state UNKNOWN|UP/);
    assert.ok(existsSync(host.subnetFile));
  });
});

function lackingAddon(host: AgentHost): NodeJS.ProcessEnv {
  const real = nativeCandidates({ path: process.env["RIPSTOP_NATIVE_PATH"] }).find((path) => existsSync(path));
  const path = join(host.folder, "lacking.cjs");
  writeFileSync(path, LACKING.replace("process.env.RIPSTOP_REAL_ADDON", JSON.stringify(resolve(real ?? "no addon"))));
  return { RIPSTOP_NATIVE_PATH: path };
}

/** The last line is the reason; before it there is only the log. */
function assertRefused(finished: Finished, says: RegExp, exitCode: number): void {
  const lines = finished.stderr.trimEnd().split("\n");
  const spoken = lines.filter((line) => !line.startsWith("{"));
  assert.equal(spoken.length, 1, finished.stderr);
  assert.match(spoken[0] ?? "", says);
  assert.equal(finished.status, exitCode);
}

async function assertNothingLeft(host: AgentHost, before: string): Promise<void> {
  assert.equal(host.dump(), before);
  assert.deepEqual(await host.leases(), []);
  assert.equal(existsSync(host.subnetFile), false);
  assert.equal(host.dataplane, null);
  const left = existsSync(host.runDir) ? readdirSync(host.runDir).filter((name) => name.includes(".sock")) : [];
  assert.deepEqual(left, []);
}

async function holdUdpPort(host: AgentHost, port: number) {
  const script = `require("dgram").createSocket("udp4").bind(${port}, "0.0.0.0", () => console.log("ready"))`;
  const holder = spawn("ip", ["netns", "exec", host.namespace, process.execPath, "-e", script]);
  await once(holder.stdout, "data");
  return holder;
}

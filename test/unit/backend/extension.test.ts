// The extension backend with real programs, no shell and no root: commands leave their arguments, variables and input in a file.
import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { BackendContext } from "../../../src/backend/backend.js";
import { commandLine } from "../../../src/backend/extension/command-line.js";
import { makeExtensionBackend } from "../../../src/backend/extension/extension-backend.js";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import { parseNetworkConfig } from "../../../src/config/network-config.js";
import type { Host } from "../../../src/host/host.js";
import { lease, leaseMap } from "../../support/lease-builder.js";

test("a command is split at white space, and a value with spaces stays one argument", () => {
  const variables = { SUBNET: "10.1.2.0/24", TEXT: "two words", EMPTY: "" };
  assert.deepEqual(commandLine("ip  route add $SUBNET via ${TEXT}", variables), [
    "ip",
    "route",
    "add",
    "10.1.2.0/24",
    "via",
    "two words",
  ]);
  assert.deepEqual(commandLine("echo 'a b'; rm $NONE|x", variables), ["echo", "'a", "b';", "rm", "|x"]);
  assert.deepEqual(commandLine("$toString ${__proto__}x", variables), ["", "x"]);
});

async function withRecorder(
  body: (record: string, read: () => Promise<string[]>, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ripstop-ext-"));
  const script = join(folder, "record");
  const log = join(folder, "log");
  await writeFile(
    script,
    `#!/bin/sh\necho "$* subnet=$SUBNET v6=$IPV6SUBNET ip=$PUBLIC_IP net=$NETWORK in=$(cat)" >> ${log}\ncase "$1" in fail*) echo why; exit 3;; pre) echo " data ";; esac\n`,
  );
  await chmod(script, 0o755);
  const read = async (): Promise<string[]> => (await readFile(log, "utf8")).trimEnd().split("\n");
  try {
    await body(script, read, folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** No folder can be made behind a file: without one of its own nothing can be remembered, not even by root. */
function backendOf(commands: object, stateDir = "/dev/null/nothing") {
  const network = parseNetworkConfig(
    JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "extension", ...commands } }),
  );
  const publicIp = parseIpv4("203.0.113.1");
  const external = {
    index: 2,
    name: "u0",
    mtu: 1500,
    ipv4: parseIpv4("192.0.2.1"),
    ipv6: null,
    publicIp,
    publicIpv6: null,
  };
  const host: Pick<Host, "links"> = { links: async () => [] };
  const log = { info: () => undefined, warn: () => undefined };
  return makeExtensionBackend({
    network,
    external,
    host: host as Host,
    stateDir,
    log,
  } satisfies BackendContext);
}

const peer = (third: number, data: unknown) =>
  lease(`10.244.${third}.0-24`, `192.0.2.${third}`, BigInt(third), {
    attrs: { publicIp: parseIpv4(`192.0.2.${third}`), publicIpv6: null, backendType: "extension", backendData: data },
  });

test("commands see their variables and input; a peer that changes is removed as it was and added as it is", () =>
  withRecorder(async (record, read) => {
    const backend = backendOf({
      PreStartupCommand: `${record} pre`,
      PostStartupCommand: `${record} post`,
      SubnetAddCommand: `${record} add $SUBNET`,
      SubnetRemoveCommand: `${record} remove $PUBLIC_IP`,
    });
    const attrs = await backend.leaseAttrs(null);
    assert.deepEqual(attrs, {
      publicIp: parseIpv4("192.0.2.1"),
      publicIpv6: null,
      backendType: "extension",
      backendData: "data",
    });
    const own = lease("10.244.1.0-24", "192.0.2.1", 1n, { attrs });
    const overlay = await backend.attach(own);
    const follow = async (...others: ReturnType<typeof peer>[]) =>
      overlay.reconcile((await overlay.peers(leaseMap(own, ...others), 1n)).table);
    assert.equal((await follow(peer(2, "hello"))).changes.length, 1);
    assert.deepEqual(await follow(peer(2, "hello")), { changes: [], failures: [] });
    await follow(peer(2, { a: 1 }));
    await follow();
    assert.deepEqual(await read(), [
      "pre subnet= v6= ip= net= in=",
      "post subnet=10.244.1.0/24 v6= ip=192.0.2.1 net=10.244.0.0/16 in=",
      "add 10.244.2.0/24 subnet=10.244.2.0/24 v6= ip=192.0.2.2 net= in=hello",
      "remove 192.0.2.2 subnet=10.244.2.0/24 v6= ip=192.0.2.2 net= in=hello",
      'add 10.244.2.0/24 subnet=10.244.2.0/24 v6= ip=192.0.2.2 net= in={"a":1}',
      'remove 192.0.2.2 subnet=10.244.2.0/24 v6= ip=192.0.2.2 net= in={"a":1}',
    ]);
  }));

test("a peer that left while no agent ran is removed by the next one, and the others are told again", () =>
  withRecorder(async (record, read, folder) => {
    const commands = { SubnetAddCommand: `${record} add`, SubnetRemoveCommand: `${record} remove` };
    const start = async (...others: ReturnType<typeof peer>[]) => {
      const backend = backendOf(commands, join(folder, "state"));
      const own = lease("10.244.1.0-24", "192.0.2.1", 1n, { attrs: await backend.leaseAttrs(null) });
      const overlay = await backend.attach(own);
      assert.deepEqual(
        (await overlay.reconcile((await overlay.peers(leaseMap(own, ...others), 1n)).table)).failures,
        [],
      );
    };
    await start(peer(2, "two"), peer(3, "three"));
    await start(peer(3, "three"));
    const lines = (await read()).map((line) => line.replace(/ v6=.*in=/, " in="));
    assert.deepEqual(lines, [
      "add subnet=10.244.2.0/24 in=two",
      "add subnet=10.244.3.0/24 in=three",
      "remove subnet=10.244.2.0/24 in=two",
      "add subnet=10.244.3.0/24 in=three",
    ]);
    // After a reboot nothing is left of what the commands made.
    const path = join(folder, "state", "extension-peers.json");
    const { told } = JSON.parse(await readFile(path, "utf8")) as { readonly told: object };
    assert.deepEqual(Object.keys(told), ["10.244.3.0-24"]);
    await writeFile(path, JSON.stringify({ bootId: "another", told }));
    await start();
    assert.equal((await read()).length, 4);
  }));

test("a failed add is one failure and is tried again; a failed start-up command ends the start with its words", () =>
  withRecorder(async (record, read) => {
    const backend = backendOf({ SubnetAddCommand: `${record} fail` });
    const own = lease("10.244.1.0-24", "192.0.2.1", 1n, { attrs: await backend.leaseAttrs(null) });
    const overlay = await backend.attach(own);
    const { table } = await overlay.peers(leaseMap(own, peer(2, null)), 1n);
    for (let pass = 0; pass < 2; pass++) {
      const { failures } = await overlay.reconcile(table);
      assert.match(failures[0]?.message ?? "", /SubnetAddCommand .* exit code 3: why/);
    }
    assert.equal((await read()).length, 2);
    const failing = backendOf({ PreStartupCommand: `${record} fail` });
    await assert.rejects(failing.leaseAttrs(null), { code: "EXTENSION_FAILED", message: /without a shell/ });
    const missing = backendOf({ PreStartupCommand: "/nonexistent/program" });
    await assert.rejects(missing.leaseAttrs(null), { code: "COMMAND_MISSING" });
    assert.throws(() => backendOf({ PreStartupCommand: 7 }), { code: "NETWORK_CONFIG_INVALID" });
  }));

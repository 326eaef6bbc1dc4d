// WireGuard's keys, peers and configuration text. The device itself needs a kernel module; test/netns has what can be had.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import { parseIpv6 } from "../../../src/addr/ipv6.js";
import { parsePrefix } from "../../../src/addr/prefix.js";
import { parseDump, planDevice } from "../../../src/backend/wireguard/device-plan.js";
import { KeyOwners } from "../../../src/backend/wireguard/key-owners.js";
import { readOrMakeKey, type WireguardKey } from "../../../src/backend/wireguard/wireguard-key.js";
import { chooseEndpoint, readWireguardData } from "../../../src/backend/wireguard/wireguard-peers.js";
import { formatUnderlay, parseUnderlay } from "../../../src/host/text.js";

/** Both halves of a key as Node's crypto takes them, from WireGuard's base64. */
function imported({ privateKey, publicKey }: WireguardKey) {
  const jwk = (text: string): string => Buffer.from(text, "base64").toString("base64url");
  const common = { kty: "OKP", crv: "X25519", x: jwk(publicKey) };
  return {
    publicKey: createPublicKey({ key: common, format: "jwk" }),
    privateKey: createPrivateKey({ key: { ...common, d: jwk(privateKey) }, format: "jwk" }),
  };
}

describe("the key", () => {
  test("is made once, kept, and readable by its owner alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ripstop-wg-"));
    try {
      const path = join(folder, "run", "wgkey");
      const made = await readOrMakeKey(path);
      assert.deepEqual(await readOrMakeKey(path), made);
      assert.equal((await stat(path)).mode & 0o777, 0o400);
      assert.equal(await readFile(path, "utf8"), `${made.privateKey}\n`);
      assert.notEqual(made.publicKey, made.privateKey);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("two keys agree on a secret, so each public half belongs to its private one; junk in the file is refused", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ripstop-wg-"));
    try {
      const path = join(folder, "wgkey");
      for (const junk of ["", "hello", Buffer.alloc(31).toString("base64")]) {
        await writeFile(path, junk);
        await assert.rejects(readOrMakeKey(path), { code: "WIREGUARD_KEY_INVALID" }, junk);
      }
      const one = imported(await readOrMakeKey(join(folder, "one")));
      const two = imported(await readOrMakeKey(join(folder, "two")));
      const secret = diffieHellman({ privateKey: one.privateKey, publicKey: two.publicKey });
      assert.deepEqual(diffieHellman({ privateKey: two.privateKey, publicKey: one.publicKey }), secret);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

test("a copied key is its owner's for as long as that one has it, and the oldest's for who knows neither", () => {
  const claim = (leaseKey: string, publicKey: string, age: number) => ({
    leaseKey,
    publicKey,
    createRevision: BigInt(age),
  });
  const self = { leaseKey: "self", publicKey: "mine" };
  const owners = new KeyOwners(self);
  owners.settle([claim("victim", "k", 9)]);
  assert.equal(owners.settle([claim("liar", "k", 1), claim("victim", "k", 9)]).get("k"), "victim");
  assert.equal(owners.settle([claim("liar", "k", 1), claim("victim", "l", 9)]).get("k"), "liar");
  const both = [claim("b", "k", 2), claim("a", "k", 2), claim("c", "k", 1)];
  assert.equal(new KeyOwners(self).settle(both).get("k"), "c");
  assert.equal(new KeyOwners(self).settle(both.slice(0, 2)).get("k"), "a");
  assert.equal(new KeyOwners(self).settle([claim("liar", "mine", 1)]).get("mine"), "self", "our own key is ours");
});

describe("the endpoint of a peer", () => {
  const node = (v4: string | null, v6: string | null) => ({
    publicIp: v4 === null ? null : parseIpv4(v4),
    publicIpv6: v6 === null ? null : parseIpv6(v6),
  });
  const own = node("198.51.100.1", "2001:db8::1");
  const rows = [
    ["ipv4", own, node("198.51.100.2", "2001:db8::2"), "198.51.100.2"],
    ["ipv6", own, node("198.51.100.2", "2001:db8::2"), "2001:db8::2"],
    ["auto", own, node("198.51.100.2", "2001:db8::2"), "198.51.100.2"],
    ["auto", own, node("10.0.0.2", "2001:db8::2"), "2001:db8::2"],
    ["auto", own, node("10.0.0.2", "fd00::2"), "10.0.0.2"],
    ["auto", node("10.0.0.1", "fd00::1"), node("10.0.0.2", "2001:db8::2"), "10.0.0.2"],
    ["auto", node(null, "2001:db8::1"), node("198.51.100.2", "2001:db8::2"), "2001:db8::2"],
    ["auto", own, node(null, "2001:db8::2"), "2001:db8::2"],
    ["ipv4", own, node(null, "2001:db8::2"), null],
  ] as const;
  for (const [mode, from, to, expected] of rows) {
    test(`mode ${mode} chooses ${expected ?? "none"}`, () => {
      const chosen = chooseEndpoint(mode, from, to);
      assert.equal(chosen === null ? null : formatUnderlay(chosen), expected);
    });
  }
});

test("BackendData is read leniently, and what is wrong is named", () => {
  const publicKey = Buffer.alloc(32, 7).toString("base64");
  assert.deepEqual(readWireguardData({ PublicKey: publicKey, Port: 51820, more: 1 }), { publicKey, port: 51820 });
  assert.deepEqual(readWireguardData({ publickey: publicKey }), { publicKey, port: null });
  assert.match(JSON.stringify(readWireguardData({ PublicKey: "short" })), /PublicKey is missing or wrong/);
  assert.match(JSON.stringify(readWireguardData({ PublicKey: publicKey, Port: 70000 })), /Port is missing or wrong/);
  assert.match(JSON.stringify(readWireguardData(null)), /missing or no object/);
});

describe("what is written to a device", () => {
  const key = (byte: number) => Buffer.alloc(32, byte).toString("base64");
  const own = { privateKey: key(1), publicKey: key(2) };
  const prefixes = ["10.244.2.0/24", "fd00:2::/64"].flatMap((text) => parsePrefix(text) ?? []);
  const endpoint = parseUnderlay("2001:db8::2");
  assert.ok(endpoint);
  const peer = { leaseKey: "k", publicKey: key(7), endpoint, port: 51821, allowed: prefixes };
  const wanted = { key: own, listenPort: 51820, options: { psk: key(9), keepaliveSeconds: 25 }, peers: [peer] };
  const device = [own.privateKey, own.publicKey, "51820", "off"];
  const row = [peer.publicKey, key(9), "[2001:db8::2]:51821", "fd00:2::/64,10.244.2.0/24", "0", "0", "0", "25"];
  const dump = (...rows: readonly (readonly string[])[]) => {
    const found = parseDump(rows.map((words) => `${words.join("\t")}\n`).join(""));
    assert.ok(found !== null);
    return found;
  };
  const replaced = (words: readonly string[], at: number, word: string) => words.with(at, word);
  const section = `[Peer]
PublicKey = ${key(7)}
Endpoint = [2001:db8::2]:51821
AllowedIPs = 10.244.2.0/24, fd00:2::/64
PresharedKey = ${key(9)}
PersistentKeepalive = 25`;
  const whole = `[Interface]
PrivateKey = ${own.privateKey}
ListenPort = 51820

${section}`;

  test("is nothing when it is as wanted, and everything when nothing is known of it", () => {
    assert.deepEqual(planDevice(wanted, dump(device, row)), { kind: "nothing" });
    assert.deepEqual(planDevice(wanted, null), { kind: "sync", text: whole });
    assert.equal(parseDump("interface: flannel-wg\n"), null);
    assert.equal(parseDump(""), null);
  });

  test("is everything when key, port or mark of the device differ", () => {
    for (const [at, word] of [
      [1, key(3)],
      [1, "(none)"],
      [2, "0"],
      [3, "0x1"],
    ] as const) {
      const plan = planDevice(wanted, dump(replaced(device, at, word), row));
      assert.deepEqual(plan, { kind: "sync", text: whole }, word);
    }
  });

  test("are the peers alone that are new or differ in anything, and the keys of those that left", () => {
    for (const [at, word] of [
      [1, "(none)"],
      [2, "(none)"],
      [2, "[2001:db8::2]:51820"],
      [3, "10.244.2.0/24"],
      [7, "off"],
    ] as const) {
      const plan = planDevice(wanted, dump(device, replaced(row, at, word)));
      assert.deepEqual(plan, { kind: "peers", add: section, remove: [] }, word);
    }
    const other = replaced(row, 0, key(8));
    assert.deepEqual(planDevice(wanted, dump(device, other)), { kind: "peers", add: section, remove: [key(8)] });
    assert.deepEqual(planDevice(wanted, dump(device, row, other)), { kind: "peers", add: "", remove: [key(8)] });
  });

  test("is everything when a preshared key is to go: adding cannot take it away", () => {
    const without = { ...wanted, options: { psk: "", keepaliveSeconds: 0 } };
    const bare = ["(none)", "off"] as const;
    assert.equal(planDevice(without, dump(device, row)).kind, "sync");
    const settled = dump(device, replaced(replaced(row, 1, bare[0]), 7, bare[1]));
    assert.deepEqual(planDevice(without, settled), { kind: "nothing" });
  });
});

// The docs tell the truth about the tree: files they name exist, generated pages are fresh, every error code and every
// flag that the sources know is described.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { files, read, root } from "./tree.js";

const pages = files(/\.md$/);
const OUR_PATH = /^(native|src|test|bench|docs|scripts|bin|deploy|examples|\.ci)\/[\w./-]+$/;

/** Headings of a page as the anchors that links use. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    (title ?? "")
      .toLowerCase()
      .replace(/[`.,:;()'"/?!+*<>=]/g, "")
      .replaceAll(" ", "-"),
  );
}

describe("documentation", () => {
  it("links only to files and headings that exist", () => {
    const broken: string[] = [];
    for (const { path, text } of pages) {
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (target === undefined || /^[a-z]+:/.test(target)) continue;
        const [file = "", anchor] = target.split("#");
        const full = file === "" ? path : normalize(join(dirname(path), file));
        const found = existsSync(join(root, full));
        if (!found || (anchor !== undefined && full.endsWith(".md") && !anchors(read(full)).includes(anchor))) {
          broken.push(`${path}: ${target}`);
        }
      }
    }
    assert.deepEqual(broken, []);
  });

  it("names only files that exist, in pages and in comments", () => {
    const missing: string[] = [];
    for (const { path, text } of pages) {
      for (const [, quoted] of text.matchAll(/`([^`\n]+)`/g)) {
        const name = (quoted ?? "").replace(/:\d+$/, "").replace(/\/$/, "");
        if (OUR_PATH.test(name) && !existsSync(join(root, name))) missing.push(`${path}: ${name}`);
      }
    }
    // A word in capitals is a placeholder: native/bpf/NAME.bpf.c.
    const inComments =
      /\b(?<!\/)((?:native|src|test|docs|scripts|bench)\/[\w./-]+\.(?:ts|cc|c|h|def|md|mjs|sh|json))\b/g;
    for (const { path, lines } of files(/^(src|native|test|bench|scripts)\/.*\.(ts|cc|c|h|def|mjs|sh)$/)) {
      if (path.startsWith("test/tidy/")) continue;
      for (const line of lines.filter((one) => /^\s*(\/\/|\*|\/\*|#)/.test(one))) {
        for (const [, name] of line.matchAll(inComments)) {
          if (name && !/\b[A-Z]{3,}\b/.test(name) && !existsSync(join(root, name))) missing.push(`${path}: ${name}`);
        }
      }
    }
    assert.deepEqual(missing, []);
  });

  it("has fresh generated pages", () => {
    execFileSync(process.execPath, ["scripts/docs.mjs", "--check"], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  });

  it("describes every error code, and no code that is gone", () => {
    const codes = new Set<string>();
    const literals = new Set<string>();
    for (const { text } of files(/^(src|native)\/.*\.(ts|cc|h)$/)) {
      for (const [, code] of text.matchAll(/\b\w*Error\s*[({]\s*"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/g)) {
        codes.add(code as string);
      }
      for (const [, literal] of text.matchAll(/"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/g)) literals.add(literal as string);
    }
    const described = [...read("docs/errors.md").matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(([, code]) => code as string);
    const page = new Set(described);
    assert.deepEqual([...codes].filter((code) => !page.has(code)).sort(), [], "not described in docs/errors.md");
    assert.deepEqual(
      described.filter((code, index) => !literals.has(code) || described.indexOf(code) !== index),
      [],
      "in docs/errors.md, but in no source, or twice",
    );
  });

  it("numbers its decisions once each and gives each its parts", () => {
    const decisions = pages.filter(({ path }) => path.startsWith("docs/decisions/"));
    const numbers = decisions.map(({ path }) => /\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1] ?? path);
    assert.deepEqual(numbers, [...new Set(numbers)]);
    for (const { path, text } of decisions)
      assert.match(text, /^# .+\n[\s\S]*\bCost\b/, `${path}: title, context, choice, cost`);
  });

  it("says of every key, annotation and file of flannel what becomes of it", () => {
    const text = read("docs/compatibility.md");
    const names =
      `Network IPv6Network EnableIPv4 EnableIPv6 EnableNFTables SubnetLen SubnetMin SubnetMax IPv6SubnetLen IPv6SubnetMin
      IPv6SubnetMax VNI Port MTU GBP Learning DirectRouting MacPrefix Name ListenPort ListenPortV6 PSK PersistentKeepaliveInterval
      Mode UDPEncap ESPProposal PreStartupCommand PostStartupCommand SubnetAddCommand SubnetRemoveCommand ShutdownCommand
      AccessKeyID AccessKeySecret vxlan host-gw udp ipip wireguard extension alloc ipsec tencent-vpc aws-vpc gce ali-vpc
      kube-subnet-manager backend-type backend-data backend-v6-data public-ip public-ipv6 public-ip-overwrite
      public-ipv6-overwrite node-public-ip node-public-ipv6 FLANNEL_NETWORK FLANNEL_SUBNET FLANNEL_IPV6_NETWORK
      FLANNEL_IPV6_SUBNET FLANNEL_MTU FLANNEL_IPMASQ NODE_NAME POD_NAME POD_NAMESPACE EVENT_QUEUE_DEPTH
      CONT_WHEN_CACHE_NOT_READY WIREGUARD_KEY_FILE /run/flannel/subnet.env /etc/kube-flannel/net-conf.json
      /etc/kube-flannel/cni-conf.json /etc/cni/net.d/10-flannel.conflist /opt/cni/bin/flannel /run/flannel/wgkey
      mk-docker-opts.sh`.split(/\s+/);
    assert.deepEqual(
      names.filter((name) => !text.includes(`\`${name}\``)),
      [],
    );
  });
});

// The package as a stranger gets it: `npm pack`, installed into an empty project with no compiler in sight, used from ESM, CommonJS
// and TypeScript, and the README's program run between two namespaces.
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFile, execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { pingAll } from "../support/ping-all.js";
import { rootNeeded } from "../support/lab.js";
import { withTwoHosts } from "../support/two-hosts.js";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../../..");
const scratch = mkdtempSync(join(tmpdir(), "ripstop-pack-"));
const project = join(scratch, "project");
const bin = join(scratch, "bin");
const environment = { ...process.env, PATH: bin };
const COMPILERS = ["cc", "gcc", "g++", "clang", "make", "python3", "node-gyp", "cmake"];

/** Where a program is, by the test's own PATH. */
function which(program: string): string {
  const found = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);
  if (found === undefined) throw new Error(`${program} is not in the PATH`);
  return found;
}

/** Production packages of the repository, for machines whose registry cannot be reached. */
function copyDependencies(): void {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(packages)) {
    if (path === "" || dev === true || path.lastIndexOf("node_modules/") > 0) continue;
    if (existsSync(join(root, path))) cpSync(join(root, path), join(project, path), { recursive: true });
  }
}

function install(tarball: string): void {
  const npm = (args: readonly string[]) =>
    execFileSync(join(bin, "npm"), [...args, "--no-audit", "--no-fund"], {
      cwd: project,
      env: environment,
      stdio: "pipe",
    });
  try {
    // A registry that keeps silent or is busy is one that cannot be reached.
    npm(["install", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=30000", tarball]);
  } catch (error) {
    const text = String((error as { stderr?: unknown }).stderr);
    if (
      !/ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ENOTCACHED|ECONNRESET|SOCKET_TIMEOUT|network|\bE(403|429|5\d\d)\b/.test(
        text,
      )
    )
      throw error;
    copyDependencies();
    const folder = join(project, "node_modules/ripstop");
    mkdirSync(folder, { recursive: true });
    execFileSync("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1"]);
  }
}

/** Runs a program of the project with nothing but node in the PATH. */
async function node(file: string, text: string): Promise<string> {
  writeFileSync(join(project, file), text);
  const { stdout, stderr } = await run(join(bin, "node"), [file], { cwd: project, env: environment, timeout: 90_000 });
  assert.equal(stderr, "", `${file} warns`);
  return stdout;
}

function firstOutput(child: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (text) => (said += String(text)));
    child.stdout.once("data", () => resolve());
    child.once("close", () => reject(new Error(`the program ended: ${said}`)));
  });
}

describe("the package", () => {
  let tarball = "";

  before(() => {
    mkdirSync(bin);
    mkdirSync(project);
    for (const program of ["node", "npm", "sh"]) symlinkSync(which(program), join(bin, program));
    writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true }\n');
    const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", scratch], {
      cwd: root,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [{ filename = "" } = {}] = JSON.parse(packed.toString().slice(packed.toString().indexOf("["))) as [
      { filename?: string }?,
    ];
    tarball = join(scratch, filename);
    install(tarball);
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it("holds the addon, both forms and the sources, no tests, and leaves nothing behind in the working copy", () => {
    const names = execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).trim().split("\n");
    for (const wanted of [
      `prebuilds/${process.platform}-${process.arch}/ripstop.node`,
      "dist/src/index.js",
      "dist/src/index.d.ts",
      "cjs/index.cjs",
      "native/sources.json",
      "binding.gyp",
      "README.md",
      "LICENSE",
    ]) {
      assert.ok(names.includes(`package/${wanted}`), wanted);
    }
    assert.deepEqual(
      names.filter((name) => /^package\/(test|dist\/test|bench|build|node_modules)\//.test(name)),
      [],
    );
    assert.equal(existsSync(join(root, "prebuilds")), false);
    assert.ok(readFileSync(tarball).length < 4_000_000, "below 4 MB");
  });

  it("was installed without a compiler and without an install script", () => {
    for (const name of COMPILERS) assert.equal(readdirSync(bin).includes(name), false);
    const { scripts } = JSON.parse(readFileSync(join(project, "node_modules/ripstop/package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    assert.deepEqual(
      Object.keys(scripts).filter((name) => /^(pre|post)?install$/.test(name)),
      [],
    );
    assert.equal(existsSync(join(project, "node_modules/ripstop/build")), false);
  });

  it("loads its addon on glibc 2.28 and newer, needing libc only", () => {
    const addon = join(
      project,
      "node_modules/ripstop/prebuilds",
      `${process.platform}-${process.arch}`,
      "ripstop.node",
    );
    const symbols = execFileSync("objdump", ["-T", addon], { encoding: "utf8" });
    const versions = [...symbols.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
    if (process.arch === "x64") assert.ok(Math.max(...versions) <= 28, `GLIBC_2.${Math.max(...versions)}`);
    const needed = [...execFileSync("readelf", ["-d", addon], { encoding: "utf8" }).matchAll(/NEEDED.*\[(.*)\]/g)];
    for (const [, library = ""] of needed) assert.match(library, /^(libc|libpthread|ld-linux-[a-z0-9-]+)\.so/);
  });

  const program = (load: string) => `${load}
    (async () => {
      const lan = new MemoryLan();
      const open = (own, peer) => {
        const overlay = Overlay.open({ underlay: lan.join("192.0.2." + own), vni: 1, port: "memory", prefixes: ["10.0." + own + ".0/24"] });
        overlay.apply([{ underlay: "192.0.2." + peer, prefixes: ["10.0." + peer + ".0/24"] }]);
        return overlay;
      };
      const [one, two] = [open(1, 2), open(2, 1)];
      const payload = udpPacket({ source: "10.0.1.1", destination: "10.0.2.1", payload: 30 });
      one.port.sendCopies([ethernetFrame({ type: 0x0800, payload })]);
      for await (const frame of two.port.packets()) { console.log(frame.length, isSupported().supported); break; }
      const maps = require("node:fs").readFileSync("/proc/self/maps", "utf8");
      console.log(/prebuilds.linux-\\w+.ripstop\\.node/.test(maps));
      await lan.close();
    })();`;

  it("carries packets from an ES module", async () => {
    const load = `import { createRequire } from "node:module";
      import { isSupported, Overlay } from "ripstop";
      import { ethernetFrame, MemoryLan, udpPacket } from "ripstop/testing";
      const require = createRequire(import.meta.url);`;
    assert.equal(await node("use.mjs", program(load)), "72 true\ntrue\n");
  });

  it("carries packets from CommonJS, with the very same objects", async () => {
    const load = `const { isSupported, Overlay } = require("ripstop");
      const { ethernetFrame, MemoryLan, udpPacket } = require("ripstop/testing");`;
    assert.equal(await node("use.cjs", program(load)), "72 true\ntrue\n");
    const same = `const here = require("ripstop");
      import("ripstop").then((there) => console.log(here.Overlay === there.Overlay, here.RipstopError === there.RipstopError));`;
    assert.equal(await node("same.cjs", same), "true true\n");
  });

  it("touches nothing when it is imported: no addon, no handle, no listener", async () => {
    const text = `const before = process.eventNames().length;
      await import("ripstop");
      await import("ripstop/testing");
      const maps = (await import("node:fs")).readFileSync("/proc/self/maps", "utf8");
      console.log(maps.includes("ripstop.node"), process.eventNames().length - before, process.getActiveResourcesInfo().length);`;
    assert.match(await node("import.mjs", text), /^false 0 [01]\n$/);
  });

  it("says what to do when the addon cannot be loaded", async () => {
    const text = `process.env.RIPSTOP_NATIVE_PATH = "/nowhere.node";
      const { isSupported, parsePrefix, PacketPort } = await import("ripstop");
      console.log(parsePrefix("10.0.0.0/8").length, isSupported().supported);
      try { PacketPort.pair(); } catch (error) { console.log(error.code, /build/.test(error.message)); }`;
    assert.equal(await node("missing.mjs", text), "8 false\nNATIVE_LOAD_FAILED true\n");
  });

  it("has strict types for both forms", async () => {
    const body = `
      const overlay: Overlay = Overlay.open({ underlay: { address: "192.0.2.1" }, vni: 1 });
      overlay.apply([{ underlay: "192.0.2.2", prefixes: ["10.0.0.0/24"] }]);
      const drops: Readonly<Record<string, bigint>> = overlay.counters().encap.drops;
      const lan: MemoryLan = new MemoryLan();
      // @ts-expect-error -- a VNI is a number
      Overlay.open({ underlay: { address: "192.0.2.1" }, vni: "1" });
      // @ts-expect-error -- no such option
      Overlay.open({ underlay: { address: "192.0.2.1" }, vni: 1, colour: "red" });
      export { drops, lan };`;
    const imports = `import { Overlay } from "ripstop"; import { MemoryLan } from "ripstop/testing";`;
    writeFileSync(join(project, "types.mts"), imports + body);
    writeFileSync(join(project, "types.cts"), imports + body);
    const options = {
      module: "nodenext",
      target: "es2022",
      lib: ["es2023", "esnext.disposable"],
      strict: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
      skipLibCheck: false,
    };
    writeFileSync(
      join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["types.mts", "types.cts"] }),
    );
    const { stdout } = await run(process.execPath, [
      join(root, "node_modules/typescript/bin/tsc"),
      "-p",
      project,
    ]).catch((error: unknown) => error as { stdout: string });
    assert.equal(stdout, "");
  });

  it("runs the README's two-node program, under 40 lines, between two hosts", { skip: rootNeeded }, async () => {
    const [, text = ""] =
      /```js\n([\s\S]*?)```/.exec(readFileSync(join(project, "node_modules/ripstop/README.md"), "utf8")) ?? [];
    assert.ok(text.includes('from "ripstop"'), "the README has a program");
    assert.ok(text.trim().split("\n").length < 40);
    writeFileSync(join(project, "overlay.mjs"), text);
    await withTwoHosts(async ({ ours, other }) => {
      const start = (namespace: string, ...args: string[]) =>
        spawn("ip", ["netns", "exec", namespace, join(bin, "node"), "overlay.mjs", ...args], {
          cwd: project,
          stdio: "pipe",
        });
      const children = [
        start(ours.name, "192.0.2.1", "1", "192.0.2.2", "2"),
        start(other.name, "192.0.2.2", "2", "192.0.2.1", "1"),
      ];
      try {
        await Promise.all(children.map(firstOutput));
        await pingAll(ours, "10.42.2.1", { count: 10 });
      } finally {
        for (const child of children) child.kill("SIGTERM");
        await Promise.all(children.map((child) => new Promise((done) => child.once("close", done))));
      }
    });
  });
});

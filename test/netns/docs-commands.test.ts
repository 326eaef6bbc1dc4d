// Every command line that the docs and the help show is run, on a node of a lab as the docs have it, or is on the list of those
// that are run elsewhere, with the reason.
// First: it runs all that the docs show, one after the other.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { commands } from "../../src/cli/commands.js";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { type Shown, shownInDocs } from "../support/docs-lines.js";
import { exitOf, RIPSTOP, whereabouts } from "../support/node-commands.js";
import { rootNeeded, withLab } from "../support/lab.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const scripts = Object.keys(
  (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }).scripts,
);

/** Not run here, and why. */
const ELSEWHERE: ReadonlyArray<readonly [pattern: RegExp, reason: string]> = [
  [/^ripstop (agent|dataplane)\b/, "runs on every node of every lab"],
  [/^ripstop lab (up|exec|status|down)\b/, "test/netns/lab.test.ts"],
  [/^ripstop (lab demo|bench)\b/, "minutes long; test/netns/demo.test.ts and the bench tests"],
  [/^\.ci\/run$/, "runs this"],
  [/^(kubectl|helm) /, "test/peers/docs-kubernetes.test.ts runs each against a real API server"],
  [/^(systemctl|(cp|mv) \S*\.service) /, "test/peers/systemd.test.ts runs each under a real systemd"],
  [/^docker build /, "scripts/build-image.mjs carries out what it would, test/peers/image.test.ts starts the result"],
  [/^git clone /, "below"],
];

/** A package of the sources has no history to clone. */
const historyNeeded = existsSync(join(root, ".git")) ? false : "needs the repository";

test("the line that clones works, and what is typed next is there", { skip: historyNeeded }, () => {
  const lines = shownInDocs().filter(({ line }) => line.startsWith("git clone "));
  assert.ok(lines.length > 0);
  // Whose repository it is does not matter to git here: this one is cloned from where it lies.
  const trust = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };
  const env = { ...process.env, ...trust };
  for (const { where, line } of lines) {
    const folder = mkdtempSync(join(tmpdir(), "ripstop-clone-"));
    try {
      const typed = line.replace("<this repository>", `"${root}"`);
      assert.notEqual(typed, line, `${where}: ${line} names no repository that could be cloned here`);
      const script = `${typed} && node -p "require('./package.json').scripts.demo" && bash -n scripts/demo.sh && git status --porcelain`;
      const { status, stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8", cwd: folder, env });
      assert.equal(status, 0, `${where}: ${line}: ${stderr}`);
      assert.equal(stdout, "bash scripts/demo.sh\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});

function shownInHelp(): Shown[] {
  return commands
    .filter(({ hidden, name }) => hidden !== true && name !== "agent")
    .flatMap(({ name }) => {
      const help = spawnSync(process.execPath, [RIPSTOP, name, "--help"], { encoding: "utf8" }).stdout;
      return [...(help.split("Examples:\n")[1] ?? "").matchAll(/^ {2}(ripstop .*)$/gm)].map(([, line = ""]) => ({
        where: `ripstop ${name} --help`,
        line,
      }));
    });
}

/** `npm run X -- ...`: X is one of package.json's. */
function isScript(line: string): boolean {
  const [, name] = /^npm (?:run )?(?:--silent )?([\w:]+)/.exec(line) ?? [];
  return name !== undefined && (scripts.includes(name) || name === "install" || name === "ci");
}

function isFile(line: string): boolean {
  const [, path] = /^(?:cp|bash|node|scripts\/\S+) ?(\S*)/.exec(line) ?? [];
  return path !== undefined && path !== "" && existsSync(join(root, path));
}

test("every command line of the docs and of the help works", { skip: rootNeeded }, async (t) => {
  await withLab({ dataplane: "userspace", agentFlags: ["--healthz-port=8081"] }, async ({ nodes }) => {
    const [one, other] = nodes as readonly [LabNode, LabNode];
    const folder = mkdtempSync(join(tmpdir(), "ripstop-docs-"));
    // The node's places are not the defaults that the docs rely on; there are packets to see; and what has no end gets one.
    const places = whereabouts(one);
    const [runDir = "", stateDir = ""] = places;
    const wrapper = `#!/bin/sh
case $1 in
  status | peers | top | capture | connectivity) set -- "$@" ${runDir} ;;
  routes | ping) set -- "$@" ${runDir} ${stateDir} ;;
  doctor | support-bundle) set -- "$@" ${places.join(" ")} ;;
  cleanup) set -- "$@" --run-dir=${folder}/none ;; # It refuses where an agent runs.
esac
exec timeout -s INT "$SECONDS_TO_RUN" ${process.execPath} ${RIPSTOP} "$@"
`;
    writeFileSync(join(folder, "ripstop"), wrapper, { mode: 0o755 });
    const subnet =
      /FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.1/.exec(readFileSync(labFiles.subnetFile(other), "utf8"))?.[1] ?? "";
    const traffic = spawn("ip", ["netns", "exec", one.pod, "ping", "-q", "-i", "0.02", `${subnet}.2`]);
    try {
      const shown = [...shownInDocs(), ...shownInHelp()];
      assert.ok(
        shown.filter(({ line }) => line.startsWith("ripstop ")).length > 40,
        `only ${shown.length} lines were found`,
      );
      let ran = 0;
      for (const { where, line } of new Map(shown.map((one) => [one.line, one])).values()) {
        if (ELSEWHERE.some(([pattern]) => pattern.test(line))) continue;
        if (!line.startsWith("ripstop ")) {
          assert.ok(isScript(line) || isFile(line), `${where}: ${line}`);
          continue;
        }
        ran++;
        // Where a script would go is this machine's own business.
        const command = line.replace(/ > \/\S+/, " > /dev/null");
        const argv = ["netns", "exec", one.namespace, "sh", "-c", command];
        // What reads the other end of a pipe needs that it has begun, which takes a busy machine a while.
        const limit = { SECONDS_TO_RUN: command.includes("|") ? "10" : "4" };
        const env = { ...process.env, ...limit, PATH: `${folder}:${process.env["PATH"]}` };
        const { status, stderr } = spawnSync("ip", argv, { encoding: "utf8", cwd: folder, env });
        assert.ok(status === 0 || status === 124, `${where}: ${line}: exit code ${status}: ${stderr}`);
        assert.doesNotMatch(stderr, /^ripstop: /m, `${where}: ${line}`);
      }
      t.diagnostic(`${ran} command lines were run`);
    } finally {
      traffic.kill("SIGINT");
      await exitOf(traffic);
      rmSync(folder, { recursive: true });
    }
  });
});

// The list of commands and what their own files say are the same; help has examples; completions know everything.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Command } from "commander";
import { commands } from "../../../src/cli/commands.js";
import { completables } from "../../../src/cli/completion.js";
import { run } from "../../../src/cli/program.js";

function harness() {
  const written = { out: "", err: "" };
  const context = {
    out: (text: string) => {
      written.out += text;
    },
    err: (text: string) => {
      written.err += text;
    },
    outBytes: () => undefined,
    terminal: false,
    colors: false,
    signal: new AbortController().signal,
  };
  return { written, context };
}

test("every command is called in its file what the list calls it", async () => {
  const { context } = harness();
  for (const { name, summary, load } of commands) {
    const command = await load();
    if (command.kind === "raw") {
      assert.deepEqual([command.name, command.summary], [name, summary]);
      continue;
    }
    const program = new Command("ripstop");
    await command.register(program, context, () => undefined);
    assert.deepEqual(
      program.commands.map((one) => [one.name(), one.description()]),
      [[name, summary]],
    );
  }
});

test("help shows what a command takes and how it is used", async () => {
  for (const name of [
    "status",
    "peers",
    "routes",
    "top",
    "capture",
    "ping",
    "connectivity",
    "doctor",
    "support-bundle",
    "completion",
  ]) {
    const { written, context } = harness();
    assert.equal(await run([name, "--help"], context), 0);
    assert.match(written.out, new RegExp(`^Usage: ripstop ${name}`));
    assert.match(written.out, new RegExp(`\nExamples:\n {2}ripstop ${name}`));
  }
});

test("status loads no library: nothing that it imports comes from outside", () => {
  const seen = new Set<string>();
  const foreign: string[] = [];
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    // What is imported on demand only, import("..."), does not count.
    for (const [, target = ""] of readFileSync(url, "utf8").matchAll(/^(?:import|export) [^;]*?from "([^"]+)";/gm)) {
      if (target.startsWith(".")) visit(new URL(target, url));
      else if (!target.startsWith("node:")) foreign.push(`${url.pathname}: ${target}`);
    }
  };
  for (const entry of ["main.js", "cli/status.js"]) visit(new URL(`../../../src/${entry}`, import.meta.url));
  assert.ok(seen.size > 15, "the imports were not found");
  assert.deepEqual(foreign, []);
});

test("the pages show no command and no option that is not there", async () => {
  const options = new Map((await completables(harness().context)).map((one) => [one.name, one.options]));
  const docs = new URL("../../../../docs/", import.meta.url);
  const pages = readdirSync(docs).filter((name) => name.endsWith(".md"));
  let seen = 0;
  for (const page of ["../README.md", "../CONTRIBUTING.md", ...pages]) {
    const text = readFileSync(new URL(page, docs), "utf8");
    for (const [, name = ""] of text.matchAll(/`ripstop ([a-z][\w-]*)/g))
      assert.ok(options.has(name), `${page}: ${name}`);
    for (const [line, name = "", rest = ""] of text.matchAll(/\bripstop ([a-z][\w-]*)([^\n`|#]*)/g)) {
      for (const [option] of rest.split(" -- ")[0]?.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g) ?? []) {
        if (!options.has(name)) continue;
        assert.ok(options.get(name)?.includes(option), `${page}: ${line}`);
        seen++;
      }
    }
  }
  assert.ok(seen > 10, `only ${seen} options were found`);
});

test("completions name every command and option, in the words of each shell", async () => {
  const all = await completables(harness().context);
  assert.deepEqual(
    all.map(({ name }) => name).sort(),
    commands
      .filter(({ hidden }) => hidden !== true)
      .map(({ name }) => name)
      .sort(),
  );
  assert.ok(all.find(({ name }) => name === "agent")?.options.includes("--etcd-endpoints"));
  assert.ok(all.find(({ name }) => name === "lab")?.subcommands.includes("down"));
  for (const shell of ["bash", "zsh", "fish"]) {
    const { written, context } = harness();
    assert.equal(await run(["completion", shell], context), 0);
    assert.match(written.out, /connectivity/);
    assert.match(written.out, /problems/);
    if (shell !== "bash") continue;
    const ask = `${written.out}\nCOMP_WORDS=(ripstop doctor --pro); COMP_CWORD=2; _ripstop; echo "\${COMPREPLY[*]}"; COMP_WORDS=(ripstop st); COMP_CWORD=1; _ripstop; echo "\${COMPREPLY[*]}"`;
    assert.equal(spawnSync("bash", ["-c", ask], { encoding: "utf8" }).stdout, "--problems\nstatus\n");
  }
});

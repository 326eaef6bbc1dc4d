// The rules every command of the CLI relies on: exit codes, one-line errors, untouched raw arguments.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CliCommand } from "../../../src/cli/command.js";
import { EXIT_BUG, EXIT_USAGE, run } from "../../../src/cli/program.js";
import { RipstopError } from "../../../src/lib/errors.js";

function harness() {
  const written = { out: "", err: "" };
  const stop = new AbortController();
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
    signal: stop.signal,
  };
  return { written, stop, context };
}

function optionsCommand(action: (finish: (exitCode: number) => void) => Promise<void> | void): CliCommand {
  return {
    kind: "options",
    register: (program, _context, finish) => {
      program
        .command("probe")
        .option("--count <n>", "how many")
        .action(() => action(finish));
    },
  };
}

describe("the command line", () => {
  it("prints the version of package.json and exits 0", async () => {
    const { context, written } = harness();
    assert.equal(await run(["--version"], context), 0);
    assert.match(written.out, /^\d+\.\d+\.\d+\n$/);
  });

  it("answers an unknown option with one line, a way to help, and the usage exit code", async () => {
    const { context, written } = harness();
    assert.equal(await run(["probe", "--cuont=1"], context, [optionsCommand(() => {})]), EXIT_USAGE);
    assert.match(written.err, /^ripstop: unknown option '--cuont=1' \(Did you mean --count\?\).*--help.*\n$/);
    assert.equal(written.err.split("\n").length, 2);
  });

  it("answers an unknown command with the usage exit code", async () => {
    const { context, written } = harness();
    assert.equal(await run(["porbe"], context, [optionsCommand(() => {})]), EXIT_USAGE);
    assert.match(written.err, /^ripstop: unknown command 'porbe'/);
  });

  it("shows the help and exits with the usage code when no command is given", async () => {
    const { context, written } = harness();
    assert.equal(await run([], context, [optionsCommand(() => {})]), EXIT_USAGE);
    assert.match(written.err, /Usage: ripstop/);
    assert.match(written.err, /probe/);
  });

  it("prints an expected error as one line with its code and exits as the error says", async () => {
    const { context, written } = harness();
    const failing = optionsCommand(() => {
      throw new RipstopError("PORT_TAKEN", "UDP 8472 is taken;\n stop the other program", { exitCode: 3 });
    });
    assert.equal(await run(["probe"], context, [failing]), 3);
    assert.equal(written.err, "ripstop: UDP 8472 is taken; stop the other program (PORT_TAKEN)\n");
  });

  it("prints the stack of an unexpected error and exits 70", async () => {
    const { context, written } = harness();
    const failing = optionsCommand(() => Promise.reject(new TypeError("x is not y")));
    assert.equal(await run(["probe"], context, [failing]), EXIT_BUG);
    assert.match(written.err, /x is not y[\s\S]*\n {4}at /);
  });

  it("exits with the code that the command finished with", async () => {
    const { context } = harness();
    assert.equal(await run(["probe"], context, [optionsCommand((finish) => finish(2))]), 2);
  });

  it("exits 130 when the command ended because it was interrupted", async () => {
    const { context, stop } = harness();
    const interrupted = optionsCommand(() => {
      stop.abort();
      context.signal.throwIfAborted();
    });
    assert.equal(await run(["probe"], context, [interrupted]), 130);
  });

  it("hands a raw command its arguments untouched, also -x, --x=v, -- and repeated ones", async () => {
    const { context } = harness();
    const args = ["-iface=eth0", "--ip-masq", "-v", "10", "--", "--help", "--iface", "eth1"];
    let seen: readonly string[] = [];
    const raw: CliCommand = {
      kind: "raw",
      name: "agent",
      summary: "run the agent",
      run: (given) => {
        seen = given;
        return Promise.resolve(5);
      },
    };
    assert.equal(await run(["agent", ...args], context, [raw]), 5);
    assert.deepEqual(seen, args);
  });
});

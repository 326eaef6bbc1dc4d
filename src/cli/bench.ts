// `ripstop bench`: all rivals in one run, interleaved; a table here, JSON and a page with plots in a folder.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import { runBench } from "../lab/bench/bench.js";
import { htmlReport } from "../lab/bench/html-report.js";
import { benchMode } from "../lab/bench/modes.js";
import { type BenchResult, parseResult } from "../lab/bench/result.js";
import { RIVALS } from "../lab/bench/rivals.js";
import { textReport } from "../lab/bench/text-report.js";
import { WORKLOADS } from "../lab/bench/workloads.js";
import type { CommandContext, OptionsCommand } from "./command.js";

interface BenchOptions {
  readonly quick: boolean;
  readonly trials?: number;
  readonly rivals?: readonly string[];
  readonly workloads?: readonly string[];
  readonly results: string;
  readonly publish: boolean;
  readonly show?: string;
  readonly directory: string;
  readonly prefix: string;
}

/** The result that the published pages are made of. */
const PUBLISHED = "published.json";

export const benchCommand: OptionsCommand = {
  kind: "options",
  register(program, context, finish) {
    program
      .command("bench")
      .description("compare kernel VXLAN, our data planes and a classic UDP proxy on this machine, in one run")
      .option("--quick", "a first look, under 3 minutes", false)
      .option("--trials <n>", "how often everything is measured", parseTrials)
      .option("--rivals <list>", `some of ${RIVALS.map(({ id }) => id).join(",")}`, parseList)
      .option("--workloads <list>", `some of ${WORKLOADS.map(({ id }) => id).join(",")}`, parseList)
      .option("--results <folder>", "where the result goes", "bench/results")
      .option("--publish", `also write it as ${PUBLISHED}, which \`npm run docs\` makes pages of`, false)
      .option("--show <file>", "measure nothing: print the tables of an earlier result")
      .option("--directory <folder>", "where the labs keep their files", "/run/ripstop-bench")
      .option("--prefix <text>", "start of every namespace name", "rsb-")
      .action(async (options: BenchOptions) => finish(await bench(options, context)));
  },
};

async function bench(options: BenchOptions, context: CommandContext): Promise<number> {
  if (options.show !== undefined) {
    context.out(textReport(parseResult(await readFile(options.show, "utf8"), options.show)));
    return 0;
  }
  const mode = benchMode(options);
  const started = performance.now();
  const report = (line: string): void =>
    context.err(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  const { directory, prefix } = options;
  const result = await runBench(mode, { directory, prefix, report, signal: context.signal });
  context.out(`\n${textReport(result)}\n`);
  for (const path of await save(result, options)) context.out(`written: ${path}\n`);
  return 0;
}

async function save(result: BenchResult, options: BenchOptions): Promise<string[]> {
  await mkdir(options.results, { recursive: true });
  const stem = join(
    options.results,
    `${result.startedAt.replace(/[:.]/g, "-")}-${result.commit.replace("+", "-changed")}`,
  );
  const json = `${JSON.stringify(result)}\n`;
  const written = [`${stem}.json`, `${stem}.html`];
  await writeFile(`${stem}.json`, json);
  await writeFile(`${stem}.html`, htmlReport(result));
  if (options.publish) {
    written.push(join(options.results, PUBLISHED));
    await writeFile(join(options.results, PUBLISHED), json);
  }
  return written;
}

function parseTrials(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100)
    throw new InvalidArgumentError("Give a number from 1 to 100.");
  return count;
}

function parseList(text: string): string[] {
  return text.split(",").filter((part) => part !== "");
}

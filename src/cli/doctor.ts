// `ripstop doctor`: examines this node and says what is wrong, what follows and what to do. Exit codes: 0 nothing fails, 1
// something does.
import type { Command } from "commander";
import { runPaths } from "../agent/run-dir.js";
import { nativePath } from "../config/native-path.js";
import { examine } from "../doctor/doctor.js";
import type { Finding } from "../doctor/finding.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { type Paint, paint } from "./paint.js";
import { outputOption, runDirOption, stateDirOption, subnetFileOption } from "./shared-options.js";

interface DoctorFlags {
  readonly output: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly subnetFile: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly probe: boolean;
  readonly problems?: boolean;
  readonly migrate?: boolean;
}

const COLORS: Readonly<Record<Finding["verdict"], Paint>> = { ok: "green", warn: "yellow", fail: "red", skip: "faint" };

export const doctorCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("doctor")
      .description(
        "examine this node: what is wrong, what follows, what to do (exit code: 0 nothing fails, 1 something does)",
      )
      .addOption(outputOption())
      .option("--problems", "show only what is not ok")
      .option("--migrate", "say what a swap of the flanneld that runs here for ripstop would change, and nothing else")
      .option("--no-probe", "send no packets to other nodes")
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addOption(subnetFileOption())
      .option("--cni-conf-dir <directory>", "CNI network lists", "/etc/cni/net.d")
      .option("--cni-bin-dir <directory>", "CNI plugins", "/opt/cni/bin")
      .addHelpText(
        "after",
        examples(
          ["ripstop doctor --problems", "what needs attention, each with its remedy"],
          ["ripstop doctor --no-probe -o json", "for programs, and without a packet to anybody"],
        ),
      )
      .action(async (flags: DoctorFlags) => {
        const findings =
          flags.migrate === true
            ? await migration()
            : await examine({
                paths: runPaths(flags.runDir),
                stateDir: flags.stateDir,
                subnetFile: flags.subnetFile,
                cni: { configuration: flags.cniConfDir, programs: flags.cniBinDir },
                nativePath: nativePath(),
                probe: flags.probe,
              });
        const shown = flags.problems === true ? findings.filter(({ verdict }) => isProblem(verdict)) : findings;
        context.out(flags.output === "json" ? toJson(shown) : formatFindings(shown, findings, context.colors));
        finish(findings.some(({ verdict }) => verdict === "fail") ? 1 : 0);
      });
  },
};

async function migration(): Promise<readonly Finding[]> {
  const { examineMigration } = await import("../doctor/migration.js");
  return examineMigration();
}

function isProblem(verdict: Finding["verdict"]): boolean {
  return verdict === "fail" || verdict === "warn";
}

function formatFindings(shown: readonly Finding[], all: readonly Finding[], colors: boolean): string {
  const lines = shown.map(({ check, verdict, value, meaning, fix }) => {
    const mark = verdict.padEnd(4);
    const head = `${colors ? paint(mark, COLORS[verdict]) : mark}  ${check.padEnd(14)}${value}\n`;
    return isProblem(verdict) ? `${head}${" ".repeat(20)}means: ${meaning}\n${" ".repeat(20)}fix:   ${fix}\n` : head;
  });
  const count = (verdict: Finding["verdict"]) => all.filter((one) => one.verdict === verdict).length;
  return `${lines.join("")}${count("ok")} ok, ${count("warn")} warnings, ${count("fail")} failed, ${count("skip")} not looked at\n`;
}

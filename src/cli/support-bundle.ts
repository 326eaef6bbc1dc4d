// `ripstop support-bundle`: one archive for whoever helps, without secrets.
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { runPaths } from "../agent/run-dir.js";
import { nativePath } from "../config/native-path.js";
import { makeSupportBundle } from "../doctor/support-bundle.js";
import { RipstopError } from "../lib/errors.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { runDirOption, stateDirOption, subnetFileOption } from "./shared-options.js";

interface BundleFlags {
  readonly file: string;
  readonly probe: boolean;
  readonly runDir: string;
  readonly stateDir: string;
  readonly subnetFile: string;
}

export const supportBundleCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("support-bundle")
      .description("collect what is needed to understand this node into one archive, without secrets")
      .option("-f, --file <file>", "archive to write", "ripstop-support.tar.gz")
      .option("--no-probe", "send no packets to other nodes")
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addOption(subnetFileOption())
      .addHelpText(
        "after",
        examples([
          "ripstop support-bundle -f /tmp/ripstop-support.tar.gz",
          "look through it before you give it away: it names addresses",
        ]),
      )
      .action(async (flags: BundleFlags) => {
        const bundle = await makeSupportBundle({
          paths: runPaths(flags.runDir),
          stateDir: flags.stateDir,
          subnetFile: flags.subnetFile,
          cni: { configuration: "/etc/cni/net.d", programs: "/opt/cni/bin" },
          nativePath: nativePath(),
          probe: flags.probe,
        });
        await writeFile(flags.file, bundle, { mode: 0o600 }).catch((cause: NodeJS.ErrnoException) => {
          throw new RipstopError(
            "OUTPUT_FILE",
            `cannot write ${flags.file} (${cause.code ?? cause.message}); choose another -f`,
            { cause },
          );
        });
        context.out(`${flags.file}: ${Math.ceil(bundle.length / 1024)} KiB; secrets are masked, addresses are not\n`);
      });
  },
};
